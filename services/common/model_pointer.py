"""The pointer to the serving model, `models/als/current.json`: its type, and how a move changes it. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from services.common.times import format_time

MAIN = "main"
"""The name under which answers of the live version are counted where A/B variants run next to it."""
VARIANT_NAME_LENGTH = 64
"""The longest name of a variant, in characters: it labels metrics and stands in every answer."""
_VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

Version = Annotated[str, msgspec.Meta(pattern=_VERSION)]
VariantName = Annotated[str, msgspec.Meta(min_length=1, max_length=VARIANT_NAME_LENGTH)]


class RegistryError(Exception):
    """The pointer stays where it is; the message says why, and what to do. `Contended` is not one of these."""


class InvalidVariants(RegistryError):
    """The variants would leave nothing for the live version, or a name is invalid."""


class Variant(msgspec.Struct, frozen=True):
    """An A/B variant: a version that answers a share of the customers, next to the live one."""

    name: VariantName
    version: Version
    weight: float


class Pointer(msgspec.Struct, frozen=True):
    """What serves: `version`, or for a share of the customers a variant; `previous` is what served before.

    Decoding raises msgspec.ValidationError for a version, name or weight that nothing may serve under.
    """

    version: Version
    activated_at: str | None = None
    activated_by: str | None = None
    note: str = ""
    variants: tuple[Variant, ...] = ()
    previous: str | None = None

    def __post_init__(self) -> None:
        if fault := fault_of(self.variants):
            raise ValueError(fault)

    @property
    def in_use(self) -> set[str]:
        """Versions that serve, and the one to roll back to."""
        before = () if self.previous is None else (self.previous,)
        return {self.version, *before, *(variant.version for variant in self.variants)}


@dataclass(frozen=True, slots=True)
class ChangeAuthor:
    """Who changes the pointer, why and when (epoch milliseconds)."""

    by: str
    note: str
    now_ms: int


def is_version(text: str) -> bool:
    """Whether a model may have this name."""
    return re.fullmatch(_VERSION, text) is not None


def fault_of(variants: Sequence[Variant]) -> str | None:
    """Why these variants cannot run together; None where they can."""
    names = [MAIN, *(variant.name for variant in variants)]
    if len(set(names)) != len(names):
        return f"names of variants must differ, and none may be {MAIN!r}: it is the live version's"
    weights = [variant.weight for variant in variants]
    if any(not weight > 0 for weight in weights) or not sum(weights) < 1:
        shares = ", ".join(f"{variant.name} {variant.weight:g}" for variant in variants)
        return f"weights of variants must be above 0 and leave something for the main model: {shares}"
    return None


def activated(current: Pointer | None, version: str, author: ChangeAuthor) -> Pointer:
    """The pointer with another live version. Variants stay, except one that is this version."""
    if current is not None and current.version == version:
        return current
    variants = () if current is None else tuple(each for each in current.variants if each.version != version)
    return Pointer(
        version,
        format_time(author.now_ms // 1000 * 1000),
        author.by,
        author.note,
        variants,
        None if current is None else current.version,
    )


def replaced(current: Pointer, version: str, successor: str) -> Pointer:
    """The pointer with a successor in each place of a version."""

    def name(each: str) -> str:
        return successor if each == version else each

    return msgspec.structs.replace(
        current,
        version=name(current.version),
        previous=None if current.previous is None else name(current.previous),
        variants=tuple(msgspec.structs.replace(each, version=name(each.version)) for each in current.variants),
    )


def with_variant(current: Pointer | None, variant: Variant) -> Pointer:
    """The pointer with one more variant, in the place of one of the same name. Raises InvalidVariants."""
    if current is None:
        raise InvalidVariants("nothing is live yet: activate a version first")
    if not 1 <= len(variant.name) <= VARIANT_NAME_LENGTH:
        raise InvalidVariants(
            f"the name of a variant has 1, at most {VARIANT_NAME_LENGTH} characters: {variant.name!r}"
        )
    variants = (*(each for each in current.variants if each.name != variant.name), variant)
    if fault := fault_of(variants):
        raise InvalidVariants(fault)
    return msgspec.structs.replace(current, variants=variants)


def without_variant(current: Pointer | None, name: str) -> Pointer:
    """The pointer without a variant. Raises InvalidVariants."""
    if current is None or name not in {each.name for each in current.variants}:
        raise InvalidVariants(f"no variant {name!r} runs")
    return msgspec.structs.replace(current, variants=tuple(each for each in current.variants if each.name != name))
