"""The API's reference at /docs: one page made here from the OpenAPI document, without script or outside source."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

Schema = Mapping[str, Any]

_PLAIN = {"integer": 42, "number": 0.5, "boolean": True}

_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; }
pre { padding: 0.75rem; overflow-x: auto; border-radius: 6px; background: color-mix(in srgb, CanvasText 7%, Canvas); }
article { border-top: 1px solid color-mix(in srgb, CanvasText 20%, Canvas); padding: 0.5rem 0 1rem; }
h3 code:first-child { font-weight: 700; margin-right: 0.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0; }
"""


def install(app: FastAPI) -> None:
    """Serve the reference."""

    async def reference() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()))

    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    app.add_api_route("/docs", reference, include_in_schema=False)
    app.add_api_route("/docs/style.css", style, include_in_schema=False)


def render(document: Schema) -> str:
    """The reference as HTML."""
    info = document["info"]
    body = "".join(_sections(document))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/style.css"></head><body>'
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"{_paragraphs(info.get('description', ''))}"
        '<p>The same for machines: <a href="/openapi.json">/openapi.json</a></p>'
        f"<main>{body}</main></body></html>"
    )


def _sections(document: Schema) -> Iterator[str]:
    operations = [
        (operation.get("tags", ["other"])[0], method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = document["components"]["schemas"]
    for tag, group in groupby(sorted(operations, key=lambda entry: entry[0]), key=lambda entry: entry[0]):
        articles = "".join(_article(method, path, operation, schemas) for _tag, method, path, operation in group)
        yield f'<section><h2 id="{escape(tag)}">{escape(tag.capitalize())}</h2>{articles}</section>'


def _article(method: str, path: str, operation: Schema, schemas: Schema) -> str:
    return (
        f'<article id="{escape(operation["operationId"])}">'
        f"<h3><code>{method.upper()}</code><code>{escape(path)}</code></h3>"
        f"<p><strong>{escape(operation.get('summary', ''))}</strong></p>"
        f"{_paragraphs(operation.get('description', ''))}"
        f"{_parameters(operation.get('parameters', []), schemas)}"
        f"<pre>{escape(curl(method, path, operation, schemas))}</pre>"
        f"{''.join(_responses(operation['responses'], schemas))}</article>"
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.strip().split("\n\n") if paragraph)


def _inline(text: str) -> str:
    """Escaped text with `code` marked as such."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _parameters(parameters: Iterable[Schema], schemas: Schema) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
        f"<td>{escape(_limits(p['schema'], schemas))}</td><td>{_inline(p.get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table><tr><th>name</th><th>in</th><th>type</th><th></th></tr>{rows}</table>" if rows else ""


def _limits(schema: Schema, schemas: Schema) -> str:
    kind = _resolve(schema, schemas)
    words = [" | ".join(map(str, kind["enum"])) if "enum" in kind else str(kind.get("format", kind.get("type", "")))]
    if "minimum" in kind:
        words.append(f"{kind['minimum']}–{kind.get('maximum', '')}")
    if schema.get("default") is not None:
        words.append(f"default {json.dumps(schema['default'])}")
    return ", ".join(words)


def curl(method: str, path: str, operation: Schema, schemas: Schema) -> str:
    """A command that can be tried, made from the examples."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = example(parameter["schema"] | _given(parameter), schemas)
            path = path.replace(f"{{{parameter['name']}}}", quote(str(value), safe=""))
    command = f"curl {'-N ' if path.endswith('/stream') else ''}"
    command += "" if method == "get" else f"-X {method.upper()} "
    command += f"http://127.0.0.1:8080{path}"
    if "requestBody" not in operation:
        return command
    body = operation["requestBody"]["content"]["application/json"]
    return f"{command} \\\n  -H 'Content-Type: application/json' \\\n  -d '{json.dumps(_body_example(body, schemas))}'"


def _body_example(body: Schema, schemas: Schema) -> Any:
    if "examples" in body:
        return next(iter(body["examples"].values()))["value"]
    return example(body["schema"], schemas)


def _responses(responses: Schema, schemas: Schema) -> Iterator[str]:
    for status, response in responses.items():
        yield f"<p><code>{escape(status)}</code> {_inline(response.get('description', ''))}</p>"
        for name, header in response.get("headers", {}).items():
            yield f"<p>Header <code>{escape(name)}</code>: {_inline(header['description'])}</p>"
        for content in response.get("content", {}).values():
            if status != "default":
                yield f"<pre>{escape(_response_example(content, schemas))}</pre>"


def _response_example(content: Schema, schemas: Schema) -> str:
    if "example" in content:
        return str(content["example"])
    return json.dumps(example(content.get("schema", {}), schemas), indent=2, ensure_ascii=False)


def _given(schema: Schema) -> Schema:
    return {"examples": schema["examples"]} if schema.get("examples") else {}


def _resolve(schema: Schema, schemas: Schema) -> Schema:
    """The schema behind a reference or an optional."""
    if "$ref" in schema:
        return _resolve(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choice in schema.get("anyOf", schema.get("oneOf", ())):
        if choice.get("type") != "null":
            return {**_resolve(choice, schemas), **_given(schema)}
    return schema


def example(schema: Schema, schemas: Schema) -> Any:
    """A value that fits the schema: the example it gives, else one made of its parts."""
    kind = _resolve(schema, schemas)
    if kind.get("examples"):
        return kind["examples"][0]
    if "const" in kind or "enum" in kind:
        return kind.get("const", kind.get("enum", [None])[0])
    if kind.get("type") == "object":
        return {name: example(field, schemas) for name, field in kind.get("properties", {}).items()}
    if kind.get("type") == "array":
        return [example(kind["items"], schemas)]
    return kind.get("default", _PLAIN.get(kind.get("type", ""), "…"))
