"""Laws of queues: their names, attributes, policies, tags, and ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import Denied, Invalid, Refusal
from casemate.services.sqs.counting import Counting
from casemate.services.sqs.model import QueueRef
from casemate.services.sqs.settings import QueueSettings
from casemate.substrate.ports import Queue as Messages
from casemate.substrate.ports import SubstrateError
from casemate.substrate.sqlite import Limits
from unit.services.calls import ACCOUNT, NOW, OTHER_ACCOUNT, REGION, refused
from unit.services.sqs_world import ENDPOINT, URL, World, arn, redrive, run, url

DEFAULTS = {
    "QueueArn": arn(),
    "CreatedTimestamp": str(int(NOW)),
    "LastModifiedTimestamp": str(int(NOW)),
    "SqsManagedSseEnabled": "true",
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
}
BOUNDS = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "SQS:SendMessage",
            "Resource": arn(),
        }
    ],
}


def test_a_queue_is_made_found_and_deleted(tmp_path: Path) -> None:
    """Its address names account and queue; a name that is gone is not found."""

    async def law(w: World) -> None:
        assert URL == await w.made()
        assert DEFAULTS == await w.attributes("All")
        assert {} == await w.attributes() == await w.attributes("FifoQueue")
        stray = await refused(w.attributes("Colour"))
        assert "InvalidAttributeName" == stray.code
        found = await w.call("GetQueueUrl", QueueName="q")
        assert {"QueueUrl": URL} == found
        assert {"QueueUrls": [URL]} == await w.call("ListQueues")
        await w.call("DeleteQueue", QueueUrl=URL)
        for name, given in (
            ("GetQueueUrl", {"QueueName": "q"}),
            ("GetQueueAttributes", {"QueueUrl": URL}),
            ("SendMessage", {"QueueUrl": URL, "MessageBody": "x"}),
            ("ReceiveMessage", {"QueueUrl": URL}),
            ("DeleteQueue", {"QueueUrl": URL}),
        ):
            told = await refused(w.call(name, **given))
            assert ("QueueDoesNotExist", 400) == (told.code, told.http_status)

    run(tmp_path, law)


def test_a_name_is_free_again_after_a_minute(tmp_path: Path) -> None:
    """And the new queue shows nothing of the old one, nor takes its handles."""

    async def law(w: World) -> None:
        await w.made()
        await w.send("secret")
        handle = (await w.one())["ReceiptHandle"]
        await w.call("DeleteQueue", QueueUrl=URL)
        assert "QueueDeletedRecently" == (await refused(w.made())).code
        w.clock.forward(60)
        await w.made()
        assert (0, 0, 0) == await w.counts()
        assert "ReceiptHandleIsInvalid" == (await refused(w.delete(handle))).code

    run(tmp_path, law)


def test_what_a_crash_left_of_a_deleted_queue_is_removed(tmp_path: Path) -> None:
    """A message that came when its queue was going is not kept for ever."""

    async def law(w: World) -> None:
        await w.made()
        ref = QueueRef(account=ACCOUNT, region=REGION, name="q")
        name = f"sqs/{w.service.directory.present(ref).id}"
        await w.call("DeleteQueue", QueueUrl=URL)
        await w.store.queue.send(ACCOUNT, name, b"late")
        await w.service.expire(w.clock.now())
        w.clock.forward(60)
        await w.service.expire(w.clock.now())
        assert (0, 0, 0) == w.store.queue.depth(ACCOUNT, name)

    run(tmp_path, law)


def test_making_a_queue_twice_gives_it_again_if_it_is_the_same(tmp_path: Path) -> None:
    """Another value of an attribute is another queue, and there is one already."""

    async def law(w: World) -> None:
        await w.made(VisibilityTimeout="60")
        assert URL == await w.made(VisibilityTimeout="60")
        assert URL == await w.made()
        assert "QueueNameExists" == (await refused(w.made(VisibilityTimeout="61"))).code
        assert "60" == (await w.attributes("All"))["VisibilityTimeout"]

    run(tmp_path, law)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 81, "ä", "a\n", "../q"])
def test_what_is_no_queues_name_is_refused(tmp_path: Path, name: str) -> None:
    async def law(w: World) -> None:
        assert "InvalidParameterValue" == (await refused(w.made(name))).code
        await w.made("x" * 80)

    run(tmp_path, law)


@pytest.mark.parametrize(
    "address",
    ["", "q", f"{ENDPOINT}/q", f"{ENDPOINT}/{ACCOUNT}/q/x", f"{URL}?a", f"{URL}\n"],
)
def test_what_is_no_queues_address_is_refused(tmp_path: Path, address: str) -> None:
    async def law(w: World) -> None:
        call = w.call("GetQueueAttributes", QueueUrl=address)
        assert "InvalidAddress" == (await refused(call)).code

    run(tmp_path, law)


def test_an_address_is_good_whatever_host_it_was_made_with(tmp_path: Path) -> None:
    """A function in its cell reaches the platform by another name."""

    async def law(w: World) -> None:
        await w.made()
        for host in ("https://api.casemate.internal", "http://sqs.us-east-1.aws:1"):
            await w.call("GetQueueAttributes", QueueUrl=f"{host}/{ACCOUNT}/q")

    run(tmp_path, law)


@pytest.mark.parametrize("attribute", BOUNDS)
def test_numbers_have_bounds(tmp_path: Path, attribute: str) -> None:
    """At making and at setting; what is refused changes nothing."""

    async def law(w: World) -> None:
        low, high = BOUNDS[attribute]
        await w.made()
        for good in (low, high):
            given = {attribute: str(good)}
            await w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
            assert given == await w.attributes(attribute)
        for bad in (str(low - 1), str(high + 1), "", "1e2", "٣٠", " 60", "60\n"):
            given = {attribute: bad}
            call = w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
            assert "InvalidAttributeValue" == (await refused(call)).code
            assert "InvalidAttributeValue" == (await refused(w.made("r", **given))).code
        assert {attribute: str(high)} == await w.attributes(attribute)
        assert {"QueueUrls": [URL]} == await w.call("ListQueues")

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("FifoQueue", "true", "FIFO"),
        ("ContentBasedDeduplication", "true", "FIFO"),
        ("DeduplicationScope", "queue", "FIFO"),
        ("FifoThroughputLimit", "perQueue", "FIFO"),
        ("KmsMasterKeyId", "alias/aws/sqs", "KMS"),
        ("KmsDataKeyReusePeriodSeconds", "300", "KMS"),
        ("All", "1", "All"),
        ("QueueArn", "a", "QueueArn"),
        ("Colour", "blue", "Colour"),
    ],
)
def test_an_attribute_that_is_not_enforced_is_refused_by_name(
    tmp_path: Path, attribute: str, value: str, says: str
) -> None:
    async def law(w: World) -> None:
        told = await refused(w.made(**{attribute: value}))
        assert "InvalidAttributeName" == told.code
        assert attribute in told.reason
        assert says in told.reason
        assert "FIFO" in (await refused(w.made("q.fifo"))).reason
        assert {} == await w.call("ListQueues")

    run(tmp_path, law)


def test_encryption_at_rest_can_only_be_on(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made(SqsManagedSseEnabled="true")
        off = {"SqsManagedSseEnabled": "false"}
        call = w.call("SetQueueAttributes", QueueUrl=URL, Attributes=off)
        assert "InvalidAttributeValue" == (await refused(call)).code

    run(tmp_path, law)


def test_a_change_is_dated(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        w.clock.forward(5)
        given = {"DelaySeconds": "1"}
        await w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
        told = await w.attributes("CreatedTimestamp", "LastModifiedTimestamp")
        assert {
            "CreatedTimestamp": str(int(NOW)),
            "LastModifiedTimestamp": str(int(NOW) + 5),
        } == told

    run(tmp_path, law)


def test_queues_are_listed_in_pages(tmp_path: Path) -> None:
    """By prefix; a token is for its own query, account and page size given."""

    async def law(w: World) -> None:
        for name in ("a1", "a2", "a3", "b1"):
            await w.made(name)
        page: Any = await w.call("ListQueues", QueueNamePrefix="a", MaxResults=2)
        assert [url("a1"), url("a2")] == page["QueueUrls"]
        more = {"MaxResults": 2, "NextToken": page["NextToken"]}
        rest = await w.call("ListQueues", QueueNamePrefix="a", **more)
        assert {"QueueUrls": [url("a3")]} == rest
        for caller, given in (
            (w.call, more),
            (w.call, {"QueueNamePrefix": "a", "NextToken": page["NextToken"]}),
            (w.of(OTHER_ACCOUNT), {"QueueNamePrefix": "a", **more}),
            (w.call, {"QueueNamePrefix": "a", **more, "NextToken": "x"}),
            (w.call, {"MaxResults": 0}),
            (w.call, {"MaxResults": 1001}),
        ):
            call = caller("ListQueues", **given)
            assert "InvalidParameterValue" == (await refused(call)).code

    run(tmp_path, law)


def test_an_account_has_so_many_queues(tmp_path: Path) -> None:
    """One more is refused; the same again is not one more."""

    async def law(w: World) -> None:
        await w.made("a")
        await w.made("b")
        assert "OverLimit" == (await refused(w.made("c"))).code
        await w.made("b")
        await w.of(OTHER_ACCOUNT)("CreateQueue", QueueName="c")
        await w.call("DeleteQueue", QueueUrl=url("a"))
        await w.made("c")

    run(tmp_path, law, QueueSettings(endpoint=ENDPOINT, queues=2))


def test_queues_made_at_once_do_not_pass_the_limit(tmp_path: Path) -> None:
    """Each alone would fit."""

    async def law(w: World) -> None:
        made = await asyncio.gather(
            *(w.made(f"q{n}") for n in range(20)), return_exceptions=True
        )
        assert 18 == sum(isinstance(one, Refusal) for one in made)

    run(tmp_path, law, QueueSettings(endpoint=ENDPOINT, queues=2))


def test_another_account_sees_nothing(tmp_path: Path) -> None:
    """Names are an account's own; what the owner alone may do nobody else does."""

    async def law(w: World) -> None:
        await w.made()
        stranger = w.of(OTHER_ACCOUNT)
        assert {} == await stranger("ListQueues")
        assert (
            "QueueDoesNotExist"
            == (await refused(stranger("GetQueueUrl", QueueName="q"))).code
        )
        for name, given in (
            ("DeleteQueue", {}),
            ("SetQueueAttributes", {"Attributes": {"DelaySeconds": "1"}}),
            ("AddPermission", {"Label": "a", "AWSAccountIds": [], "Actions": []}),
            ("RemovePermission", {"Label": "a"}),
            ("TagQueue", {"Tags": {"a": "b"}}),
            ("UntagQueue", {"TagKeys": ["a"]}),
            ("ListQueueTags", {}),
        ):
            told = await refused(stranger(name, QueueUrl=URL, **given))
            missing = await refused(stranger(name, QueueUrl=url("nowhere"), **given))
            assert isinstance(told, Denied)
            assert (told.code, told.reason) == (missing.code, missing.reason)

    run(tmp_path, law)


