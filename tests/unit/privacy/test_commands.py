"""The commands of privacy that change something are noted, also where they fail."""

from typing import Any

import pytest

from services.common.audit import Action, entries
from services.common.erasure_list import add_erased
from services.privacy import commands
from services.privacy.redaction import CannotRedact
from services.privacy.settings import PrivacySettings
from tests.support.bucket import Bucket


def test_a_sweep_that_fails_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: Any) -> None:
        raise CannotRedact("a line of order 4711 would read differently")

    bucket: Any = Bucket()
    add_erased(bucket, "u03", 0)
    monkeypatch.setattr(commands, "sweep", fails)
    with pytest.raises(CannotRedact):
        commands._swept(bucket, PrivacySettings())
    (entry,) = entries(bucket)
    assert (entry.action, entry.detail) == (Action.SWEEP, "failed: CannotRedact")
