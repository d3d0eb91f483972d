"""
The validate room: from an allowed call to a sound one.

1. The parameters keep the rules of AWS's model: required members, lengths,
   ranges, patterns, enumerations.
2. A member that is given and not enforced is refused by its name.  It is never
   stored and forgotten.

Rules that the model does not know (Lambda's own limits, what a name refers to)
are the service's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from casemate.core.call import Allowed, Sound
from casemate.core.errors import Invalid
from casemate.core.operation import Operation, Parameters
from casemate.wire import Fault, sentence

_MEANT = {
    "lambda": "InvalidParameterValueException",
    "logs": "InvalidParameterException",
    "sqs": "InvalidParameterValue",
}
"""What a service calls a parameter that it cannot take."""

_LACKING = {"sqs": "MissingParameter"}
"""What a service calls a request that breaks its model, which with these services
can only lack something."""


class Rules(Protocol):
    """The compiled rules of AWS's models."""

    def check(
        self, operation: Operation, parameters: Parameters, /
    ) -> Sequence[Fault]: ...

    def given(
        self, operation: Operation, parameters: Parameters, /
    ) -> Iterable[tuple[str, object]]:
        """Give the dotted path and the value of each member that was sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Validate:
    """Hold a call against its schema."""

    rules: Rules

    def __call__(self, allowed: Allowed) -> Sound:
        """Give the sound call, or raise Invalid."""
        arrival = allowed.known.arrival
        # (1)
        if faults := self.rules.check(arrival.operation, arrival.parameters):
            # `ValidationException`; the protocol's dialect knows its other name.
            lacking = _LACKING.get(arrival.operation.service)
            raise Invalid(sentence(faults), code=lacking)
        # (2)
        operation = arrival.operation
        for path, value in self.rules.given(operation, arrival.parameters):
            if path in operation.accepts and path not in operation.only:
                continue  # as most are
            if reason := unenforced(operation, path, value):
                raise Invalid(reason, code=_MEANT.get(arrival.operation.service))
        return Sound(allowed=allowed)


def unenforced(operation: Operation, path: str, value: object) -> str | None:
    """Say why a member cannot be taken, or None if it is enforced."""
    if path in operation.only:
        values = operation.only[path]
        if value in values:
            return None
        listed = ", ".join(f"`{v}`" for v in values)
        return (
            f"`{path}` can only be {listed} here: other values are not enforced "
            "by this platform yet, so they are refused"
        )
    if path in operation.accepts:
        return None
    parents = path.split(".")
    if any(
        ".".join(parents[: n + 1]) in operation.accepts for n in range(len(parents))
    ):
        return None
    inner = f"{path}."
    if any(name.startswith(inner) for name in (*operation.accepts, *operation.only)):
        return None
    return (
        f"`{path}` of {operation.name} is not enforced by this platform yet, "
        "so it is refused; leave it out"
    )