def test_a_policy_decides_as_it_is_shown(tmp_path: Path) -> None:
    """What is set is what the authorization room is given; a broken one is refused."""

    async def law(w: World) -> None:
        document = json.dumps(POLICY)
        await w.made(Policy=document)
        assert {"Policy": document} == await w.attributes("Policy")
        facts = w.service.resource_facts(Arn.parse(arn()))
        assert facts is not None
        (policy,) = facts.policies
        assert policy.candidates("sqs:sendmessage").allows
        assert not policy.candidates("sqs:receivemessage").allows
        for bad in ("{", '{"Statement": []}', json.dumps({**POLICY, "X": 1})):
            given = {"Policy": bad}
            call = w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
            assert "InvalidAttributeValue" == (await refused(call)).code
        assert {"Policy": document} == await w.attributes("Policy")
        given = {"Policy": ""}
        await w.call("SetQueueAttributes", QueueUrl=URL, Attributes=given)
        assert {} == await w.attributes("Policy")

    run(tmp_path, law)


@pytest.mark.parametrize("too_much", ["bytes", "statements"])
def test_a_policy_has_awss_size(tmp_path: Path, too_much: str) -> None:
    """8,192 bytes, 20 statements."""
    (statement,) = POLICY["Statement"]

    def document(count: int, length: int) -> str:
        many = [statement] * count
        return json.dumps({**POLICY, "Id": "x", "Statement": many}).ljust(length)

    good, bad = {
        "bytes": (document(1, 8192), document(1, 8193)),
        "statements": (document(20, 0), document(21, 0)),
    }[too_much]

    async def law(w: World) -> None:
        await w.made(Policy=good)
        assert "InvalidAttributeValue" == (await refused(w.made("r", Policy=bad))).code

    run(tmp_path, law)


