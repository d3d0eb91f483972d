"""The authz room: all policies together, needs included, and denials that teach."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from casemate.core.arn import Arn
from casemate.core.call import Allowed, Inside, Sender
from casemate.core.errors import Denied
from casemate.core.operation import Need, Operation, Parameters, Scope
from casemate.core.principal import Kind as PrincipalKind
from casemate.core.principal import Principal
from casemate.policy.iam import Kind, Policy, compile_policy
from casemate.road.authz.room import Authz
from unit.road.test_road import OPERATION
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, admitted, session_of

ROLE = f"arn:aws:iam::{ACCOUNT}:role/passed"


def the_function(parameters: Parameters, scope: Scope) -> Arn:
    account = str(parameters.get("Account", scope.account))
    return Arn(
        service="lambda", region=scope.region, account=account, resource="function:f"
    )


def pass_role(_parameters: Parameters, _scope: Scope) -> tuple[Need, ...]:
    return (
        Need(
            action="iam:PassRole",
            resource=ROLE,
            context={"iam:PassedToService": "lambda.amazonaws.com"},
        ),
    )


RUN = dataclasses.replace(OPERATION, action="lambda:Run", resource=the_function)
MAKE = dataclasses.replace(RUN, action="lambda:Make", needs=pass_role)


@dataclass(frozen=True)
class Facts:
    policies: Sequence[Policy] = ()
    required: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """One principal with its policies, one resource with its facts."""

    policies: Sequence[Policy] = ()
    boundary: Policy | None = None
    exists: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    resource: Facts | None = None

    def identity(self, _principal: Principal) -> World:
        return self

    def facts(self, arn: Arn, _action: str) -> Facts | None:
        return self.resource if arn.service == "lambda" else None


def policy(*statements: Mapping[str, object], kind: Kind = Kind.IDENTITY) -> Policy:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return compile_policy(json.dumps(document), name="p", kind=kind)


def allow(action: str, resource: str = "*", **more: object) -> dict[str, object]:
    return {
        "Sid": "S",
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **more,
    }


def ask(
    world: World,
    operation: Operation = RUN,
    principal: Principal | None = None,
    **parameters: object,
) -> Allowed:
    call = admitted(operation, parameters, principal=principal)
    return asyncio.run(Authz(identities=world, resources=world)(call.known))


def denied(world: World, operation: Operation = RUN, **parameters: object) -> Denied:
    with pytest.raises(Denied) as caught:
        ask(world, operation, None, **parameters)
    return caught.value


def test_nobody_is_allowed_by_default() -> None:
    """Without a policy the answer is no, with the change that would help."""
    told = denied(World())

    assert "is not authorized to perform: lambda:Run" in told.reason
    assert "attach to role" in str(told.evidence["remedy"])


def test_a_statement_allows_and_is_named() -> None:
    """What decided goes to the record."""
    allowed = ask(World(policies=[policy(allow("lambda:Run"))]))

    assert ("p#S",) == allowed.because


def test_every_need_is_asked() -> None:
    """Making a function without the right to pass its role is denied (Z4)."""
    told = denied(World(policies=[policy(allow("lambda:*"))]), MAKE)

    assert "iam:PassRole" in told.reason
    assert ROLE in told.reason


def test_a_need_has_its_own_condition_keys() -> None:
    """iam:PassedToService must fit (Z4)."""
    other = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    right = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    make, passing = allow("lambda:Make"), allow("iam:PassRole", ROLE)

    denied(
        World(policies=[policy(make, {**passing, "Condition": other, "Sid": "T"})]),
        MAKE,
    )
    ask(
        World(policies=[policy(make, {**passing, "Condition": right, "Sid": "T"})]),
        MAKE,
    )


def test_a_principal_that_is_gone_has_no_rights() -> None:
    """Policies of a deleted role do not count."""
    world = World(policies=[policy(allow("*"))], exists=False)

    assert "does not exist any more" in denied(world).reason


def test_another_account_needs_both_sides() -> None:
    """Identity and resource policy must allow across accounts (Z7)."""
    mine = policy(allow("lambda:Run"))
    theirs = policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "lambda:Run",
            "Resource": "*",
        },
        kind=Kind.RESOURCE,
    )

    denied(World(policies=[mine]), Account=OTHER_ACCOUNT)
    denied(World(resource=Facts(policies=[theirs])), Account=OTHER_ACCOUNT)
    ask(
        World(policies=[mine], resource=Facts(policies=[theirs])),
        Account=OTHER_ACCOUNT,
    )


def test_a_denial_does_not_tell_whether_the_resource_is_there() -> None:
    """The answer for a foreign function is the same if there is none (Z14)."""
    there = denied(World(resource=Facts()), Account=OTHER_ACCOUNT)
    absent = denied(World(resource=None), Account=OTHER_ACCOUNT)

    assert there.reason == absent.reason
    assert there.code == absent.code


def test_tags_of_the_resource_fill_condition_keys() -> None:
    """aws:ResourceTag comes from what is stored, not from the caller."""
    condition = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    own = policy(allow("lambda:Run", Condition=condition))

    ask(World(policies=[own], resource=Facts(tags={"team": "red"})))
    denied(World(policies=[own], resource=Facts(tags={"team": "blue"})))
    denied(World(policies=[own]))


def test_a_session_policy_only_narrows() -> None:
    """What the session's own policy leaves out is denied."""
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [allow("lambda:Other")]})
    session = dataclasses.replace(session_of(), session_policies=(narrow,))

    with pytest.raises(Denied):
        ask(World(policies=[policy(allow("*"))]), principal=session)


