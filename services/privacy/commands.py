"""The commands: each yields lines for stdout."""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import closing

import msgspec

from services.common import audit
from services.common.audit import Action, command_line_user, entry_of
from services.common.erasure_list import add_erased, digest_in, read_erased
from services.common.object_store import ObjectStore
from services.common.redis_client import connect
from services.privacy.found import Finding
from services.privacy.live import records_of, tables_of
from services.privacy.settings import PrivacySettings
from services.privacy.stored import stored_of
from services.privacy.sweep import sweep


async def export(settings: PrivacySettings, options: argparse.Namespace) -> AsyncIterator[str]:
    """All that is held of a customer, as JSON Lines."""
    rules, user_id, now_ms = settings.event_rules, options.user, _now_ms()
    with closing(ObjectStore(settings)) as store:
        _note(store, Action.EXPORT, digest_in(store, user_id).hex())
        redis = connect(settings)
        try:
            async for finding in tables_of(redis, user_id, settings.shards):
                yield _line(finding)
        finally:
            await redis.aclose()
        async for finding in records_of(settings, user_id, rules):
            yield _line(finding)
        for finding in stored_of(store, user_id, rules, now_ms):
            yield _line(finding)


async def erase(settings: PrivacySettings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Add a customer to the list, which all readers follow, and remove what the bucket holds."""
    with closing(ObjectStore(settings)) as store:
        digest = add_erased(store, options.user, _now_ms()).hex()
        _note(store, Action.ERASE, digest)
        yield f"erased as {digest}: live tables and recommender follow within a minute"
        if options.later:
            yield "the bucket still holds the customer: run `python -m services.privacy sweep` within a day"
            return
        yield _swept(store, settings)


async def run_sweep(settings: PrivacySettings, _options: argparse.Namespace) -> AsyncIterator[str]:
    """Remove every erased customer from what the bucket holds."""
    with closing(ObjectStore(settings)) as store:
        yield _swept(store, settings)


async def show_audit(settings: PrivacySettings, _options: argparse.Namespace) -> AsyncIterator[str]:
    """The audit log as JSON Lines, the oldest entry first."""
    with closing(ObjectStore(settings)) as store:
        for entry in audit.entries(store):
            yield msgspec.json.encode(entry).decode()


def _swept(store: ObjectStore, settings: PrivacySettings) -> str:
    erased = read_erased(store)
    if erased is None:
        return "nobody is erased"
    try:
        changed = sweep(store, erased, settings.event_rules, _now_ms())
    except Exception as error:  # whatever it is: that customers are still there must be known
        _note(store, Action.SWEEP, "", f"failed: {type(error).__name__}")  # its message may name an order
        raise
    counts = ", ".join(f"{name} {count:,}" for name, count in changed.items())
    _note(store, Action.SWEEP, "", counts)
    return f"swept for {len(erased):,} customers; objects changed: {counts}"


def _note(store: ObjectStore, action: Action, subject: str, detail: str = "") -> None:
    now_ms = _now_ms()
    audit.note(store, entry_of(command_line_user(), action, subject, now_ms, detail), now_ms)


def _line(finding: Finding) -> str:
    return msgspec.json.encode(finding).decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
