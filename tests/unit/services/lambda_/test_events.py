"""Laws of asynchronous events, as Lambda's clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from casemate.core.errors import Conflict, Invalid, NotFound, Throttled, TooLarge
from casemate.core.event import Plan
from casemate.services.lambda_.settings import EVENT_PAYLOAD
from casemate.services.lambda_.targets import Targets
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import SHA, run
from unit.services.lambda_world import ROLE, Rights, World, given

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
OTHER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"
MOST = b'"%s"' % (b"x" * (EVENT_PAYLOAD - 2))
TO_QUEUE = {"OnFailure": {"Destination": QUEUE}}


def test_an_event_is_taken_and_acknowledged(tmp_path: Path) -> None:
    """202, under the request's own id; the function has not run by then."""

    async def law(w: World) -> None:
        await w.made()
        for name in ("f", ARN, "f:$LATEST"):
            answer = await w.call(
                "Invoke", FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}'
            )
            assert answer == {"StatusCode": 202}
        assert {event.target for event in w.taken.events} == {f"{ARN}:$LATEST"}
        named = [event.invoked for event in w.taken.events]
        assert named == [ARN, ARN, f"{ARN}:$LATEST"]
        assert (w.taken.events[0].payload, w.taken.events[0].account) == (
            b'{"a": 1}',
            ACCOUNT,
        )
        assert [] == w.cells.ran

    run(tmp_path, law)


def test_what_cannot_be_an_event_is_refused_and_not_taken(tmp_path: Path) -> None:
    """No function, no JSON, more than a megabyte, what only an answer could bring."""

    async def law(w: World) -> None:
        await w.made()
        event = {"FunctionName": "f", "InvocationType": "Event"}
        with pytest.raises(NotFound):
            await w.call("Invoke", **{**event, "FunctionName": "g"})
        with pytest.raises(Invalid):
            await w.call("Invoke", **event, Payload=b"{")
        with pytest.raises(TooLarge, match=str(EVENT_PAYLOAD)):
            await w.call("Invoke", **event, Payload=MOST + b" ")
        with pytest.raises(Invalid, match="LogType"):
            await w.call("Invoke", **event, LogType="Tail")
        with pytest.raises(Invalid, match="ClientContext"):
            await w.call("Invoke", **event, ClientContext="e30=")
        assert [] == w.taken.events
        await w.call("Invoke", **event, LogType="None")
        await w.call("Invoke", **event, Payload=MOST)
        assert MOST == w.taken.events[-1].payload

    run(tmp_path, law)


