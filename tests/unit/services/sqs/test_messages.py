"""Laws of messages: what they hold, who gets them, how they end."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.core.errors import Refusal
from casemate.services.sqs import contents
from casemate.services.sqs.contents import Value
from casemate.services.sqs.model import QueueRef
from casemate.services.sqs.settings import QueueSettings
from casemate.services.sqs.store import messages_of
from unit.services.calls import ACCOUNT, NOW, OTHER_ACCOUNT, REGION, refused
from unit.services.sqs_world import ENDPOINT, URL, World, arn, redrive, run, url

MIB = 1_048_576
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
ATTRIBUTES: dict[str, Any] = {
    "text": {"DataType": "String", "StringValue": "é"},
    "number": {"DataType": "Number.int", "StringValue": "-12.5e3"},
    "data": {"DataType": "Binary.png", "BinaryValue": b"\0\1"},
}


def test_a_message_is_received_as_it_was_sent(tmp_path: Path) -> None:
    """Body, attributes, digests, and what is told of it besides."""

    async def law(w: World) -> None:
        await w.made()
        body = "é\t\n\r \ud7ff\ue000\ufffd\U00010000"
        sent = await w.call(
            "SendMessage",
            QueueUrl=URL,
            MessageBody=body,
            MessageAttributes=ATTRIBUTES,
            MessageSystemAttributes={
                "AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}
            },
        )
        assert hashlib.md5(body.encode()).hexdigest() == sent["MD5OfMessageBody"]  # noqa: S324 — AWS's own digest
        w.clock.forward(1.5)
        message = await w.one()
        assert (body, ATTRIBUTES) == (message["Body"], message["MessageAttributes"])
        for member in ("MessageId", "MD5OfMessageAttributes"):
            assert sent[member] == message[member]
        assert sent["MD5OfMessageBody"] == message["MD5OfBody"]
        assert {
            "SenderId": w.call.principal.id,
            "SentTimestamp": str(int(NOW * 1000)),
            "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": str(int(NOW * 1000) + 1500),
            "AWSTraceHeader": TRACE,
        } == message["Attributes"]

    run(tmp_path, law)


def test_the_hops_of_a_message_are_kept_and_not_shown(tmp_path: Path) -> None:
    """What a function sends keeps its lineage's count; who is no function has none."""

    async def law(w: World) -> None:
        await w.made()
        for hops in (0, 7):
            call = w.call.hopping(hops) if hops else w.call
            await call("SendMessage", QueueUrl=URL, MessageBody="body")
            message = await w.one()
            assert "SenderId" in message["Attributes"]
            assert "CasemateHops" not in message["Attributes"]
        w.clock.forward(31)
        ref = QueueRef(account=ACCOUNT, region=REGION, name="q")
        name = messages_of(w.service.directory.present(ref))
        kept = await w.store.queue.claim(ACCOUNT, name, limit=9)
        told = {message.attributes.get("CasemateHops") for message in kept}
        assert {None, "7"} == told

    run(tmp_path, law)


def test_digests_are_those_that_awss_sdks_compare() -> None:
    """Vectors that AWS's own service has answered with."""
    number = Value(type="Number", text="1493147359900")
    assert "235c5c510d26fb653d073faed50ae77c" == contents.digest_of(
        {"timestamp": number}
    )
    assert "900150983cd24fb0d6963f7d28e17f72" == contents.digest(b"abc")


