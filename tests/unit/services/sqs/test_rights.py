"""Laws of who may use a queue: its policy and the caller's own, in the real room."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from casemate.app.resources import Resources
from casemate.core.call import Inside
from casemate.core.errors import Denied
from casemate.core.principal import Kind, Principal
from casemate.policy import iam
from casemate.road.authz.room import Authz
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, admitted, session_of
from unit.services.sqs_world import URL, World, arn, run, url

RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r"
ROLE = "arn:aws:iam::{}:role/builder"


@dataclass(frozen=True)
class Identity:
    """Whose policies allow these actions on everything."""

    actions: Sequence[str] = ()
    boundary: None = None
    exists: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def policies(self) -> Sequence[iam.Policy]:
        if not self.actions:
            return ()
        return (_policy({"Effect": "Allow", "Action": self.actions, "Resource": "*"}),)

    def identity(self, _principal: Principal) -> Identity:
        return self


def _policy(statement: object) -> iam.Policy:
    document = {"Version": "2012-10-17", "Statement": statement}
    kind = iam.Kind.IDENTITY
    return iam.compile_policy(json.dumps(document), name="p", kind=kind)


async def may(
    w: World,
    principal: Principal,
    name: str = "SendMessage",
    *,
    identity: Sequence[str] = (),
    address: str = URL,
    claim: Inside | None = None,
) -> bool:
    """Ask the authorization room about a call."""
    operation = w.call.operations[name]
    given = {"QueueUrl": address, "MessageBody": "x"}
    known = admitted(operation, given, principal=principal).known
    if claim is not None:
        arrival = dataclasses.replace(known.arrival, claim=claim)
        known = dataclasses.replace(known, arrival=arrival)
    room = Authz(
        identities=Identity(identity),
        resources=Resources(
            owners={"sqs": lambda arn, _action: w.service.resource_facts(arn)}
        ),
    )
    try:
        await room(known)
    except Denied:
        return False
    return True


def statement(principal: object, **more: object) -> dict[str, object]:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sqs:SendMessage",
        "Resource": arn(),
        **more,
    }


async def policed(w: World, *statements: dict[str, object]) -> None:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    await w.made(Policy=json.dumps(document))


SERVICE = Principal(
    kind=Kind.SERVICE,
    account=ACCOUNT,
    arn="",
    id="events.amazonaws.com",
    name="events.amazonaws.com",
)


@pytest.mark.parametrize(
    ("condition", "good"),
    [
        ({"ArnEquals": {"aws:SourceArn": RULE}}, True),
        ({"ArnLike": {"aws:SourceArn": RULE.replace("/r", "/*")}}, True),
        ({"ArnEquals": {"aws:SourceArn": f"{RULE}2"}}, False),
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceAccount": OTHER_ACCOUNT}}, False),
    ],
)
def test_a_service_sends_where_the_queues_policy_lets_it(
    tmp_path: Path, condition: object, good: bool
) -> None:
    """By its name, and the source for which it sends; it has no other rights."""

    async def law(w: World) -> None:
        service = {"Service": "events.amazonaws.com"}
        await policed(w, statement(service, Condition=condition))
        await w.made("open")
        claim = Inside(service=SERVICE.id, account=ACCOUNT, source_arn=RULE)
        assert good == await may(w, SERVICE, claim=claim)
        assert not await may(w, SERVICE, "ReceiveMessage", claim=claim)
        assert not await may(w, SERVICE, claim=claim, address=url("open"))
        assert not await may(w, SERVICE, claim=claim, address=url("nowhere"))

    run(tmp_path, law)


def test_a_role_sends_by_its_own_policy_or_by_the_queues(tmp_path: Path) -> None:
    """Within the account either is enough, and a deny of either wins."""

    async def law(w: World) -> None:
        role, stranger = {"AWS": ROLE.format(ACCOUNT)}, session_of(role="other")
        await policed(w, statement(role))
        await w.made("plain")
        mine = session_of()
        assert await may(w, mine)
        assert not await may(w, stranger)
        assert await may(w, stranger, identity=["sqs:SendMessage"])
        assert await may(w, mine, identity=["sqs:*"], address=url("plain"))
        assert not await may(w, mine, address=url("plain"))
        deny = statement("*", Effect="Deny", Action="sqs:*")
        document = {"Version": "2012-10-17", "Statement": [deny]}
        given = {"Policy": json.dumps(document)}
        await w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
        assert not await may(w, mine, identity=["sqs:*"])

    run(tmp_path, law)


def test_another_account_needs_both(tmp_path: Path) -> None:
    """Its own policy and the queue's; either alone is not enough."""

    async def law(w: World) -> None:
        await policed(w, statement({"AWS": OTHER_ACCOUNT}))
        await w.made("closed")
        them = session_of(account=OTHER_ACCOUNT)
        assert await may(w, them, identity=["sqs:SendMessage"])
        assert not await may(w, them)
        assert not await may(w, them, identity=["sqs:*"], address=url("closed"))
        assert not await may(w, them, "ReceiveMessage", identity=["sqs:*"])

    run(tmp_path, law)


def test_tags_of_a_queue_are_seen(tmp_path: Path) -> None:
    """`aws:ResourceTag` holds what the queue has now."""

    async def law(w: World) -> None:
        condition = {"StringEquals": {"aws:ResourceTag/team": "keep"}}
        await policed(w, statement({"AWS": ROLE.format(ACCOUNT)}, Condition=condition))
        assert not await may(w, session_of())
        await w.call("TagQueue", QueueUrl=URL, Tags={"team": "keep"})
        assert await may(w, session_of())

    run(tmp_path, law)
