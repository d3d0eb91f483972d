"""
The table of operations: what is there, and what of it is enforced.

    python -m casemate.app.table > docs/operations.md

Written from the declarations that the rooms themselves go by: the resource and
the condition keys are those that the authorization room would be given for a
sample request, and a member stands under "refused" because the validate room
refuses it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from casemate.app.compose import MODELS
from casemate.app.declared import declared_operations
from casemate.app.sample import Sample, sample
from casemate.core.operation import Operation
from casemate.road.validate.room import unenforced
from casemate.wire.model import OperationModel, Shape, load_model

TITLES: Final = {
    "casemate": "Casemate",
    "iam": "IAM",
    "lambda": "Lambda",
    "logs": "CloudWatch Logs",
    "sqs": "SQS",
    "sts": "STS",
}
DEPTH: Final = 4
"""Structures in structures that are looked into; no request goes deeper yet."""

HEAD: Final = """\
# Operations

Generated from the code by `scripts/operations-table`; a test holds it to the \
code.

An operation of AWS that is not listed here is answered with the error \
`NotImplemented`.
A member that is listed as refused, if it is given, makes the call fail with an \
error that names it.

Words of an ARN are members of the request.
`REGION` and `ACCOUNT` are the caller's, or those of the ARN that the request \
gives.
"Also needs" are further actions that the caller must be allowed, some of them \
only if the request asks for what they guard.
Condition keys that every call has are left out: `aws:PrincipalArn`, \
`aws:PrincipalAccount`, `aws:PrincipalTag/…`, `aws:ResourceTag/…`, \
`aws:SourceIp`, `aws:CurrentTime`, `aws:RequestedRegion` and their kin; so is \
`iam:PermissionsBoundary` where the user or role that is changed has a boundary.
Errors that every operation may answer with are left out as well: of a bad \
signature, of a denial, of throttling, of a parameter that breaks its rule.
"""


def write(operations: Iterable[Operation]) -> str:
    """Write the page.  operations: in order of service."""
    parts = [HEAD]
    for service, group in groupby(operations, key=lambda o: o.service):
        parts.append("\n".join(_section(service, list(group))))
    return "\n".join(parts)


def _section(service: str, operations: Sequence[Operation]) -> Iterator[str]:
    model = load_model(service, MODELS)
    yield f"## {TITLES[service]}\n"
    yield "### What a caller must be allowed\n"
    yield from _table(
        ("Operation", "Action", "Resource", "Condition keys", "Also needs"),
        (_allowed(o, model.operations[o.name]) for o in operations),
    )
    yield "\n### What is answered\n"
    yield from _table(
        ("Operation", "Changes state", "Pages", "Errors"),
        (_answered(o, model.operations[o.name]) for o in operations),
    )
    yield "\n### What is enforced\n"
    yield from _table(
        ("Operation", "Enforced", "Only these values", "Refused by name"),
        (_enforced(o, model.operations[o.name]) for o in operations),
    )
    yield ""


def _allowed(operation: Operation, model: OperationModel) -> tuple[str, ...]:
    told: Sample = sample(operation, model)
    action = _code([operation.action]) if operation.action else "open to every caller"
    return (
        operation.name,
        action,
        _code([told.resource]),
        _code(told.keys),
        _code(told.needs),
    )


def _answered(operation: Operation, model: OperationModel) -> tuple[str, ...]:
    return (
        operation.name,
        "yes" if operation.mutates else "",
        "yes" if operation.paginated else "",
        _code(sorted(operation.errors or model.errors)),
    )


def _enforced(operation: Operation, model: OperationModel) -> tuple[str, ...]:
    taken, refused = members(operation, model)
    only = (
        f"`{path}`: {', '.join(_value(v) for v in values)}"
        for path, values in sorted(operation.only.items())
    )
    return (operation.name, _code(taken), "; ".join(only), _code(refused))


def members(operation: Operation, model: OperationModel) -> tuple[list[str], list[str]]:
    """Give the members that are enforced, and those that are refused by name."""
    taken: list[str] = []
    refused: list[str] = []
    if model.input is not None:
        for name, shape in model.input.members.items():
            _sort(operation, name, shape, taken, refused)
    return sorted(taken), sorted(refused)


def _sort(
    operation: Operation, path: str, shape: Shape, taken: list[str], refused: list[str]
) -> None:
    """Put a member where it belongs; a structure whose parts agree goes as one."""
    parts: tuple[list[str], list[str]] = ([], [])
    inner = shape
    while inner.type == "list":
        inner = inner.member
    deep = inner.type == "structure" and path.count(".") < DEPTH
    if deep and not inner.document and not _whole(operation, path):
        for name, member in inner.members.items():
            _sort(operation, f"{path}.{name}", member, *parts)
    elif path not in operation.only:
        parts[unenforced(operation, path, None) is not None].append(path)
    mixed = parts[0] and parts[1]
    agreed = not mixed and not _restricted(operation, path)
    for found, into in zip(parts, (taken, refused), strict=True):
        into.extend([path] if found and agreed else found)


def _whole(operation: Operation, path: str) -> bool:
    """Whether a member is accepted with all that is in it."""
    return path in operation.accepts or path in operation.only


def _restricted(operation: Operation, path: str) -> bool:
    return any(name.startswith(f"{path}.") for name in operation.only)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _value(value: object) -> str:
    """Write a value as JSON would have it; an empty text is said in words."""
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


async def page() -> str:
    """Write the page of the operations that are declared."""
    async with declared_operations() as operations:
        return write(operations)


def main() -> None:
    """Write the page on standard output."""
    sys.stdout.write(asyncio.run(page()))


if __name__ == "__main__":
    main()