def test_what_aws_gives_to_all_is_everybodys_own() -> None:
    """A managed policy of AWS is no foreign account's resource."""

    def managed(_parameters: Parameters, _scope: Scope) -> str:
        return "arn:aws:iam::aws:policy/AdministratorAccess"

    read = dataclasses.replace(RUN, action="iam:GetPolicy", resource=managed)

    ask(World(policies=[policy(allow("iam:GetPolicy"))]), read)


SENDER = Sender(principal=session_of(session="bob"), peer="198.51.100.7")
LATER = policy(
    {**allow("lambda:Run"), "Principal": {"Service": "lambda.amazonaws.com"}},
    kind=Kind.RESOURCE,
)
SERVICE = Principal(
    kind=PrincipalKind.SERVICE,
    account=ACCOUNT,
    arn="",
    id="lambda.amazonaws.com",
    name="lambda.amazonaws.com",
)


class Left(World):
    """A world in which services are, and nobody else is any more."""

    def identity(self, principal: Principal) -> World:
        gone = principal.kind is not PrincipalKind.SERVICE
        return dataclasses.replace(self, exists=not gone)


def later(world: World, sender: Sender) -> Allowed:
    """Ask as a service that does later what somebody has asked for."""
    known = admitted(RUN, {}, principal=SERVICE).known
    claim = Inside(service=SERVICE.id, account=ACCOUNT, sender=sender)
    known = dataclasses.replace(
        known, arrival=dataclasses.replace(known.arrival, claim=claim)
    )
    return asyncio.run(Authz(identities=world, resources=world)(known))


def test_z18_what_is_done_later_needs_the_senders_right_still() -> None:
    """The service's right is not enough; the sender's is weighed as it is now."""
    resource = Facts(policies=(LATER,))
    told = later(
        World(policies=(policy(allow("lambda:Run")),), resource=resource), SENDER
    )
    assert ("p#S", "p#S, of the sender") == told.because

    for world in (World(resource=resource), Left(resource=resource)):
        with pytest.raises(Denied) as refused:
            later(world, SENDER)
        assert SENDER.principal.arn in refused.value.reason


def test_z18_a_sender_is_weighed_by_the_call_that_they_made() -> None:
    """Their address is the one that they called from, not the service's."""
    near = {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
    world = World(
        policies=(policy(allow("lambda:Run", Condition=near)),),
        resource=Facts(policies=(LATER,)),
    )
    later(world, SENDER)
    with pytest.raises(Denied):
        later(world, dataclasses.replace(SENDER, peer="192.0.2.1"))


def test_a_senders_right_does_not_stand_in_for_the_services() -> None:
    """Who calls is the service, and it needs the resource's policy."""
    with pytest.raises(Denied):
        later(World(policies=(policy(allow("lambda:Run")),)), SENDER)