def test_only_what_is_asked_for_is_shown(tmp_path: Path) -> None:
    """Attributes by name, by prefix, or all; the digest is of those shown."""

    async def law(w: World) -> None:
        await w.made(VisibilityTimeout="0")
        names = ("a", "bar.one", "bar.two", "barn")
        await w.send(MessageAttributes=dict.fromkeys(names, ATTRIBUTES["text"]))

        async def shown(*wanted: str) -> list[str]:
            message = await w.one(MessageAttributeNames=list(wanted))
            told = message.get("MessageAttributes", {})
            assert ("MD5OfMessageAttributes" in message) == bool(told)
            return sorted(told)

        assert [] == await shown()
        assert ["a"] == await shown("a", "none")
        assert ["bar.one", "bar.two"] == await shown("bar.*")
        assert sorted(names) == await shown("All") == await shown(".*")
        plain = await w.one(MessageSystemAttributeNames=[])
        assert "Attributes" not in plain
        some = await w.one(
            MessageSystemAttributeNames=["SenderId"], AttributeNames=["SentTimestamp"]
        )
        assert {"SenderId", "SentTimestamp"} == set(some["Attributes"])
        stray = w.received(AttributeNames=["Colour"])
        assert "InvalidAttributeName" == (await refused(stray)).code

    run(tmp_path, law)


@pytest.mark.parametrize(
    "character", ["\0", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"]
)
def test_e2_what_xml_cannot_hold_is_refused(tmp_path: Path, character: str) -> None:
    """E2: in a body as in the value of an attribute."""

    async def law(w: World) -> None:
        await w.made()
        bad = f"a{character}b"
        told = await refused(w.send(bad))
        assert "InvalidMessageContents" == told.code
        attribute = {"a": {"DataType": "String", "StringValue": bad}}
        told = await refused(w.send(MessageAttributes=attribute))
        assert "InvalidMessageContents" == told.code
        assert (0, 0, 0) == await w.counts()

    run(tmp_path, law)


def test_e2_a_mebibyte_with_attributes_is_the_most(tmp_path: Path) -> None:
    """E2: to the byte, with names, types and values counted; less by the queue."""

    async def law(w: World) -> None:
        await w.made()
        attribute = {"ab": {"DataType": "String", "StringValue": "cde"}}
        whole = MIB - len("abStringcde")
        await w.send("x" * whole, MessageAttributes=attribute)
        too_long = w.send("x" * (whole + 1), MessageAttributes=attribute)
        assert "InvalidParameterValue" == (await refused(too_long)).code
        await w.send("x" * MIB)
        assert "InvalidParameterValue" == (await refused(w.send("x" * (MIB + 1)))).code
        # The limit is of bytes, not of characters.
        assert "InvalidParameterValue" == (await refused(w.send("é" * MIB))).code
        await w.made("small", MaximumMessageSize="1024")
        await w.send("x" * 1024, "small")
        told = await refused(w.send("x" * 1025, "small"))
        assert ("InvalidParameterValue", True) == (told.code, "1024" in told.reason)
        assert "MissingParameter" == (await refused(w.send(""))).code

    run(tmp_path, law)


@pytest.mark.parametrize(
    "name",
    ["", "a b", ".a", "a.", "a..b", "AWS.x", "aws.x", "Amazon.x", "x" * 257, "é"],
)
def test_names_of_attributes_have_rules(tmp_path: Path, name: str) -> None:
    async def law(w: World) -> None:
        await w.made()
        bad = w.send(MessageAttributes={name: ATTRIBUTES["text"]})
        assert "InvalidParameterValue" == (await refused(bad)).code
        good = dict.fromkeys(("a.b-c_D9", "x" * 256, "awsome"), ATTRIBUTES["text"])
        await w.send(MessageAttributes=good)

    run(tmp_path, law)


@pytest.mark.parametrize(
    "bad",
    [
        {"DataType": "Text", "StringValue": "a"},
        {"DataType": "string", "StringValue": "a"},
        {"DataType": "String.", "StringValue": "a"},
        {"DataType": f"String.{'x' * 250}", "StringValue": "a"},
        {"DataType": "String"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "String", "BinaryValue": b"a"},
        {"DataType": "Binary", "StringValue": "a"},
        {"DataType": "Binary", "BinaryValue": b""},
        {"DataType": "Binary", "BinaryValue": b"a", "StringValue": "a"},
        *(
            {"DataType": "Number", "StringValue": number}
            for number in ("a", "0x1", "1_0", "", "\u0661", "1e", "NaN", "1" * 39)
        ),
        {"DataType": "Number", "StringValue": "1e127"},
        {"DataType": "Number", "StringValue": "1e-129"},
        {"DataType": "Number", "StringValue": "1e99999"},
    ],
)
def test_values_of_attributes_have_rules(
    tmp_path: Path, bad: dict[str, object]
) -> None:
    async def law(w: World) -> None:
        await w.made()
        told = await refused(w.send(MessageAttributes={"a": bad}))
        assert "InvalidParameterValue" == told.code
        for number in ("0", "-1", "+1.5", "1" * 38, "1e126", "1e-128", ".5", "0" * 50):
            value = {"DataType": "Number", "StringValue": number}
            await w.send(MessageAttributes={"a": value})

    run(tmp_path, law)


def test_a_message_has_ten_attributes(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        many = {str(n): ATTRIBUTES["text"] for n in range(11)}
        told = await refused(w.send(MessageAttributes=many))
        assert "InvalidParameterValue" == told.code
        many.pop("10")
        await w.send(MessageAttributes=many)

    run(tmp_path, law)


@pytest.mark.parametrize(
    "bad",
    [
        {"Other": {"DataType": "String", "StringValue": TRACE}},
        {"AWSTraceHeader": {"DataType": "String", "StringValue": "x"}},
        {"AWSTraceHeader": {"DataType": "Number", "StringValue": "1"}},
        {
            "AWSTraceHeader": {
                "DataType": "String",
                "StringValue": f"{TRACE};{'x' * 999}",
            }
        },
    ],
)
def test_system_attributes_have_rules(tmp_path: Path, bad: dict[str, object]) -> None:
    async def law(w: World) -> None:
        await w.made()
        told = await refused(w.send(MessageSystemAttributes=bad))
        assert "InvalidParameterValue" == told.code

    run(tmp_path, law)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=30))
