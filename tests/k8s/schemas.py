"""Strict validation: the API server's own schemas for Kubernetes' kinds, schemas/ for custom resources."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.k8s.manifests import Object, Objects, title

KUBERNETES = "1.37"
_CUSTOM = {path.stem: path for path in (Path(__file__).parent / "schemas").glob("*.json")}


def invalid(objects: Objects) -> Iterator[str]:
    """Where objects break their schema: an unknown field, a wrong type, an unknown kind."""
    for each in objects:
        yield from (f"{title(each)}: {error}" for error in _errors(each))


def _errors(each: Object) -> Iterator[str]:
    custom = _CUSTOM.get(f"{each['apiVersion'].replace('/', '_')}_{each['kind']}")
    if custom is not None:
        schema: dict[str, Any] = json.loads(custom.read_text())
        yield from (error.message for error in Draft202012Validator(schema).iter_errors(each))
        return
    try:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield error.message
    except kubernetes_validate.SchemaNotFoundError:
        yield f"unknown kind {each['apiVersion']} {each['kind']}: schemas/ has no schema for it"
