"""Responses about who asks."""

from typing import Annotated

from pydantic import Field

from services.gateway.access.roles import Access, Role
from services.gateway.api.schemas.base import ResponseModel


class SessionResponse(ResponseModel):
    """Who asks, and what the gateway gives them."""

    closed: Annotated[bool, Field(description="Whether the gateway asks who is there: it has API keys or a login.")]
    login: Annotated[bool, Field(description="Whether persons can log in, at `/v1/session/login`.")]
    name: Annotated[str | None, Field(examples=["anna@shop.example"], description="null where nobody has said it.")]
    role: Role | None
    may: Annotated[list[Access], Field(description="What the routes give to whoever asks.")]