def test_any_attribute_is_taken_or_refused(name: str, kind: str, value: str) -> None:
    """And what is taken comes back as it was."""
    parameters = {
        "MessageBody": "x",
        "MessageAttributes": {name: {"DataType": kind, "StringValue": value}},
    }
    try:
        taken = contents.read(parameters).attributes
    except Refusal:
        return
    assert taken == contents.unpacked(contents.packed(taken))


def test_a_delay_is_the_queues_or_the_messages(tmp_path: Path) -> None:
    """From 0 to 900 seconds; none is a delay as well."""

    async def law(w: World) -> None:
        await w.made(DelaySeconds="10")
        await w.send("late")
        await w.send("now", DelaySeconds=0)
        assert ["now"] == [m["Body"] for m in await w.received()]
        assert (0, 1, 1) == await w.counts()
        w.clock.forward(10)
        assert ["late"] == [m["Body"] for m in await w.received()]
        await w.send(DelaySeconds=900)
        for bad in (-1, 901):
            told = await refused(w.send(DelaySeconds=bad))
            assert "InvalidParameterValue" == told.code

    run(tmp_path, law)


def test_what_is_received_is_hidden_until_its_time_ends(tmp_path: Path) -> None:
    """The queue's time or the call's, 0 to 43,200 seconds; then it comes again."""

    async def law(w: World) -> None:
        await w.made()
        sent = await w.send()
        await w.one()
        assert [] == await w.received()
        w.clock.forward(30)
        again = await w.one(VisibilityTimeout=43_200)
        assert (sent, "2") == (
            again["MessageId"],
            again["Attributes"]["ApproximateReceiveCount"],
        )
        w.clock.forward(43_199)
        assert [] == await w.received()
        w.clock.forward(1)
        await w.one(VisibilityTimeout=0)
        await w.one()
        for bad in (-1, 43_201):
            told = await refused(w.received(VisibilityTimeout=bad))
            assert "InvalidParameterValue" == told.code
        for bad in (0, 11):
            told = await refused(w.received(MaxNumberOfMessages=bad))
            assert "InvalidParameterValue" == told.code
        for bad in (-1, 21):
            told = await refused(w.received(WaitTimeSeconds=bad))
            assert "InvalidParameterValue" == told.code

    run(tmp_path, law)


