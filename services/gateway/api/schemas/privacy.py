"""Responses about privacy and the audit log."""

from typing import Annotated

from pydantic import Field

from services.common.audit import Action
from services.gateway.api.schemas.base import ResponseModel, Timestamp


class ErasureResponse(ResponseModel):
    """A customer who is erased from now on."""

    digest: Annotated[str, Field(description="Names the customer in the audit log. The id is kept nowhere.")]
    detail: str


class AuditEntry(ResponseModel):
    """Who did what."""

    at: Timestamp
    by: Annotated[str, Field(examples=["anna@shop.example (id-of-anna)"])]
    action: Action
    subject: Annotated[str, Field(description="A model's version, or the digest of a customer.")]
    detail: str
