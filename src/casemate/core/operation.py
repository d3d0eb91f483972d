"""What a service can do, declared so that no room has to know the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

from casemate.core.arn import Arn

Parameters = Mapping[str, object]
"""An operation's input as botocore names it: str, int, float, bool, bytes,
datetime, lists and mappings of these."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """
    Where a call is made: what fills in the half of an ARN the caller left out.

    user: the name of the IAM user who calls, or empty: some operations of IAM
    mean the caller when they name nobody.
    """

    account: str
    region: str
    user: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One right that a call needs: an IAM action on a resource, with condition keys."""

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    Output members, and what is said beside them.

    notes: for the record.  headers: of the HTTP answer, in lower case; the model
    of the service does not know them, and clients that do not look see nothing.
    """

    result: Mapping[str, object]
    notes: Mapping[str, object]
    headers: tuple[tuple[str, str], ...] = ()


Method = Callable[..., Awaitable[Mapping[str, object] | Told]]
"""An operation's code: takes the `Admitted` call, gives the output members.

The call carries its operation, so naming `Admitted` here would make a cycle;
only `dispatch` calls one, and it holds an `Admitted`."""

ResourceOf = Callable[[Parameters, Scope], Arn | str]
NeedsOf = Callable[[Parameters, Scope], tuple[Need, ...]]
ContextOf = Callable[[Parameters, Scope], Mapping[str, str | tuple[str, ...]]]


def anything(_parameters: Parameters, _scope: Scope) -> str:
    """Name the resource of an operation that has none of its own: `*`."""
    return "*"


def nothing_more(_parameters: Parameters, _scope: Scope) -> tuple[Need, ...]:
    """Say that an operation needs no right but its own."""
    return ()


def no_context(_parameters: Parameters, _scope: Scope) -> Mapping[str, str]:
    """Say that an operation fills no condition keys of its own."""
    return {}


def condition_tags(tags: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    """Fill `aws:RequestTag/…` and `aws:TagKeys` from the tags that a request brings."""
    if not tags:
        return {}
    keyed = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    return {**keyed, "aws:TagKeys": tuple(tags)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    One operation of one service.

    service: its name in botocore's data (`lambda`, `iam`, `logs`, `casemate`).
    action: what IAM calls it (`lambda:InvokeFunction`); empty only for
    operations that AWS itself leaves open to every caller
    (`sts:GetCallerIdentity`), which say so with `open_to_all`.
    resource, needs, context: pure functions of the parameters.
    accepts: the members that are enforced, as dotted paths (`Code.ZipFile`;
    naming a structure accepts all that is in it).  A member that is given and
    not listed is refused by name.
    only: members whose sole acceptable values are listed, because nothing else
    is enforced yet (`{"PackageType": ("Zip",)}`).
    loose: members of which AWS itself takes more than its model lists; the
    service holds them to their rules, not the model.
    mutates: it changes something, and its audit record is durable before the
    answer.  acts: it changes something or makes a function run, though no record
    of its own waits for the disk.  What is neither only reads.
    waits: it mostly waits for something to come.  It takes no place from calls
    that work, and whoever leaves ends it.
    streams: its answer begins before it has ended, as a stream of events.
    body_limit: bytes of HTTP body.  errors: AWS codes it may answer with.
    """

    service: str
    name: str
    action: str
    resource: ResourceOf
    accepts: tuple[str, ...]
    needs: NeedsOf = nothing_more
    context: ContextOf = no_context
    only: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    loose: tuple[str, ...] = ()
    mutates: bool
    acts: bool = False
    waits: bool = False
    streams: bool = False
    paginated: bool = False
    open_to_all: bool = False
    body_limit: int = 1_048_576
    errors: tuple[str, ...] = ()
    method: Method

    @property
    def reads(self) -> bool:
        """Tell whether nothing is different after it, however often it comes."""
        return not (self.mutates or self.acts)


_MARK = "__casemate_operation__"


def operation(
    name: str,
    *,
    action: str,
    resource: ResourceOf,
    accepts: tuple[str, ...],
    mutates: bool,
    acts: bool = False,
    needs: NeedsOf = nothing_more,
    context: ContextOf = no_context,
    only: Mapping[str, tuple[object, ...]] | None = None,
    loose: tuple[str, ...] = (),
    waits: bool = False,
    streams: bool = False,
    paginated: bool = False,
    open_to_all: bool = False,
    body_limit: int = 1_048_576,
    errors: tuple[str, ...] = (),
) -> Callable[[Method], Method]:
    """Declare a method as the code of an operation.  See `Operation` for the words."""

    def mark(method: Method) -> Method:
        declared = Operation(
            service="",
            name=name,
            action=action,
            resource=resource,
            accepts=accepts,
            needs=needs,
            context=context,
            only=only or {},
            loose=loose,
            mutates=mutates,
            acts=acts,
            waits=waits,
            streams=streams,
            paginated=paginated,
            open_to_all=open_to_all,
            body_limit=body_limit,
            errors=errors,
            method=method,
        )
        setattr(method, _MARK, declared)
        return method

    return mark


class UndeclaredError(RuntimeError):
    """An operation does not say what it needs; the platform does not start."""


def operations_of(service: str, *nouns: object) -> tuple[Operation, ...]:
    """
    Collect the operations declared on a service's objects, bound to them.

    Raises UndeclaredError for one without an action that is not `open_to_all`,
    and for two of the same name.
    """
    found: dict[str, Operation] = {}
    for noun in nouns:
        for attribute in dir(type(noun)):
            declared = getattr(getattr(type(noun), attribute), _MARK, None)
            if not isinstance(declared, Operation):
                continue
            if not declared.action and not declared.open_to_all:
                raise UndeclaredError(f"`{service}.{declared.name}` has no IAM action")
            if declared.name in found:
                raise UndeclaredError(f"`{service}.{declared.name}` is there twice")
            found[declared.name] = replace(
                declared, service=service, method=getattr(noun, attribute)
            )
    return tuple(found.values())