def test_e2_a_handle_after_its_time(tmp_path: Path) -> None:
    """E2: deletes until the message is received again, and changes nothing."""

    async def law(w: World) -> None:
        await w.made()
        await w.send()
        first = (await w.one())["ReceiptHandle"]
        w.clock.forward(30)
        assert "MessageNotInflight" == (await refused(_hide(w, first, 5))).code
        second = (await w.one())["ReceiptHandle"]
        assert first != second
        await w.delete(first)
        assert (0, 1, 0) == await w.counts()
        assert "InvalidParameterValue" == (await refused(_hide(w, first, 5))).code
        w.clock.forward(30)
        await w.delete(second)
        assert (0, 0, 0) == await w.counts()
        await w.delete(second)
        assert "InvalidParameterValue" == (await refused(_hide(w, second, 5))).code

    run(tmp_path, law)


async def _hide(w: World, handle: str, seconds: int) -> None:
    await w.call(
        "ChangeMessageVisibility",
        QueueUrl=URL,
        ReceiptHandle=handle,
        VisibilityTimeout=seconds,
    )


def test_visibility_is_changed_while_in_flight(tmp_path: Path) -> None:
    """To nothing, which gives it back; and not past twelve hours from the receive."""

    async def law(w: World) -> None:
        await w.made()
        await w.send()
        handle = (await w.one())["ReceiptHandle"]
        await _hide(w, handle, 60)
        w.clock.forward(59)
        assert [] == await w.received()
        assert "InvalidParameterValue" == (await refused(_hide(w, handle, 43_142))).code
        await _hide(w, handle, 43_141)
        for bad in (-1, 43_201):
            told = await refused(_hide(w, handle, bad))
            assert "InvalidParameterValue" == told.code
        await _hide(w, handle, 0)
        await w.one()

    run(tmp_path, law)


def test_a_handle_is_good_for_its_own_queue_only(tmp_path: Path) -> None:
    """Forged, bent, of another queue or another account: refused alike."""

    async def law(w: World) -> None:
        await w.made()
        await w.made("other")
        await w.of(OTHER_ACCOUNT)("CreateQueue", QueueName="q")
        await w.send()
        handle = (await w.one())["ReceiptHandle"]
        theirs = url("q", OTHER_ACCOUNT)
        bent = handle[:-2] + ("A" if handle[-2] != "A" else "B") + handle[-1]
        for address, forged in (
            (URL, ""),
            (URL, "x"),
            (URL, bent),
            (URL, handle + "A"),
            (URL, "é"),
            (URL, "A" * 10_000),
            (url("other"), handle),
            (theirs, handle),
        ):
            for name, more in (
                ("DeleteMessage", {}),
                ("ChangeMessageVisibility", {"VisibilityTimeout": 0}),
            ):
                call = w.call(name, QueueUrl=address, ReceiptHandle=forged, **more)
                assert "ReceiptHandleIsInvalid" == (await refused(call)).code
        assert (0, 1, 0) == await w.counts()
        await w.delete(handle)

    run(tmp_path, law)


def test_e2_a_poison_message_goes_to_the_dead_letters(tmp_path: Path) -> None:
    """E2: after so many receives, as it was, with where it came from."""

    async def law(w: World) -> None:
        await w.made("dead")
        await w.made(RedrivePolicy=redrive("dead", 2), VisibilityTimeout="5")
        sent = await w.send("poison", MessageAttributes=ATTRIBUTES)
        await w.send("good")
        for _ in range(2):
            for message in await w.received():
                if message["Body"] == "good":
                    await w.delete(message["ReceiptHandle"])
            w.clock.forward(5)
        assert [] == await w.received()
        message = await w.one("dead")
        assert (sent, "poison") == (message["MessageId"], message["Body"])
        assert ATTRIBUTES == message["MessageAttributes"]
        told = message["Attributes"]
        assert str(int(NOW * 1000)) == told["SentTimestamp"]
        assert arn() == told["DeadLetterQueueSourceArn"]
        assert "3" == told["ApproximateReceiveCount"]

    run(tmp_path, law)


