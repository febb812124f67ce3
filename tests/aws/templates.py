"""Reading synthesized templates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.permissions import templates

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Installation:
    """The templates of an installation, by stack."""

    stacks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Installation":
        """The templates in a folder."""
        return cls(templates(folder))

    def resources(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """All resources of a type."""
        for template in self.stacks.values():
            yield from (each for each in template["Resources"].values() if each["Type"] == kind)

    def all(self, kind: str) -> list[Properties]:
        """The properties of all resources of a type; there is at least one."""
        found = [each["Properties"] for each in self.resources(kind)]
        assert found, f"no {kind}"
        return found

    def only(self, kind: str) -> Properties:
        """The properties of the one resource of a type."""
        (found,) = self.all(kind)
        return found