def test_permissions_are_statements_of_the_policy(tmp_path: Path) -> None:
    """AddPermission writes one, RemovePermission takes it out, by its label."""

    async def law(w: World) -> None:
        await w.made()
        shared = {
            "Label": "them",
            "AWSAccountIds": [OTHER_ACCOUNT],
            "Actions": ["SendMessage", "GetQueueUrl"],
        }
        await w.call("AddPermission", QueueUrl=URL, **shared)
        told = json.loads((await w.attributes("Policy"))["Policy"])
        assert [
            {
                "Sid": "them",
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:aws:iam::{OTHER_ACCOUNT}:root"]},
                "Action": ["SQS:SendMessage", "SQS:GetQueueUrl"],
                "Resource": arn(),
            }
        ] == told["Statement"]
        again = w.call("AddPermission", QueueUrl=URL, **shared)
        assert "InvalidParameterValue" == (await refused(again)).code
        strays: tuple[dict[str, object], ...] = (
            {"Label": "a b"},
            {"Label": ""},
            {"Label": "l" * 81},
            {"AWSAccountIds": []},
            {"AWSAccountIds": ["12"]},
            {"Actions": []},
            {"Actions": ["DeleteQueue"]},
            {"Actions": ["sqs:SendMessage"]},
        )
        for stray in strays:
            call = w.call(
                "AddPermission", QueueUrl=URL, **{**shared, "Label": "b", **stray}
            )
            assert "InvalidParameterValue" == (await refused(call)).code, stray
        many = {**shared, "Label": "many", "Actions": ["SendMessage"] * 8}
        call = w.call("AddPermission", QueueUrl=URL, **many)
        assert "OverLimit" == (await refused(call)).code
        gone = w.call("RemovePermission", QueueUrl=URL, Label="nobody")
        assert "InvalidParameterValue" == (await refused(gone)).code
        await w.call("RemovePermission", QueueUrl=URL, Label="them")
        assert {} == await w.attributes("Policy")

    run(tmp_path, law)


