"""Roles, and what each of them may do. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key or a session stands for."""

    VIEWER = "viewer"
    """Figures without persons."""
    ANALYST = "analyst"
    """Figures, customers and their purchases, recommendations."""
    SENDER = "sender"
    """Posts events and writes the catalogue, reads nothing."""
    RECOMMEND = "recommend"
    """A web shop: recommendations, reads nothing else."""
    ADMIN = "admin"
    """Everything."""


class Access(StrEnum):
    """What a route gives. Each route declares one."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    FIGURES = "figures"
    PERSONS = "persons"
    EVENTS = "events"
    CATALOGUE = "catalogue"
    RECOMMENDATIONS = "recommendations"
    SIMILAR_PRODUCTS = "similar_products"
    ADMIN = "admin"


_EVERYBODY = frozenset(Role)
ALLOWED: Mapping[Access, frozenset[Role]] = {
    Access.PUBLIC: _EVERYBODY,
    Access.SIGNED_IN: _EVERYBODY,
    Access.FIGURES: frozenset({Role.VIEWER, Role.ANALYST, Role.ADMIN}),
    Access.PERSONS: frozenset({Role.ANALYST, Role.ADMIN}),
    Access.EVENTS: frozenset({Role.SENDER, Role.ADMIN}),
    Access.CATALOGUE: frozenset({Role.SENDER, Role.ADMIN}),
    Access.RECOMMENDATIONS: frozenset({Role.RECOMMEND, Role.ANALYST, Role.ADMIN}),
    Access.SIMILAR_PRODUCTS: frozenset({Role.RECOMMEND, Role.VIEWER, Role.ANALYST, Role.ADMIN}),
    Access.ADMIN: frozenset({Role.ADMIN}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a key by its name, or a person, who has an id at the provider too; and the role.

    `requests_per_minute`: the key's own limit; None for that of the settings.
    """

    name: str
    role: Role
    subject: str = ""
    requests_per_minute: int | None = None

    def __str__(self) -> str:
        """As the audit log and the models' pointer name it. A person may choose the name, and not the id."""
        return f"{self.name} ({self.subject})" if self.subject else self.name

    def may(self, access: Access) -> bool:
        """Whether the role includes this access."""
        return self.role in ALLOWED[access]
