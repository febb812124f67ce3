"""What is served at the moment: the main model, and the A/B variants with their share of the customers."""

from dataclasses import dataclass
from typing import Protocol

from recsys.model import Model
from recsys.recommender import Recommender
from services.common.model_pointer import MAIN
from services.recommender.ab_assignment import assign_variant


class StreamStatus(Protocol):
    """How far a model's state follows the stream."""

    @property
    def lag(self) -> int | None:
        """Records not yet applied; None before the first contact with Kafka."""

    @property
    def records_read(self) -> int:
        """Records taken from Kafka so far, those before the cut-off as well."""

    @property
    def caught_up(self) -> bool:
        """Whether the end of the stream was reached once."""

    @property
    def events_per_second(self) -> float | None:
        """Purchases applied a second; None before the first contact with Kafka."""

    def age_ms(self, now_ms: int) -> int | None:
        """Age of the state; None before the first contact with Kafka."""


@dataclass(frozen=True, slots=True)
class ServingModel:
    """A model that answers, since when (epoch ms), and how far it follows the stream (None: it does not)."""

    recommender: Recommender
    loaded_at_ms: int
    stream: StreamStatus | None = None

    @property
    def model(self) -> Model:
        """What it answers from."""
        return self.recommender.model

    def age_ms(self, now_ms: int) -> int | None:
        """Age of the state; None where nothing is known since the model's cut-off."""
        return None if self.stream is None else self.stream.age_ms(now_ms)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was refused, and why."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServedVariant:
    """An A/B variant: a model for a share of the customers. Where it is refused, the main model answers them."""

    name: str
    weight: float
    version: str
    served: ServingModel | None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served: replaced as a whole, so that a reader sees one state or the other."""

    main: ServingModel | None = None
    refusal: Refusal | None = None
    variants: tuple[ServedVariant, ...] = ()

    def model_for(self, user_id: str) -> tuple[str, ServingModel | None]:
        """The variant's name and the model that answers a customer; None before the first model."""
        variant = assign_variant(user_id, self.variants) if self.variants else None
        if variant is None or variant.served is None:
            return MAIN, self.main
        return variant.name, variant.served

    def models(self) -> list[ServingModel]:
        """Every model that answers."""
        serving = (self.main, *(variant.served for variant in self.variants))
        return [served for served in serving if served is not None]

    def versions(self) -> set[str]:
        """Of every model that answers."""
        return {served.model.version for served in self.models()}
