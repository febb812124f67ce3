"""What an applier is made of: its settings, and what it talks to."""

from dataclasses import dataclass

from services.aggregator.archive_reader import BackfillSource
from services.aggregator.budgets import DEFAULT_LIMITS, NameLimits
from services.aggregator.dead_letter_output import DeadLetterOutput
from services.aggregator.log_guard import LogRange
from services.aggregator.settings import AggregatorSettings
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.generations import Generation


@dataclass(frozen=True, slots=True)
class ApplierSettings:
    """`chunk`: records of one script call. `time_zone`: of the calendar, until a live generation has another.

    `missing_timeout_s`: how long records in neither Kafka nor the archive may still be on their way to the archive;
    after that they are an error, or skipped with `accept_missing_history`. `rules`: of the validation.
    `names`: budgets of each shard.
    """

    dead_letters_topic: str
    chunk: int
    accept_missing_history: bool
    time_zone: str
    missing_timeout_s: float = 120.0
    rules: EventRules = DEFAULT_RULES
    names: NameLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class ApplierPorts:
    """What the applier talks to, apart from the tables."""

    dead_letters: DeadLetterOutput
    log_range: LogRange
    source: BackfillSource


def applier_settings(settings: AggregatorSettings, generation: Generation) -> ApplierSettings:
    """The part of the aggregator's settings that an applier of this generation needs."""
    return ApplierSettings(
        dead_letters_topic=settings.dead_letters_topic,
        chunk=settings.aggregator_chunk,
        accept_missing_history=settings.aggregator_accept_missing_history,
        time_zone=generation.time_zone,
        rules=settings.event_rules,
        names=NameLimits(
            settings.aggregator_max_brands, settings.aggregator_max_categories, settings.aggregator_max_products
        ),
    )
