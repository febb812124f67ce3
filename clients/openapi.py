"""The gateway's OpenAPI document for generators of clients: `python -m clients.openapi > openapi.json`.

It says what `/openapi.json` says, with names that are good to call: an operation has the name of its function, with its
tag where two are called alike, and the schemas of request bodies are among the components.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

Json = dict[str, Any]

_VERBS = ("get", "put", "post", "delete")


def document() -> Json:
    """The document of this tree's gateway."""
    found = create_app(GatewaySettings()).openapi()
    operations = list(_operations(found))
    names = Counter(_name(*each) for each in operations)
    for path, method, operation in operations:
        name = _name(path, method, operation)
        operation["operationId"] = name if names[name] == 1 else f"{operation['tags'][0]}_{name}"
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _as_component(content["schema"], found["components"]["schemas"])
    return found


def _operations(found: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in found["paths"].items():
        for method in _VERBS:
            if method in methods:
                yield path, method, methods[method]


def _name(path: str, method: str, operation: Json) -> str:
    """`summary_v1_stats_summary_get` → `summary`."""
    operation_id: str = operation["operationId"]
    return operation_id.removesuffix(re.sub(r"\W", "_", f"{path}_{method}")).rstrip("_")


def _as_component(schema: Any, components: Json) -> Any:
    """The schema with its titled objects moved to the components."""
    if isinstance(schema, list):
        return [_as_component(each, components) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "object" and "title" in schema:
        components[schema["title"]] = _without_defaults(schema)
        return {"$ref": f"#/components/schemas/{schema['title']}"}
    return {name: _as_component(value, components) for name, value in schema.items()}


def _without_defaults(schema: Json) -> Json:
    """Defaults of the server need not be sent, and generators stumble over those of several types."""
    properties = {
        name: {key: value for key, value in given.items() if key != "default"}
        for name, given in schema["properties"].items()
    }
    return schema | {"properties": properties}


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