def test_e2_queues_that_are_each_others_dead_letters(tmp_path: Path) -> None:
    """E2: a cycle delivers in each of its queues, and does not spin."""

    async def law(w: World) -> None:
        await w.made("a", VisibilityTimeout="0")
        await w.made("b", VisibilityTimeout="0", RedrivePolicy=redrive("a", 1))
        given = {"RedrivePolicy": redrive("b", 1)}
        await w.call("SetQueueAttributes", QueueUrl=url("a"), Attributes=given)
        await w.send(name="a")
        for count in range(1, 5):
            here, there = ("a", "b") if count % 2 else ("b", "a")
            message = await w.one(here)
            assert str(count) == message["Attributes"]["ApproximateReceiveCount"]
            assert [] == await w.received(here)
            assert (1, 0, 0) == await w.counts(there)

    run(tmp_path, law)


@pytest.mark.parametrize("how", ["deleted", "closed"])
def test_dead_letters_that_nobody_takes_stay_where_they_are(
    tmp_path: Path, how: str
) -> None:
    """Their queue was deleted, or has closed itself: nothing is lost."""

    async def law(w: World) -> None:
        await w.made("dead")
        await w.made(RedrivePolicy=redrive("dead", 1), VisibilityTimeout="0")
        await w.send()
        if how == "deleted":
            await w.call("DeleteQueue", QueueUrl=url("dead"))
        else:
            given = {"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
            await w.call("SetQueueAttributes", QueueUrl=url("dead"), Attributes=given)
        for count in ("1", "2", "3"):
            message = await w.one()
            assert count == message["Attributes"]["ApproximateReceiveCount"]

    run(tmp_path, law)


def test_a_message_lives_as_long_as_its_queue_keeps_it(tmp_path: Path) -> None:
    """By the retention of the queue that it is in now, from when it was sent."""

    async def law(w: World) -> None:
        await w.made(MessageRetentionPeriod="60")
        await w.send("old")
        w.clock.forward(59)
        await w.send("young")
        assert (2, 0, 0) == await w.counts()
        w.clock.forward(1)
        assert ["young"] == [m["Body"] for m in await w.received()]
        assert (0, 1, 0) == await w.counts()
        w.clock.forward(59)
        assert 1 == await w.service.expire(w.clock.now())
        assert (0, 0, 0) == await w.counts()

    run(tmp_path, law)


def test_e2_messages_in_flight_have_a_limit(tmp_path: Path) -> None:
    """OverLimit, until some are deleted; who waits is told nothing, and waits (E2)."""

    async def law(w: World) -> None:
        await w.made()
        for _ in range(3):
            await w.send()
        held = await w.received()
        assert 2 == len(held)
        assert "OverLimit" == (await refused(w.received())).code
        assert [] == await w.received(WaitTimeSeconds=1)
        poll = asyncio.ensure_future(w.received(WaitTimeSeconds=20))
        await w.delete(held[0]["ReceiptHandle"])
        w.clock.forward(1)
        assert 1 == len(await poll)

    run(tmp_path, law, QueueSettings(endpoint=ENDPOINT, in_flight=2))


async def _failed(w: World, name: str, *entries: dict[str, object]) -> list[Any]:
    answer: Any = await w.call(name, QueueUrl=URL, Entries=list(entries))
    assert len(entries) == len(answer["Successful"]) + len(answer["Failed"])
    return [(f["Id"], f["Code"], f["SenderFault"]) for f in answer["Failed"]]


def test_a_batch_is_taken_entry_by_entry(tmp_path: Path) -> None:
    """Each ends well or not by itself, and the answer says which."""

    async def law(w: World) -> None:
        await w.made()
        sent: Any = await w.call(
            "SendMessageBatch",
            QueueUrl=URL,
            Entries=[
                {"Id": "a", "MessageBody": "1"},
                {"Id": "b", "MessageBody": "\0"},
                {"Id": "c", "MessageBody": "3", "MessageAttributes": ATTRIBUTES},
                {"Id": "d", "MessageBody": "4", "DelaySeconds": 901},
            ],
        )
        assert ["a", "c"] == [one["Id"] for one in sent["Successful"]]
        assert "MD5OfMessageAttributes" in sent["Successful"][1]
        assert [
            ("b", "InvalidMessageContents", True),
            ("d", "InvalidParameterValue", True),
        ] == [(f["Id"], f["Code"], f["SenderFault"]) for f in sent["Failed"]]
        handles = [m["ReceiptHandle"] for m in await w.received()]
        bad = {"Id": "x", "ReceiptHandle": "x", "VisibilityTimeout": 1}
        good = [
            {"Id": str(n), "ReceiptHandle": h, "VisibilityTimeout": 100 * n}
            for n, h in enumerate(handles)
        ]
        late = {"Id": "late", "ReceiptHandle": handles[1], "VisibilityTimeout": 50_000}
        lacks = {"Id": "lacks", "ReceiptHandle": handles[1]}
        assert [
            ("x", "ReceiptHandleIsInvalid", True),
            ("late", "InvalidParameterValue", True),
            ("lacks", "MissingParameter", True),
        ] == await _failed(w, "ChangeMessageVisibilityBatch", *good, bad, late, lacks)
        assert (1, 1, 0) == await w.counts()
        for entry in (*good, bad):
            del entry["VisibilityTimeout"]
        assert [("x", "ReceiptHandleIsInvalid", True)] == await _failed(
            w, "DeleteMessageBatch", *good, bad
        )
        assert (0, 0, 0) == await w.counts()

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("code", "ids"),
    [
        ("EmptyBatchRequest", ()),
        ("TooManyEntriesInBatchRequest", tuple(map(str, range(11)))),
        ("BatchEntryIdsNotDistinct", ("a", "b", "a")),
        ("InvalidBatchEntryId", ("a b",)),
        ("InvalidBatchEntryId", ("",)),
        ("InvalidBatchEntryId", ("x" * 81,)),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(
    tmp_path: Path, code: str, ids: tuple[str, ...]
) -> None:
    async def law(w: World) -> None:
        await w.made()
        for name, more in (
            ("SendMessageBatch", {"MessageBody": "x"}),
            ("DeleteMessageBatch", {"ReceiptHandle": "x"}),
            ("ChangeMessageVisibilityBatch", {"ReceiptHandle": "x"}),
        ):
            entries = [{"Id": one, **more} for one in ids]
            call = w.call(name, QueueUrl=URL, Entries=entries)
            assert code == (await refused(call)).code
        assert (0, 0, 0) == await w.counts()

    run(tmp_path, law)


def test_a_batch_has_a_mebibyte_together(tmp_path: Path) -> None:
    async def law(w: World) -> None:
        await w.made()
        half: list[dict[str, object]]
        half = [{"Id": n, "MessageBody": "x" * (MIB // 2)} for n in ("a", "b")]
        assert [] == await _failed(w, "SendMessageBatch", *half)
        half.append({"Id": "c", "MessageBody": "x"})
        call = w.call("SendMessageBatch", QueueUrl=URL, Entries=half)
        assert "BatchRequestTooLong" == (await refused(call)).code
        assert (2, 0, 0) == await w.counts()

    run(tmp_path, law)


async def _asleep(w: World, count: int) -> None:
    """Let others run until so many wait."""
    while w.service.arrivals.waiting < count:  # noqa: ASYNC110 — a turn of the loop, no time
        await asyncio.sleep(0)


def test_a_long_poll_ends_with_what_comes(tmp_path: Path) -> None:
    """The first in line gets the first message; nobody else is disturbed."""

    async def law(w: World) -> None:
        await w.made(ReceiveMessageWaitTimeSeconds="20")
        polls = []
        for n in range(3):
            polls.append(asyncio.ensure_future(w.received()))
            await _asleep(w, n + 1)
        for n in range(3):
            await w.send(str(n))
            (message,) = await polls[n]
            assert str(n) == message["Body"]
            assert 2 - n == w.service.arrivals.waiting
        await w.made("other")
        assert [] == await w.received("other")

    run(tmp_path, law)


def test_a_long_poll_wakes_for_what_becomes_visible(tmp_path: Path) -> None:
    """Given back, or come from another queue to its dead letters."""

    async def law(w: World) -> None:
        await w.made("dead")
        await w.made(RedrivePolicy=redrive("dead", 2))
        await w.send("poison")
        handle = (await w.one())["ReceiptHandle"]
        poll = asyncio.ensure_future(w.received(WaitTimeSeconds=20))
        dead = asyncio.ensure_future(w.received("dead", WaitTimeSeconds=20))
        await _asleep(w, 2)
        await _hide(w, handle, 0)
        (message,) = await poll
        await _hide(w, message["ReceiptHandle"], 0)
        assert [] == await w.received()
        (message,) = await dead
        assert "poison" == message["Body"]

    run(tmp_path, law)


def test_a_batch_wakes_as_many_as_it_feeds(tmp_path: Path) -> None:
    """Each takes one, and wakes the next for as long as something is left."""

    async def law(w: World) -> None:
        await w.made()
        polls = [
            asyncio.ensure_future(w.received(MaxNumberOfMessages=1, WaitTimeSeconds=20))
            for _ in range(5)
        ]
        await _asleep(w, 5)
        entries = [dict[str, object](Id=n, MessageBody=n) for n in "abcde"]
        await _failed(w, "SendMessageBatch", *entries)
        told = [message["Body"] for poll in polls for message in await poll]
        assert list("abcde") == sorted(told)

    run(tmp_path, law)


def test_a_poll_that_is_left_holds_nothing(tmp_path: Path) -> None:
    """It waits no more, and the message goes to the next in line."""

    async def law(w: World) -> None:
        await w.made()
        left = asyncio.ensure_future(w.received(WaitTimeSeconds=20))
        await _asleep(w, 1)
        stays = asyncio.ensure_future(w.received(WaitTimeSeconds=20))
        await _asleep(w, 2)
        left.cancel()
        await asyncio.wait([left])
        assert 1 == w.service.arrivals.waiting
        await w.send()
        assert 1 == len(await stays)

    run(tmp_path, law)


def test_a_message_claimed_for_who_has_left_is_given_back(tmp_path: Path) -> None:
    """It is visible again at once, not when its time ends."""

    async def law(w: World) -> None:
        await w.made()
        await w.send()
        for turns in range(6):
            poll = asyncio.ensure_future(w.received(VisibilityTimeout=600))
            for _ in range(turns):
                await asyncio.sleep(0)
            poll.cancel()
            await asyncio.wait([poll])
            if not poll.cancelled():
                break
            while w.service.receiving.given_back:
                await asyncio.wait(w.service.receiving.given_back)
            assert (1, 0, 0) == await w.counts()

    run(tmp_path, law)


def test_a_stop_lets_everybody_go(tmp_path: Path) -> None:
    """With an empty answer; and nobody waits from then on."""

    async def law(w: World) -> None:
        await w.made()
        poll = asyncio.ensure_future(w.received(WaitTimeSeconds=20))
        await _asleep(w, 1)
        await w.service.rest()
        assert [] == await poll
        assert [] == await w.received(WaitTimeSeconds=20)
        await w.send()
        assert 1 == len(await w.received())

    run(tmp_path, law)


def test_another_accounts_messages_are_its_own(tmp_path: Path) -> None:
    """Queues of one name in two accounts share nothing."""

    async def law(w: World) -> None:
        await w.made()
        other = w.of(OTHER_ACCOUNT)
        await other("CreateQueue", QueueName="q")
        await w.send("mine")
        theirs = await other("ReceiveMessage", QueueUrl=url("q", OTHER_ACCOUNT))
        assert {} == theirs
        (message,) = await w.received()
        assert "mine" == message["Body"]
        assert ACCOUNT in URL

    run(tmp_path, law)
