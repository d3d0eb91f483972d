"""
The authz room: from a known call to an allowed one.

1. The operation names its action and its resource; what it needs besides
   (`iam:PassRole`, say) is asked in the same way, one need after the other.
2. The condition keys are filled: first those that every call has, from the
   connection and the proven identity, then those that the operation draws from
   its parameters, last the tags of the resource.  A later source never
   overwrites an earlier one.
3. Identity, boundary, session and resource policies decide together
   (`policy.iam`).
4. A principal that no longer exists has no policies and no rights.
5. What a service does later on somebody's behalf needs that somebody's right as
   well, as it is now: a right that was taken away since is gone.

A denial tells who, what, on which resource, why, and the smallest change that
would allow it.  It reads the same whether or not the resource exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final, Protocol, final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.call import Allowed, Arrival, Inside, Known, Request, Sender
from casemate.core.clock import iso
from casemate.core.errors import Denied
from casemate.core.operation import Need
from casemate.core.principal import Principal
from casemate.policy import iam

Context = dict[str, str | tuple[str, ...]]


class Identity(Protocol):
    """The policies of a principal.  exists: False once it was deleted."""

    @property
    def policies(self) -> Sequence[iam.Policy]: ...
    @property
    def boundary(self) -> iam.Policy | None: ...
    @property
    def exists(self) -> bool: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Facts(Protocol):
    """
    What is known of a resource.

    required: its policy must allow, even within its account (a role's trust).
    """

    @property
    def policies(self) -> Sequence[iam.Policy]: ...
    @property
    def required(self) -> bool: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Identities(Protocol):
    """Finds the policies of principals."""

    def identity(self, principal: Principal, /) -> Identity: ...


class Resources(Protocol):
    """Finds what governs a resource for an action; None: no policy of its own."""

    def facts(self, arn: Arn, action: str, /) -> Facts | None: ...


_CALLERS: Final = 1024
"""Principals of whom the room remembers what policies see; the oldest goes."""

NO_POLICIES: Final[tuple[iam.Policy, ...]] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """
    What policies see of a principal itself, whatever it asks.

    principal: whose this is; kept, so that no other can have its identity.
    context: the keys that follow from it.  policies: of the session, or None.
    """

    principal: Principal
    view: iam.PrincipalView
    context: Context
    policies: tuple[iam.Policy, ...] | None


@final
class _Context(Mapping[str, str | tuple[str, ...]]):
    """The condition keys of a call; filled when a statement first asks for one."""

    __slots__ = ("_fill", "_filled")

    def __init__(self, fill: Callable[[], Context]) -> None:
        self._fill = fill
        self._filled: Context | None = None

    def __getitem__(self, key: str) -> str | tuple[str, ...]:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Context:
        if self._filled is None:
            self._filled = self._fill()
        return self._filled


def _filled(
    caller: _Caller,
    identity: Identity,
    of_call: Context,
    need: Need,
    facts: Facts | None,
) -> Context:
    """Fill the condition keys; a later source never overwrites an earlier one."""
    # The session's tags win over those of its role, so they come after.
    context: Context = {
        f"aws:PrincipalTag/{key}": tag for key, tag in identity.tags.items()
    }
    context |= caller.context
    context |= of_call
    for key, value in need.context.items():
        context.setdefault(key, value)
    for key, value in (facts.tags if facts else {}).items():
        context.setdefault(f"aws:ResourceTag/{key}", value)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Authz:
    """Decide whether the caller may."""

    identities: Identities
    resources: Resources
    _callers: dict[int, _Caller] = field(default_factory=dict, init=False)

    async def __call__(self, known: Known) -> Allowed:
        """Give the allowed call, or raise Denied."""
        operation = known.arrival.operation
        parameters = known.arrival.parameters
        scope = known.scope
        # (1)
        resource = str(operation.resource(parameters, scope))
        if operation.open_to_all:
            return Allowed(known=known, resource=resource, because=("open to all",))
        own = Need(
            action=operation.action,
            resource=resource,
            context=operation.context(parameters, scope),
        )
        because: list[str] = []
        caller, claim = self._caller(known.principal), known.arrival.claim
        for need in (own, *operation.needs(parameters, scope)):
            because.extend(self._hold(caller, partial(_of_call, known.arrival), need))
        # (5)
        if isinstance(claim, Inside) and claim.sender is not None:
            sender = claim.sender
            of_sender = partial(_of_sender, known.arrival, sender)
            held = self._hold(_caller(sender.principal), of_sender, own)
            because.extend(f"{statement}, of the sender" for statement in held)
        return Allowed(known=known, resource=resource, because=tuple(because))

    def _hold(
        self, caller: _Caller, of_call: Callable[[], Context], need: Need
    ) -> tuple[str, ...]:
        principal = caller.principal
        arn = _arn(need.resource)
        facts = self.resources.facts(arn, need.action) if arn else None
        # (2)
        identity = self.identities.identity(principal)
        context = _Context(lambda: _filled(caller, identity, of_call(), need, facts))
        # (4)
        policies = identity.policies if identity.exists else NO_POLICIES
        # (3)
        decision = iam.decide(
            iam.Ask(
                principal=caller.view,
                action=need.action,
                resource=need.resource,
                context=context,
            ),
            identity=policies,
            boundary=identity.boundary,
            session=caller.policies,
            resource_policies=facts.policies if facts else NO_POLICIES,
            resource_account=_owner(arn, principal),
            policy_required=facts.required if facts else False,
        )
        if decision.allowed and identity.exists:
            return tuple(str(statement) for statement in decision.deciding)
        raise _denial(principal, need, decision, exists=identity.exists)

    def _caller(self, principal: Principal) -> _Caller:
        """Give what was worked out of this very principal before, or do it now."""
        found = self._callers.get(id(principal))
        if found is None:
            if len(self._callers) >= _CALLERS:
                del self._callers[next(iter(self._callers))]
            found = self._callers[id(principal)] = _caller(principal)
        return found


def _denial(
    principal: Principal, need: Need, decision: iam.Decision, *, exists: bool
) -> Denied:
    reason = f"{decision.reason}: {decision.remedy}"
    if not exists:
        who = principal.arn or principal.id
        reason = (
            f"User: {who} is not authorized to perform: {need.action} on resource: "
            f"{need.resource} because the user or role does not exist any more"
        )
    return Denied(
        reason,
        evidence={
            "action": need.action,
            "resource": need.resource,
            "deciding": [str(statement) for statement in decision.deciding],
            "trace": [str(finding) for finding in decision.trace],
            "remedy": decision.remedy,
        },
    )


def _owner(arn: Arn | None, principal: Principal) -> str:
    """
    Name the account that owns a resource.

    What has no account in its ARN (`*`, a global name) is the caller's own, and
    so is what AWS gives to every account (`arn:aws:iam::aws:policy/…`).
    """
    if arn is None or arn.account in {"", "aws"}:
        return principal.account
    return arn.account


@lru_cache(maxsize=1024)
def _arn(resource: str) -> Arn | None:
    try:
        return Arn.parse(resource)
    except NotAnArnError:
        return None


def _of_principal(principal: Principal) -> Context:
    """
    Fill the keys that follow from who calls; tags of the session among them.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    context: Context = {**iam.principal_context(iam.PrincipalView.of(principal))}
    if principal.issued_at is not None:
        context["aws:TokenIssueTime"] = iso(principal.issued_at)
    for key, value in principal.tags.items():
        context[f"aws:PrincipalTag/{key}"] = value
    return context


def _caller(principal: Principal) -> _Caller:
    return _Caller(
        principal=principal,
        view=iam.PrincipalView.of(principal),
        context=_of_principal(principal),
        policies=session_policies(principal),
    )


def _of_moment(arrival: Arrival) -> Context:
    return {
        "aws:RequestedRegion": arrival.region,
        "aws:SecureTransport": "true",
        "aws:EpochTime": str(int(arrival.at)),
        "aws:CurrentTime": iso(arrival.at),
    }


def _of_sender(arrival: Arrival, sender: Sender) -> Context:
    """Fill the keys of a sender's own call, which is over, and of this moment."""
    of_sender = {
        "aws:SourceIp": sender.peer,
        "aws:UserAgent": sender.user_agent[:1024],
        "aws:Referer": sender.referer[:1024],
        "aws:SourceArn": sender.source_arn,
        "aws:SourceAccount": sender.source_account,
    }
    given = {key: value for key, value in of_sender.items() if value}
    return {**_of_moment(arrival), **given}


def _of_call(arrival: Arrival) -> Context:
    """Fill the keys that follow from how and when the call came."""
    context = _of_moment(arrival)
    claim = arrival.claim
    if isinstance(claim, Inside):
        context |= _inside(claim)
    else:
        context |= _outside(claim)
    return context


def _inside(claim: Inside) -> Context:
    if claim.acting is not None:
        return {}  # a role's session calls, and has its own keys; no service does
    context: Context = {"aws:SourceAccount": claim.account}
    if claim.source_arn:
        context["aws:SourceArn"] = claim.source_arn
    return context


def _outside(claim: Request) -> Context:
    context: Context = {}
    # A call from a cell has no address of a network; the key stays absent.
    if claim.cell is None and claim.peer:
        context["aws:SourceIp"] = claim.peer
    if agent := claim.header("user-agent"):
        context["aws:UserAgent"] = agent[:1024]
    if referer := claim.header("referer"):
        context["aws:Referer"] = referer[:1024]
    return context


def session_policies(principal: Principal) -> tuple[iam.Policy, ...] | None:
    """Compile a session's own policies; None for a session that has none."""
    if not principal.session_policies:
        return None
    return tuple(
        _session_policy(document, n)
        for n, document in enumerate(principal.session_policies, start=1)
    )


@lru_cache(maxsize=1024)
def _session_policy(document: str, number: int) -> iam.Policy:
    """Compile one, once: a session brings the same documents with every call."""
    name = f"session-{number}"
    return iam.compile_policy(document, name=name, kind=iam.Kind.SESSION)