def test_an_event_that_finds_no_room_is_refused(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        w.taken.room = 0
        with pytest.raises(Throttled):
            await w.call("Invoke", FunctionName="f", InvocationType="Event")

    run(tmp_path, law)


def test_a_pending_function_takes_events_and_a_failed_one_none(tmp_path: Path) -> None:
    """The first will be there when its event runs; the second never is."""

    async def law(w: World) -> None:
        event = {"FunctionName": "f", "InvocationType": "Event"}
        await w.call("CreateFunction", **given())
        await w.call("Invoke", **event)
        assert 1 == len(w.taken.events)
        await w.service.close()
        await w.store.blobs.delete(ACCOUNT, SHA)
        assert w.service.resume() == 1
        await w.settled()
        with pytest.raises(Conflict, match="Failed"):
            await w.call("Invoke", **event)
        assert 1 == len(w.taken.events)

    run(tmp_path, law)


def test_settings_are_put_changed_shown_and_removed(tmp_path: Path) -> None:
    """Put says all anew, update what is given; what is not set is not shown."""

    async def law(w: World) -> None:
        await w.made()
        w.rights.everything = True
        with pytest.raises(NotFound):
            await w.call("GetFunctionEventInvokeConfig", FunctionName="f")
        with pytest.raises(NotFound):
            await w.call(
                "UpdateFunctionEventInvokeConfig",
                FunctionName="f",
                MaximumRetryAttempts=0,
            )
        put = await w.call(
            "PutFunctionEventInvokeConfig",
            FunctionName="f",
            MaximumRetryAttempts=1,
            DestinationConfig=TO_QUEUE,
        )
        ways = {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}
        assert (put["FunctionArn"], put["DestinationConfig"]) == (
            f"{ARN}:$LATEST",
            ways,
        )
        assert "MaximumEventAgeInSeconds" not in put
        changed = await w.call(
            "UpdateFunctionEventInvokeConfig",
            FunctionName="f",
            MaximumEventAgeInSeconds=60,
            DestinationConfig={"OnSuccess": {"Destination": OTHER}},
        )
        assert changed["MaximumRetryAttempts"] == 1
        assert changed["DestinationConfig"] == {
            "OnSuccess": {"Destination": OTHER},
            "OnFailure": {"Destination": QUEUE},
        }
        shown = await w.call("GetFunctionEventInvokeConfig", FunctionName=ARN)
        assert shown == changed
        put = await w.call(
            "PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=0
        )
        assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
        await w.call("DeleteFunctionEventInvokeConfig", FunctionName="f")
        with pytest.raises(NotFound):
            await w.call("DeleteFunctionEventInvokeConfig", FunctionName="f")

    run(tmp_path, law)


def test_settings_are_listed(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        await w.made("g")
        listed = await w.call("ListFunctionEventInvokeConfigs", FunctionName="f")
        assert listed == {"FunctionEventInvokeConfigs": []}
        for name in "fg":
            await w.call(
                "PutFunctionEventInvokeConfig",
                FunctionName=name,
                MaximumRetryAttempts=0,
            )
        listed = await w.call("ListFunctionEventInvokeConfigs", FunctionName="f")
        (one,) = _listed(listed)
        assert one["FunctionArn"] == f"{ARN}:$LATEST"
        with pytest.raises(Invalid, match="Marker"):
            await w.call("ListFunctionEventInvokeConfigs", FunctionName="f", Marker="x")

    run(tmp_path, law)


def _listed(answer: Mapping[str, object]) -> list[dict[str, object]]:
    found = answer["FunctionEventInvokeConfigs"]
    assert isinstance(found, list)
    return found


def test_nothing_to_say_is_refused(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(Invalid, match="at least one"):
            await w.call("PutFunctionEventInvokeConfig", FunctionName="f")

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("arn:aws:sns:us-east-1:111122223333:t", "a topic"),
        ("arn:aws:events:us-east-1:111122223333:event-bus/b", "an event bus"),
        ("arn:aws:s3:::bucket", "a bucket"),
        ("arn:aws:kinesis:us-east-1:111122223333:stream/s", "invalid"),
        ("arn:aws:sqs:eu-west-1:111122223333:q", "another region"),
        ("arn:aws:sqs:us-east-1:111122223333:q.fifo", "FIFO"),
        ("arn:aws:sqs:us-east-1:111122223333:a/b", "invalid"),
        ("arn:aws:sqs:us-east-1::q", "invalid"),
        ("arn:aws:lambda:us-east-1:111122223333:layer:l", "invalid"),
        ("arn:aws-cn:sqs:us-east-1:111122223333:q", "invalid"),
        ("nonsense", "invalid"),
    ],
)
def test_a_target_that_is_not_here_is_refused_by_name(target: str, words: str) -> None:
    """As a destination and as dead letters."""
    targets = Targets(rights=Rights(everything=True))
    with pytest.raises(Invalid, match=words):
        targets.destination(target, role_arn=ROLE, region=REGION)
    with pytest.raises(Invalid):
        targets.dead_letter(target, role_arn=ROLE, region=REGION)


def test_a_target_is_taken_only_if_the_role_may_use_it(tmp_path: Path) -> None:
    """AWS's error, and nothing written; once it may, it is taken."""

    async def law(w: World) -> None:
        await w.made()
        put = {"FunctionName": "f", "DestinationConfig": TO_QUEUE}
        with pytest.raises(Invalid, match="does not have permissions to call SendM"):
            await w.call("PutFunctionEventInvokeConfig", **put)
        with pytest.raises(NotFound):
            await w.call("GetFunctionEventInvokeConfig", FunctionName="f")
        w.rights.given.add((ROLE, "sqs:SendMessage", QUEUE))
        await w.call("PutFunctionEventInvokeConfig", **put)
        to_function = {"OnSuccess": {"Destination": OTHER}}
        with pytest.raises(Invalid, match="InvokeFunction"):
            await w.call(
                "UpdateFunctionEventInvokeConfig",
                FunctionName="f",
                DestinationConfig=to_function,
            )
        w.rights.given.add((ROLE, "lambda:InvokeFunction", OTHER))
        await w.call(
            "UpdateFunctionEventInvokeConfig",
            FunctionName="f",
            DestinationConfig=to_function,
        )

    run(tmp_path, law)


def test_dead_letters_are_a_queue_that_the_role_may_use(tmp_path: Path) -> None:
    """At creation and at a change, also of the role; an empty one takes it away."""

    async def law(w: World) -> None:
        dead: dict[str, object] = {"DeadLetterConfig": {"TargetArn": QUEUE}}
        with pytest.raises(Invalid, match="does not have permissions"):
            await w.call("CreateFunction", **given(**dead))
        with pytest.raises(NotFound):
            await w.call("GetFunction", FunctionName="f")
        w.rights.given.add((ROLE, "sqs:SendMessage", QUEUE))
        made = await w.made("f", **dead)
        assert made["DeadLetterConfig"] == {"TargetArn": QUEUE}
        change = {"FunctionName": "f"}
        with pytest.raises(Invalid, match="does not have permissions"):
            await w.call("UpdateFunctionConfiguration", **change, Role=f"{ROLE}-other")
        with pytest.raises(Invalid, match="dead letters go to a queue"):
            await w.call(
                "UpdateFunctionConfiguration",
                **change,
                DeadLetterConfig={"TargetArn": OTHER},
            )
        shown = await w.call(
            "UpdateFunctionConfiguration", **change, Description="more"
        )
        assert shown["DeadLetterConfig"] == {"TargetArn": QUEUE}
        await w.settled()
        shown = await w.call(
            "UpdateFunctionConfiguration", **change, DeadLetterConfig={"TargetArn": ""}
        )
        assert "DeadLetterConfig" not in shown

    run(tmp_path, law)


def test_a_plan_is_what_was_said_last(tmp_path: Path) -> None:
    """AWS's numbers by default; a change holds at once; no function, no plan."""

    async def law(w: World) -> None:
        target = f"{ARN}:$LATEST"
        assert w.service.plans.plan(target) is None
        await w.made()
        plan = w.service.plans.plan(target)
        assert plan == Plan(role_arn=ROLE, role_id="AROAWORKERWORKERWORKE")
        assert (plan.retries, plan.max_age) == (2, 21_600)
        await w.call(
            "PutFunctionEventInvokeConfig",
            FunctionName="f",
            MaximumRetryAttempts=0,
            MaximumEventAgeInSeconds=60,
        )
        assert w.service.plans.plan(target) == replace(plan, retries=0, max_age=60)
        await w.call("DeleteFunctionEventInvokeConfig", FunctionName="f")
        assert w.service.plans.plan(target) == plan

    run(tmp_path, law)


def test_a_function_made_again_has_nothing_of_the_first(tmp_path: Path) -> None:
    """The settings go with the function, in one commit; a namesake's stay."""

    async def law(w: World) -> None:
        for name in ("f", "ff"):
            await w.made(name)
            await w.call(
                "PutFunctionEventInvokeConfig",
                FunctionName=name,
                MaximumRetryAttempts=0,
            )
        await w.call("DeleteFunction", FunctionName="f")
        await w.made()
        with pytest.raises(NotFound):
            await w.call("GetFunctionEventInvokeConfig", FunctionName="f")
        await w.call("GetFunctionEventInvokeConfig", FunctionName="ff")

    run(tmp_path, law)


def test_another_account_finds_nothing(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(NotFound):
            await w.of(OTHER_ACCOUNT)(
                "PutFunctionEventInvokeConfig",
                FunctionName="f",
                MaximumRetryAttempts=0,
            )

    run(tmp_path, law)


def test_each_qualifier_has_settings_of_its_own(tmp_path: Path) -> None:
    """They are of an alias or a version, are listed together, and go with it."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        alias = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}
        await w.call("CreateAlias", **alias)
        for qualifier, retries in (("$LATEST", 2), ("1", 1), ("live", 0)):
            await w.call(
                "PutFunctionEventInvokeConfig",
                FunctionName="f",
                Qualifier=qualifier,
                MaximumRetryAttempts=retries,
            )
            plan = w.service.plans.plan(f"{ARN}:{qualifier}")
            assert plan is not None
            assert plan.retries == retries
        listed = await w.call("ListFunctionEventInvokeConfigs", FunctionName="f")
        arns = [one["FunctionArn"] for one in _listed(listed)]
        assert arns == [f"{ARN}:{q}" for q in ("$LATEST", "1", "live")]
        await w.call(
            "Invoke", FunctionName="f", Qualifier="live", InvocationType="Event"
        )
        assert w.taken.events[-1].target == f"{ARN}:live"
        await w.call("DeleteAlias", FunctionName="f", Name="live")
        assert w.service.plans.plan(f"{ARN}:live") is None
        await w.call("CreateAlias", **alias)
        with pytest.raises(NotFound):
            await w.call(
                "GetFunctionEventInvokeConfig", FunctionName="f", Qualifier="live"
            )

    run(tmp_path, law)
