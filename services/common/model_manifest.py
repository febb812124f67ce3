"""A model's manifest.json as lists show it, whatever its format. The format that serves is recsys/model_format.py's."""

from typing import Any

import msgspec

Json = dict[str, Any]


class ManifestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a manifest, each as it is written, or its default where it is missing or of another type."""

    format_version: int | None = None
    version: str
    created_at: str | None = None
    algorithm: str | None = None
    users: int | None = None
    items: int | None = None
    rank: int | None = None
    training: Json = {}
    settings: Json = {}
    composition: Json | None = None
    metrics: Json = {}
    search: Json = {}
    counts: Json = {}
    gate: Json | None = None
    basket: Json | None = None

    @property
    def refusal(self) -> str | None:
        """Why the gate refused the version; None where it did not."""
        if self.gate is None or self.gate.get("verdict") != "refused":
            return None
        return str(self.gate.get("reason", "no reason is on record."))


_TYPES = {field.name: field.type for field in msgspec.structs.fields(ManifestSummary)}


def summarise(version: str, body: bytes) -> ManifestSummary:
    """The manifest of the folder `version`. Raises ValueError where it is not a JSON object."""
    document = msgspec.json.decode(body, type=Json)
    known = {name: document[name] for name in _TYPES.keys() & document.keys() if _is_of(document[name], _TYPES[name])}
    return ManifestSummary(**(known | {"version": version}))


def _is_of(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
