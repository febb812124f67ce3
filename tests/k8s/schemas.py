"""Strict validation: the API server's own schemas for Kubernetes' kinds, schemas/ for custom resources."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.k8s.manifests import Object, Objects, title

KUBERNETES = "1.37.0"
_OWN = Path(__file__).parent / "schemas"
# The package's own function reads all definitions again for every object: a second each.
_SERVER = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}-local-strict"


def invalid(objects: Objects) -> Iterator[str]:
    """Where objects break their schema: an unknown field, a wrong type, an unknown kind."""
    for each in objects:
        yield from (f"{title(each)}: {error}" for error in _errors(json.dumps(each, sort_keys=True)))


@cache
def _errors(text: str) -> tuple[str, ...]:
    """An object's errors; by its text, since most combinations hold the same objects."""
    each: Object = json.loads(text)
    validator = _validator(each["apiVersion"], each["kind"])
    if validator is None:
        return (f"unknown kind {each['apiVersion']} {each['kind']}: tests/k8s/schemas has no schema for it",)
    return tuple(f"{error.json_path}: {error.message}" for error in validator.iter_errors(each))


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator | None:
    own = _OWN / f"{api_version.replace('/', '_')}_{kind}.json"
    # networking.k8s.io/v1 → networking-v1
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    server = _SERVER / f"{kind.lower()}-{group}.json"
    for source in (own, server):
        if source.is_file():
            return Draft202012Validator(json.loads(source.read_text()), registry=_definitions())
    return None


@cache
def _definitions() -> Registry[Any]:
    content = json.loads((_SERVER / "_definitions.json").read_text())
    return Resource.from_contents(content) @ Registry()