def test_tags_are_kept_and_shown(tmp_path: Path) -> None:
    """Given at making or later, 50 of them, and seen by policies."""

    async def law(w: World) -> None:
        await w.call("CreateQueue", QueueName="q", tags={"team": "keep"})
        await w.call("TagQueue", QueueUrl=URL, Tags={"more": "1"})
        told = await w.call("ListQueueTags", QueueUrl=URL)
        assert {"Tags": {"team": "keep", "more": "1"}} == told
        facts = w.service.resource_facts(Arn.parse(arn()))
        assert facts is not None
        assert {"team": "keep", "more": "1"} == facts.tags
        await w.call("UntagQueue", QueueUrl=URL, TagKeys=["team", "none"])
        assert {"Tags": {"more": "1"}} == await w.call("ListQueueTags", QueueUrl=URL)
        for bad in (
            {"aws:x": "1"},
            {"": "1"},
            {"k" * 129: "1"},
            {"a": "v" * 257},
            {"a<": "1"},
            {str(n): "" for n in range(50)},
        ):
            call = w.call("TagQueue", QueueUrl=URL, Tags=bad)
            assert isinstance(await refused(call), Invalid)
        await w.call("TagQueue", QueueUrl=URL, Tags={str(n): "" for n in range(49)})

    run(tmp_path, law)


def test_a_queue_is_purged_once_a_minute(tmp_path: Path) -> None:
    """Everything that was there is gone, in flight too; a second purge waits."""

    async def law(w: World) -> None:
        await w.made()
        await w.send()
        await w.send(DelaySeconds=10)
        await w.send()
        handle = (await w.one(MaxNumberOfMessages=1))["ReceiptHandle"]
        await w.call("PurgeQueue", QueueUrl=URL)
        assert (0, 0, 0) == await w.counts()
        await w.delete(handle)
        await w.send("after")
        w.clock.forward(59)
        call = w.call("PurgeQueue", QueueUrl=URL)
        assert "PurgeQueueInProgress" == (await refused(call)).code
        assert (1, 0, 0) == await w.counts()
        w.clock.forward(1)
        await w.call("PurgeQueue", QueueUrl=URL)
        assert (0, 0, 0) == await w.counts()

    run(tmp_path, law)


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        '{"maxReceiveCount": 1}',
        json.dumps({"deadLetterTargetArn": "q", "maxReceiveCount": 1}),
        redrive("nowhere", 1),
        redrive("q", 1),
        redrive("dead", 0),
        redrive("dead", 1001),
        redrive("dead", 1).replace("1}", '"x"}'),
        redrive("dead", 1).replace("1}", "true}"),
        redrive("dead", 1).replace("1}", "1.5}"),
        redrive("dead", 1).replace("1}", '1, "x": 1}'),
        redrive("dead", 1).replace(REGION, "eu-west-1"),
        redrive("dead", 1).replace(ACCOUNT, OTHER_ACCOUNT),
        redrive("dead", 1).replace("sqs", "sns"),
    ],
)
def test_e2_dead_letters_go_to_a_queue_of_the_same_kind(
    tmp_path: Path, bad: str
) -> None:
    """E2: that exists, of this account and region, and not to the queue itself."""

    async def law(w: World) -> None:
        await w.made("dead")
        await w.of(OTHER_ACCOUNT)("CreateQueue", QueueName="dead")
        await w.made()
        call = w.call(
            "SetQueueAttributes", QueueUrl=URL, Attributes={"RedrivePolicy": bad}
        )
        told = await refused(call)
        assert "InvalidParameterValue" == told.code
        assert "RedrivePolicy" in told.reason
        good = {"RedrivePolicy": redrive("dead", 1000)}
        await w.call("SetQueueAttributes", QueueUrl=URL, Attributes=good)
        shown = json.loads((await w.attributes("RedrivePolicy"))["RedrivePolicy"])
        assert json.loads(good["RedrivePolicy"]) == shown

    run(tmp_path, law)


