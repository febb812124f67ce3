"""The roles in the synthesized templates: what each may do, and who may assume it. Pure, apart from reading files."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "aws-permissions.md"
_HASH = re.compile(r"[0-9A-F]{8}$")
_INTRO = """\
# Permissions

Generated from the templates: `make aws-synth`, then `python -m infra permissions --out cdk.out`; a test fails while it
differs. Every role of the installation, with all that it is allowed: nothing is allowed elsewhere. The reasons are in
`infra/rights.py`. Account 111122223333 and region eu-central-1 are an example; `<...>` is known once a resource exists.

Why some resources end with `*`: prefixes of the bucket hold many objects; log streams are named when they are made;
Firehose names its consumer group itself.
"""


@dataclass(frozen=True, slots=True)
class Role:
    """A role: `rights` are (action, resource), `managed` are policies that AWS maintains."""

    name: str
    principals: frozenset[str]
    rights: frozenset[tuple[str, str]]
    managed: frozenset[str]


def templates(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The templates in a folder of synthesized stacks, by stack."""
    return {
        path.name.removesuffix(".template.json"): json.loads(path.read_text())
        for path in sorted(folder.glob("*.template.json"))
    }


def roles(folder: Path) -> list[Role]:
    """All roles, by stack and name."""
    stacks = templates(folder)
    texts = Texts(stacks)
    return [role for stack in stacks for role in _roles_of(stack, stacks[stack], texts)]


def permissions_page(found: list[Role]) -> str:
    """The roles as a page of tables."""
    return "\n".join([_INTRO, *(_table(role) for role in found)])


def _table(role: Role) -> str:
    lines = [f"## {role.name}", "", f"Assumed by {', '.join(sorted(role.principals))}.", ""]
    if role.managed:
        lines += [f"Policies of AWS: {', '.join(f'`{name}`' for name in sorted(role.managed))}.", ""]
    if role.rights:
        by_resource: dict[str, list[str]] = {}
        for action, resource in sorted(role.rights):
            by_resource.setdefault(resource, []).append(action)
        lines += ["| on | may |", "|---|---|"]
        lines += [f"| `{on}` | {', '.join(actions)} |" for on, actions in sorted(by_resource.items())]
        lines.append("")
    return "\n".join(lines)


def _roles_of(stack: str, template: Mapping[str, Any], texts: "Texts") -> Iterator[Role]:
    resources = template["Resources"]
    policies = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::IAM::Policy"]
    for logical_id, resource in sorted(resources.items()):
        if resource["Type"] != "AWS::IAM::Role":
            continue
        properties = resource["Properties"]
        attached = [policy for policy in policies if {"Ref": logical_id} in policy["Roles"]]
        documents = [each["PolicyDocument"] for each in [*properties.get("Policies", []), *attached]]
        yield Role(
            f"{stack}: {_HASH.sub('', logical_id)}",
            frozenset(_principals(properties["AssumeRolePolicyDocument"], texts, stack)),
            frozenset(pair for document in documents for pair in _pairs(document, texts, stack)),
            frozenset(_managed(properties, texts, stack)),
        )


def _principals(document: Mapping[str, Any], texts: "Texts", stack: str) -> Iterator[str]:
    for statement in document["Statement"]:
        condition = statement.get("Condition", {}).get("StringEquals", {})
        limits = "".join(f" where {key} is {texts.of(stack, value)}" for key, value in sorted(condition.items()))
        yield texts.of(stack, statement["Principal"]["Service"]) + limits


def _managed(properties: Mapping[str, Any], texts: "Texts", stack: str) -> Iterator[str]:
    for policy in properties.get("ManagedPolicyArns", []):
        yield texts.of(stack, policy).rpartition("/")[2]


def _pairs(document: Mapping[str, Any], texts: "Texts", stack: str) -> Iterator[tuple[str, str]]:
    for statement in document["Statement"]:
        if statement["Effect"] != "Allow" or "NotAction" in statement or "NotResource" in statement:
            raise ValueError(f"{stack}: a statement that this page cannot show: {statement}")
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, texts.of(stack, resource)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Texts:
    """CloudFormation's functions as text: what is known is written out, the rest is `<name>`."""

    def __init__(self, stacks: Mapping[str, Mapping[str, Any]]) -> None:
        self._stacks = stacks
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in stacks.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    def of(self, stack: str, value: Any) -> str:
        """The text of a value in a stack's template."""
        if isinstance(value, str):
            return value
        (function, argument), *_ = value.items()
        return str(getattr(self, "_" + function.removeprefix("Fn::").lower())(stack, argument))

    def _ref(self, stack: str, name: str) -> str:
        if name.startswith("AWS::"):
            return {"AWS::Partition": "aws"}.get(name, f"<{name}>")
        properties = self._stacks[stack]["Resources"].get(name, {}).get("Properties", {})
        given = properties.get("BucketName") or properties.get("LogGroupName") or properties.get("LogStreamName")
        return str(given or f"<{_HASH.sub('', name)}>")

    def _getatt(self, stack: str, path: list[str]) -> str:
        return f"<{_HASH.sub('', path[0])}.{path[1]}>"

    def _join(self, stack: str, argument: list[Any]) -> str:
        separator, parts = argument
        return str(separator).join(self.of(stack, part) for part in parts)

    def _importvalue(self, _stack: str, name: str) -> str:
        exporter, value = self._exports[name]
        return self.of(exporter, value)

    def _split(self, stack: str, argument: list[Any]) -> str:
        return self.of(stack, argument[1])

    def _select(self, stack: str, argument: list[Any]) -> str:
        return f"<path of {self.of(stack, argument[1]).strip('<>')}>"
