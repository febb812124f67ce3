"""The OpenAPI document: that of FastAPI, with problem documents for the errors."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.api.problems import CONTENT_TYPE, ProblemDocument
from services.gateway.api.schemas.figures import StreamSnapshot, StreamUpdate, TickerEntry

_DESCRIPTION = """\
Live sales figures exact to the cent, best customers, and the products each customer will buy next.

Ids are strings. Money is a decimal string with two places, in the shop's currency (`/v1/config`). Times are RFC 3339.
Buckets follow the shop's time zone. Where the gateway has API keys, send one as `Authorization: Bearer <key>`;
`x-roles` names the roles that a route answers. Errors are problem documents (RFC 9457) that name the offending field.
"""
KEY = "key"
"""Name of the security scheme: an API key as the bearer token."""
SESSION = "session"
"""Name of the security scheme: the page's cookie. Changes also need its `Origin`."""

_REF = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Make the app serve this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = ProblemDocument.model_json_schema(ref_template=_REF)
    schemas.update(problem.pop("$defs"))
    schemas["ProblemDocument"] = problem
    document["components"]["securitySchemes"] = {
        KEY: {"type": "http", "scheme": "bearer"},
        SESSION: {"type": "apiKey", "in": "cookie", "name": "__Host-tillstream-session"},
    }
    # In OpenAPI the stream's body is text, so the schemas of its events are added here.
    for model in (StreamSnapshot, StreamUpdate, TickerEntry):
        schema = model.model_json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _problem()
    return document


def _problem() -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="ProblemDocument")}
    return {"description": "A problem (RFC 9457)", "content": {CONTENT_TYPE: {"schema": schema}}}