def test_a_queue_says_whose_dead_letters_it_takes(tmp_path: Path) -> None:
    """Nobody's, some queues', everybody's: looked at when a policy is set."""

    async def law(w: World) -> None:
        deny = {"redrivePermission": "denyAll"}
        by_queue = {"redrivePermission": "byQueue", "sourceQueueArns": [arn("q")]}
        await w.made("dead", RedriveAllowPolicy=json.dumps(deny))
        assert {"RedriveAllowPolicy": json.dumps(deny, separators=(",", ":"))} == (
            await w.attributes("RedriveAllowPolicy", name="dead")
        )
        given = {"RedrivePolicy": redrive("dead", 1)}
        assert "InvalidParameterValue" == (await refused(w.made(**given))).code
        allow = {"RedriveAllowPolicy": json.dumps(by_queue)}
        await w.call("SetQueueAttributes", QueueUrl=url("dead"), Attributes=allow)
        assert "InvalidParameterValue" == (await refused(w.made("r", **given))).code
        await w.made(**given)
        for bad in (
            {"redrivePermission": "maybe"},
            {"redrivePermission": "byQueue"},
            {"redrivePermission": "byQueue", "sourceQueueArns": []},
            {"redrivePermission": "byQueue", "sourceQueueArns": ["q"]},
            {"redrivePermission": "byQueue", "sourceQueueArns": [arn()] * 11},
            {"redrivePermission": "denyAll", "sourceQueueArns": [arn()]},
            {},
        ):
            allow = {"RedriveAllowPolicy": json.dumps(bad)}
            call = w.call("SetQueueAttributes", QueueUrl=url("dead"), Attributes=allow)
            assert "InvalidParameterValue" == (await refused(call)).code, bad

    run(tmp_path, law)


def test_sources_of_dead_letters_are_listed(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made("dead")
        for name in ("a", "b", "c"):
            await w.made(name, RedrivePolicy=redrive("dead", 1))
        await w.made("other")
        list_all = ("ListDeadLetterSourceQueues",)
        page: Any = await w.call(*list_all, QueueUrl=url("dead"), MaxResults=2)
        assert [url("a"), url("b")] == page["queueUrls"]
        rest: Any = await w.call(
            *list_all,
            QueueUrl=url("dead"),
            MaxResults=2,
            NextToken=page["NextToken"],
        )
        assert {"queueUrls": [url("c")]} == rest

    run(tmp_path, law)


def test_a_full_queue_is_told_as_such(tmp_path: Path) -> None:
    """OverLimit, and what to do; there is room again after a purge."""

    async def law(w: World) -> None:
        await w.made()
        await w.send()
        told = await refused(w.send())
        assert ("OverLimit", True) == (told.code, "purge" in told.reason)
        await w.call("PurgeQueue", QueueUrl=URL)
        await w.send()

    run(tmp_path, law, limits=Limits(reserve_bytes=0, messages=1))


def test_who_asks_while_a_count_is_made_is_given_that_one(tmp_path: Path) -> None:
    """A flood of questions about one queue is one count; errors are everybody's."""

    async def law(w: World) -> None:
        asked: list[str] = []

        class Slow:
            def depth(self, account: str, queue: str) -> tuple[int, int, int]:
                asked.append(queue)
                if queue == "bad":
                    raise SubstrateError
                return w.store.queue.depth(account, queue)

        counting = Counting(cast("Messages", Slow()))
        told = await asyncio.gather(*(counting.of(ACCOUNT, "q") for _ in range(50)))
        assert [(0, 0, 0)] * 50 == told
        assert ["q"] == asked
        for _ in range(2):
            with pytest.raises(SubstrateError):
                await counting.of(ACCOUNT, "bad")
        await counting.of(ACCOUNT, "q")
        assert ["q", "bad", "bad", "q"] == asked

    run(tmp_path, law)
