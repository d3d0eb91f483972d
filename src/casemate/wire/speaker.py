"""What every protocol can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

from casemate.core.call import Request
from casemate.wire.header import header
from casemate.wire.model import ServiceModel, Shape, error_traits
from casemate.wire.reply import Reply, Route
from casemate.wire.trouble import WireError

_SERVER_ERROR = 500


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """
    A refusal as the wire sees it.

    name: of the error's shape, or the code itself where there is none.  code:
    on the wire.  members: those that the shape has, by their names.
    """

    name: str
    code: str
    message: str
    status: int
    request_id: str
    shape: Shape | None
    members: Mapping[str, object]

    @property
    def ours(self) -> bool:
        """Whether the platform, not the caller, is at fault."""
        return self.status >= _SERVER_ERROR


class Speaker(Protocol):
    """
    One service in its protocol.

    unreadable: AWS's code for bytes that are not a request of it.
    """

    unreadable: str

    def route(self, request: Request) -> Route:
        """Find the operation.  Raises UnreadableError, and refusals by AWS's code."""
        ...

    def foresee(self, method: str, path: str, target: str | None) -> str | None:
        """Name the operation from the head alone, where that can be done."""
        ...

    def decode(self, route: Route, request: Request) -> dict[str, object]:
        """Read the parameters.  Raises UnreadableError."""
        ...

    def encode(
        self, operation: str, result: Mapping[str, object], request_id: str
    ) -> Reply:
        """Write an answer.  Raises WrongOutputError."""
        ...

    def encode_error(self, problem: Problem) -> Reply:
        """Write a refusal."""
        ...


def build_problem(
    model: ServiceModel,
    *,
    code: str,
    message: str,
    status: int,
    request_id: str,
    members: Mapping[str, object],
) -> Problem:
    """Lay a refusal over the model's error of that name or code, where it has one."""
    shape = model.errors.get(code)
    if shape is None:
        return Problem(
            name=code,
            code=code,
            message=message,
            status=status,
            request_id=request_id,
            shape=None,
            members={},
        )
    wire_code, modelled, fault = error_traits(shape)
    return Problem(
        name=shape.name,
        code=wire_code or shape.name,
        message=message,
        status=modelled or (status if not fault else max(status, _SERVER_ERROR)),
        request_id=request_id,
        shape=shape,
        members={n: v for n, v in members.items() if n in shape.members},
    )


def told_members(problem: Problem) -> dict[str, object]:
    """Give the members of an error's body: its own, the message, and whose fault."""
    shape = problem.shape
    if shape is None:
        return {"message": problem.message}
    told = dict(problem.members)
    for name in shape.members:
        if name.lower() == "message":
            told[name] = problem.message
        elif name == "Type":
            told.setdefault(name, "Service" if problem.ours else "User")
    return told


def with_message(problem: Problem, body: object) -> dict[str, object]:
    """
    Give an error's JSON body with its message.

    Many of AWS's error shapes have no member for it (CloudWatch Logs' have
    none); AWS sends it all the same, and that is where clients read it.
    """
    told = dict(body) if isinstance(body, Mapping) else {}
    if not any(name.lower() == "message" for name in told):
        told["message"] = problem.message
    return told


def safe_header(name: str, value: str) -> list[tuple[str, str]]:
    """Give a header, or none where the value cannot be one: an error is answered."""
    try:
        return [header(name, value)]
    except WireError:
        return []
