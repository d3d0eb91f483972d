"""A sample request of an operation: what the authorization room would be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from casemate.core.operation import Operation, Scope
from casemate.wire.model import OperationModel, Shape

_REGION: Final = "xx-region-1"
_ACCOUNT: Final = "123456789012"
_SCOPE: Final = Scope(account=_ACCOUNT, region=_REGION)

_GIVEN: Final[Mapping[tuple[str, str], object]] = {
    ("lambda", "Arn"): f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:layer:Layer:1",
    ("lambda", "VersionNumber"): 1,
    ("lambda", "Resource"): f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:Resource",
    ("lambda", "Role"): f"arn:aws:iam::{_ACCOUNT}:role/Role",
    ("casemate", "FunctionArn"): (
        f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:FunctionName"
    ),
    ("sqs", "QueueUrl"): f"https://host/{_ACCOUNT}/QueueName",
    ("sqs", "QueueOwnerAWSAccountId"): _ACCOUNT,
    ("logs", "resourceArn"): f"arn:aws:logs:{_REGION}:{_ACCOUNT}:log-group:resourceArn",
}
"""Members that must have a form of their own, because it is looked at."""

_EITHER: Final = frozenset({"logGroupIdentifier"})
"""Members that stand for another one, which is given."""

_KEY: Final = "…"
"""The key of a tag: the caller's own word."""

_PATHS: Final = frozenset({"Path", "PathPrefix", "NewPath"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a sample request is about."""

    resource: str
    keys: Sequence[str]
    needs: Sequence[str]


def sample(operation: Operation, model: OperationModel) -> Sample:
    """Ask a declaration about a request that gives every member it looks at."""
    given = _given(operation, model)
    keys = operation.context(given, _SCOPE)
    return Sample(
        resource=_written(str(operation.resource(given, _SCOPE))),
        keys=sorted(keys),
        needs=sorted({need.action for need in operation.needs(given, _SCOPE)}),
    )


def _given(operation: Operation, model: OperationModel) -> dict[str, object]:
    if model.input is None:
        return {}
    accepted = {path.partition(".")[0] for path in operation.accepts}
    return {
        name: _GIVEN.get((operation.service, name)) or _filled(name, shape)
        for name, shape in model.input.members.items()
        if name in accepted and name not in _EITHER
    }


def _filled(name: str, shape: Shape) -> object:
    if shape.type == "string":
        return f"/{name}/" if name in _PATHS else name
    if shape.type == "map":
        return {_KEY: name}
    if shape.type == "list":
        return [_element(name, shape.member)]
    return None


def _element(name: str, shape: Shape) -> object:
    if shape.type == "structure":
        return {"Key": _KEY, "Value": name}
    return name


def _written(resource: str) -> str:
    return resource.replace(_REGION, "REGION").replace(_ACCOUNT, "ACCOUNT")
