"""The record room: one record for every call, whenever it is written out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import orjson
import pytest
from msgspec import structs

from casemate.core.call import Allowed, Arrival, Outcome, Request
from casemate.core.errors import Invalid
from casemate.core.operation import Operation, anything
from casemate.road.record import trail
from casemate.road.record.draft import LONGEST, Draft, Facts, written
from casemate.road.record.metrics import Metrics
from casemate.road.record.room import Record
from casemate.road.record.story import Recent
from store_stand import SetClock
from unit.services.calls import admitted, law


async def _nothing(_call: object) -> dict[str, object]:
    return {}


def operation(*, mutates: bool) -> Operation:
    return Operation(
        service="lambda",
        name="Invoke",
        action="lambda:InvokeFunction",
        resource=anything,
        accepts=(),
        mutates=mutates,
        method=_nothing,
    )


def allowed(
    parameters: Mapping[str, object], body: bytes = b"", *, mutates: bool = False
) -> Allowed:
    """Make a call that came as a request with a body."""
    call = admitted(
        operation(mutates=mutates),
        parameters,
        resource="arn:aws:lambda:us-east-1:111122223333:function:hello",
    )
    request = Request(
        method="POST", path="/", query="", headers=(), body=body, peer="192.0.2.1"
    )
    arrival = dataclasses.replace(call.arrival, claim=request)
    known = dataclasses.replace(call.known, arrival=arrival)
    return dataclasses.replace(call.sound.allowed, known=known)


def facts(parameters: Mapping[str, object], **changes: Any) -> Facts:
    call = allowed(parameters)
    made = Facts(
        arrival=call.known.arrival,
        known=call.known,
        allowed=call,
        at=1_700_000_001.0,
        error=None,
        extra={"rooms": {"authn": 7}},
    )
    return structs.replace(made, **changes)


@dataclass
class Pages:
    """A book that keeps what it is handed, as it is handed."""

    kept: list[bytes | Draft] = field(default_factory=list)
    durable: list[bytes] = field(default_factory=list)

    def check(self, *, durable: bool) -> None:
        """There is always room."""

    async def append(self, _at: int, data: bytes) -> int:
        self.durable.append(data)
        return len(self.durable)

    def append_soon(self, _at: int, data: bytes | Draft) -> None:
        self.kept.append(data)


async def recorded(call: Allowed, pages: Pages, *, counted: Callable[[], None]) -> str:
    """Take a call through the record; give its id."""
    arrival = call.known.arrival
    recent = Recent()
    room = Record(book=pages, metrics=Metrics(), recent=recent, clock=SetClock())
    entry = room(arrival)
    entry.known(call.known)
    entry.allowed(call)
    entry.passed("dispatch")
    await entry.close(Outcome(result={}))
    counted()
    assert arrival.id in recent.records
    return arrival.id


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Arrival]:
    """Watch which records are written out, and when."""
    found: list[Arrival] = []
    real = trail.event

    def event(**given: Any) -> dict[str, object]:
        found.append(given["arrival"])
        return real(**given)

    monkeypatch.setattr(trail, "event", event)
    return found


def test_a_data_call_does_not_write_its_record_out(events: list[Arrival]) -> None:
    """It leaves a draft, which gives the whole record, and the same to everybody."""
    pages = Pages()

    @law
    async def run() -> None:
        call = allowed({"FunctionName": "hello", "Payload": b"secret"}, b"secret")
        made = await recorded(call, pages, counted=lambda: events.append(None))  # type: ignore[arg-type]  # a mark
        assert events == [None]
        (draft,) = pages.kept
        assert callable(draft)
        record = orjson.loads(draft())
        assert draft() == draft()
        assert record["requestID"] == made
        assert record["recipientAccountId"] == "111122223333"
        assert record["additionalEventData"]["because"] == ["test#all"]
        assert "dispatch" in record["additionalEventData"]["rooms"]
        assert record["requestParameters"] == {
            "FunctionName": "hello",
            "Payload": {"bytes": 6},
        }

    run()
    assert len(events) == 2


def test_a_large_call_is_not_held_on_to(events: list[Arrival]) -> None:
    """The record of a call with a large body is written out before it is handed on."""
    pages = Pages()

    @law
    async def run() -> None:
        body = bytes(6 << 20)
        call = allowed({"Payload": body}, body)
        await recorded(call, pages, counted=lambda: None)

    run()
    assert len(events) == 1
    (draft,) = pages.kept
    assert isinstance(draft, Draft)
    assert draft._facts is None


def test_a_mutation_waits_for_its_bytes() -> None:
    """What changes something is written out and durable before it is answered."""
    pages = Pages()

    @law
    async def run() -> None:
        call = allowed({}, mutates=True)
        made = await recorded(call, pages, counted=lambda: None)
        assert orjson.loads(pages.durable[0])["requestID"] == made

    run()
    assert pages.kept == []


def test_a_draft_lets_go_of_its_call() -> None:
    """Once written out it holds bytes alone; threads that ask at once get the same."""
    draft, told = Draft(facts({"FunctionName": "hello"})), []
    threads = [Thread(target=lambda: told.append(draft())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert draft._facts is None
    assert set(told) == {written(facts({"FunctionName": "hello"}))}


@pytest.mark.parametrize("hostile", ["\ud800", 2**70, [2**64, "\udfff"]])
def test_what_json_cannot_say_does_not_cost_the_record(hostile: object) -> None:
    """Parameters and reasons that no JSON holds leave a record all the same."""
    reason = f"`{hostile}` is not a name"
    refusal = Invalid(reason)
    made = facts({"Name": hostile}, error=(refusal.code, refusal.reason))
    record = orjson.loads(written(made))

    assert record["requestID"] == made.arrival.id
    assert record["requestParameters"] == {"omitted": "JSON cannot say them"}
    assert record["errorMessage"].endswith("is not a name")


def test_a_record_that_cannot_be_made_does_not_stop_the_chain() -> None:
    """What is certain of the call is written, and that the rest is missing."""
    made = facts({}, extra={"rooms": {"authn": object()}})
    record = orjson.loads(Draft(made)())

    assert record["requestID"] == made.arrival.id
    assert record["recipientAccountId"] == "111122223333"
    assert record["additionalEventData"] == {"crash": ["TypeError"]}


def test_a_record_has_a_bound() -> None:
    """Parameters that would make it longer are left out, and that is said."""
    many = {str(n): "x" * 1024 for n in range(50)}
    data = written(facts(many))

    assert len(data) <= LONGEST
    assert json.loads(data)["requestParameters"]["omitted"]


def test_only_short_bytes_are_digested() -> None:
    """Of an event the length alone; a digest is kept where it costs nothing."""
    redacted: Any = trail.redact(
        {"Payload": b"guess", "Small": b"x", "Large": bytes(65_537)}
    )

    assert redacted["Payload"] == {"bytes": 5}
    assert redacted["Small"].keys() == {"bytes", "sha256"}
    assert redacted["Large"] == {"bytes": 65_537}


def test_what_a_message_says_is_no_part_of_the_record() -> None:
    """Of its body the length alone, of its attributes and its handle nothing."""
    entry = {
        "Id": "a",
        "MessageBody": "canary é",
        "MessageAttributes": {"a": {"DataType": "String", "StringValue": "canary"}},
        "ReceiptHandle": "canary",
    }
    redacted: Any = trail.redact({"QueueUrl": "u", "Entries": [entry]})

    (told,) = redacted["Entries"]
    assert told["MessageBody"] == {"bytes": 9}
    assert "canary" not in json.dumps(redacted)
    assert ("u", "a") == (redacted["QueueUrl"], told["Id"])
