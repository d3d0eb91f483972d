"""
SimulatePrincipalPolicy: what the policies of a user or a role would decide.

The simulation asks the same language that the road asks, with the policies
that are in force now and those that the request adds.  As in AWS, the resource
counts as the simulated caller's own, and no resource's policy is looked at.

A page may be a thousand decisions over hundreds of policies, so it is worked out
beside the loop, one page of an account at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.call import Admitted
from casemate.core.operation import Parameters, operation
from casemate.core.principal import Kind as PrincipalKind
from casemate.core.principal import Principal
from casemate.policy.iam import (
    Ask,
    Decision,
    Kind,
    Policy,
    PrincipalView,
    decide,
    principal_context,
)
from casemate.services.iam import refusals
from casemate.services.iam.directory import Directory, Identity
from casemate.services.iam.documents import compiled
from casemate.services.iam.model import Role, User
from casemate.services.iam.names import text
from casemate.services.iam.pages import Page, Pages
from casemate.services.iam.store import Reader
from casemate.services.iam.targets import the_source, unmoved

Context = dict[str, str | tuple[str, ...]]

_SESSION = "simulation"


@dataclass(frozen=True, slots=True)
class Simulation:
    """Answers what would be allowed."""

    reader: Reader
    directory: Directory
    pages: Pages
    turns: WeakValueDictionary[str, asyncio.Semaphore] = field(
        default_factory=WeakValueDictionary
    )

    @operation(
        "SimulatePrincipalPolicy",
        action="iam:SimulatePrincipalPolicy",
        resource=the_source,
        accepts=(
            "PolicySourceArn",
            "PolicyInputList",
            "ActionNames",
            "ResourceArns",
            "ContextEntries",
            "MaxItems",
            "Marker",
        ),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity", "InvalidInput", "MalformedPolicyDocument"),
    )
    async def principal(self, call: Admitted) -> Mapping[str, object]:
        given = call.parameters
        source = _source(call, self.reader)
        who = _as_principal(source)
        identity = self.directory.identity(who)
        context = {**principal_context(PrincipalView.of(who)), **_context(given)}

        policies = identity.policies

        def rows(after: str) -> Iterator[tuple[str, dict[str, object]]]:
            actions, resources = _texts(given, "ActionNames"), _resources(given)
            first = int(after) + 1 if after else 0
            for number in range(first, len(actions) * len(resources)):
                action, resource = divmod(number, len(resources))
                ask = Ask(
                    principal=PrincipalView.of(who),
                    action=actions[action],
                    resource=resources[resource],
                    context=context,
                )
                result = _result(ask, policies, identity, source.account)
                yield f"{number:09}", result

        def page_of() -> Page[dict[str, object]]:
            nonlocal policies
            policies = (*identity.policies, *_added(given))
            return self.pages.cut(call, rows)

        turn = self.turns.setdefault(source.account, asyncio.Semaphore(1))
        async with turn:
            page = await asyncio.to_thread(page_of)
        return {"EvaluationResults": page.items, **page.members()}


def _source(call: Admitted, reader: Reader) -> User | Role:
    named = text(call.parameters, "PolicySourceArn")
    try:
        arn = Arn.parse(named)
    except NotAnArnError:
        raise refusals.bad_input("`PolicySourceArn` is not an ARN") from None
    own = arn.account == call.principal.account
    found = reader.identity(arn) if own else None
    if found is None:
        kind, _, path = arn.resource.partition("/")
        name = path.rpartition("/")[2]
        raise (refusals.no_user if kind == "user" else refusals.no_role)(name)
    unmoved(call, found.arn)
    return found


def _as_principal(source: User | Role) -> Principal:
    if isinstance(source, User):
        return Principal(
            kind=PrincipalKind.USER,
            account=source.account,
            arn=source.arn,
            id=source.id,
            name=source.name,
        )
    return Principal(
        kind=PrincipalKind.SESSION,
        account=source.account,
        arn=f"arn:aws:sts::{source.account}:assumed-role/{source.name}/{_SESSION}",
        id=f"{source.id}:{_SESSION}",
        name=_SESSION,
        role_arn=source.arn,
        session_name=_SESSION,
    )


def _added(parameters: Parameters) -> tuple[Policy, ...]:
    return tuple(
        compiled(document, Kind.IDENTITY, name=f"PolicyInputList.{number}")
        for number, document in enumerate(_texts(parameters, "PolicyInputList"), 1)
    )


def _texts(parameters: Parameters, member: str) -> tuple[str, ...]:
    given = parameters.get(member)
    return tuple(map(str, given)) if isinstance(given, Sequence) else ()


def _resources(parameters: Parameters) -> tuple[str, ...]:
    return _texts(parameters, "ResourceArns") or ("*",)


def _context(parameters: Parameters) -> Context:
    entries = parameters.get("ContextEntries")
    context: Context = {}
    for entry in entries if isinstance(entries, Sequence) else ():
        key, values = (
            str(entry.get("ContextKeyName", "")),
            entry.get("ContextKeyValues"),
        )
        many = str(entry.get("ContextKeyType", "")).endswith("List")
        found = tuple(map(str, values or ()))
        if not key or not found or (len(found) > 1 and not many):
            raise refusals.bad_input(
                f"the context key `{key}` needs one value, or a type that is a list"
            )
        context[key] = found if many else found[0]
    return context


def _result(
    ask: Ask, policies: Sequence[Policy], identity: Identity, account: str
) -> dict[str, object]:
    decision = decide(
        ask, identity=policies, boundary=identity.boundary, resource_account=account
    )
    result: dict[str, object] = {
        "EvalActionName": ask.action,
        "EvalResourceName": ask.resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": [
            {"SourcePolicyId": ref.policy} for ref in decision.deciding
        ],
    }
    if identity.boundary is not None:
        within = decide(ask, identity=(identity.boundary,), resource_account=account)
        result["PermissionsBoundaryDecisionDetail"] = {
            "AllowedByPermissionsBoundary": within.allowed
        }
    return result


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit else "implicitDeny"
