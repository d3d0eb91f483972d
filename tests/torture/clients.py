"""Clients that send events and messages until the platform falls silent."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from security.crash.stand import Stand
from security.edge.attacker import PATIENCE, Answer, Attacker, Line, Watch
from security.edge.signing import Ask, Keys, json_call
from torture.ledger import BATCH, Ledger

_TELLING_SOURCE: Final = """
def handler(event, context):
    return {"proof": event["n"] * 7 + 1}
"""
_CALLING_SOURCE: Final = (Path(__file__).parent / "calling.py").read_text()
TELLING: Final = "telling"
"""The function whose answers are told to a queue, by the platform."""
CALLING: Final = "calling"
"""The function that sends to the queue itself."""
_CALLING_SHARE: Final = 8
"""One event in so many is for it: its cells are slow to start."""
_SEND: Final = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
_WAITING: Final = "casemate_events_waiting"


@dataclass(slots=True)
class Clients:
    """Four of them: two send events, one sends messages, one receives and deletes."""

    stand: Stand
    ledger: Ledger = field(default_factory=Ledger)
    ended: bool = False
    _keys: Keys = field(init=False)
    _queue: str = field(init=False)
    _told: str = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the functions and the queues."""
        stand, sqs = self.stand, self.stand.client("sqs")
        self._keys = Keys.of(stand.variables)
        self._queue, self._told = (
            sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("work", "told")
        )
        # A receipt that a kill cut short is seen again soon.
        for url in (self._queue, self._told):
            sqs.set_queue_attributes(
                QueueUrl=url, Attributes={"VisibilityTimeout": "20"}
            )
        role = stand.role("giver", _SEND)
        variables = {"Variables": {"TOLD": self._told}}
        stand.function(TELLING, _TELLING_SOURCE, role=role)
        stand.function(CALLING, _CALLING_SOURCE, role=role, Environment=variables)
        account = role.split(":")[4]
        stand.client("lambda").put_function_event_invoke_config(
            FunctionName=TELLING,
            DestinationConfig={
                "OnSuccess": {"Destination": f"arn:aws:sqs:us-east-1:{account}:told"}
            },
        )

    def begin(self, *, events: bool = True) -> None:
        """Start them.  events: False while there is a backlog to work off."""
        self.ended = False
        loops: list[Callable[[Attacker, Line], bool]] = [self._send, self._receive]
        if events:
            loops += [self._event, self._event]
        self._threads = [
            threading.Thread(target=self._run, args=(loop,)) for loop in loops
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait until every one has noticed."""
        self.ended = True
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()

    def waiting(self) -> int:
        """Count the events that wait or are worked on."""
        found = re.search(
            rf"^{_WAITING} (\S+)$", Watch(self.stand).metrics(), re.MULTILINE
        )
        assert found
        return int(float(found[1]))

    def settle(self, seconds: float, say: Callable[[str], None]) -> bool:
        """Wait until nothing waits any more, then gather all effects."""
        end = time.monotonic() + seconds
        while (left := self.waiting()) or self._messages_left():
            if time.monotonic() > end:
                return False
            say(f"draining: {left} events wait")
            self._drain_for(2.0)
        self._gather()
        return True

    def _drain_for(self, seconds: float) -> None:
        attacker = Attacker(self.stand)
        end = time.monotonic() + seconds
        with attacker.line() as line:
            while time.monotonic() < end:
                self._receive(attacker, line, wait=1)

    def _messages_left(self) -> int:
        told = self.stand.client("sqs").get_queue_attributes(
            QueueUrl=self._queue, AttributeNames=["All"]
        )["Attributes"]
        return int(told["ApproximateNumberOfMessages"]) + int(
            told["ApproximateNumberOfMessagesNotVisible"]
        )

    def _gather(self) -> None:
        """Take what ran from the queue of effects, and look who is in quarantine."""
        with self._asking() as ask:
            while bodies := self._taken(ask, self._told):
                for body in bodies:
                    self._effect(json.loads(body))
        own = self.stand.client("casemate")
        for page in own.get_paginator("list_quarantine").paginate():
            for event in page["Events"]:
                kept = own.get_quarantined(RequestId=event["RequestId"])
                self.ledger.aside.add(int(json.loads(kept["Payload"])["n"]))

    def _effect(self, told: Mapping[str, Any]) -> None:
        number = int(told["requestPayload"]["n"])
        if told["responsePayload"] != {"proof": number * 7 + 1}:
            raise AssertionError(f"no answer of the function's: {told}")
        self.ledger.ran[number] += 1

    def _taken(self, ask: Callable[[Ask], Answer], url: str) -> list[str]:
        answer = ask(self._receiving(url, wait=1))
        messages = json.loads(answer.body).get("Messages", [])
        if messages:
            assert ask(_deletion(url, messages)).status == 200
        return [message["Body"] for message in messages]

    @contextmanager
    def _asking(self) -> Iterator[Callable[[Ask], Answer]]:
        attacker = Attacker(self.stand)
        with attacker.line() as line:
            yield lambda ask: self._said(attacker, line, ask)

    def _said(self, attacker: Attacker, line: Line, ask: Ask) -> Answer:
        line.say(attacker.written(ask, self._keys))
        return line.hear()

    def _run(self, loop: Callable[[Attacker, Line], bool]) -> None:
        attacker = Attacker(self.stand)
        with suppress(OSError), attacker.line() as line:
            while not self.ended and loop(attacker, line):
                pass

    def _event(self, attacker: Attacker, line: Line) -> bool:
        number = next(self.ledger.numbers)
        name = TELLING if number % _CALLING_SHARE else CALLING
        ask = Ask(
            service="lambda",
            path=f"/2015-03-31/functions/{name}/invocations",
            headers=(("x-amz-invocation-type", "Event"),),
            body=b'{"n": %d}' % number,
        )
        answer = self._said(attacker, line, ask)
        if answer.status == 202:
            self.ledger.events[number] = time.monotonic()
        return self._noted(answer, 202)

    def _send(self, attacker: Attacker, line: Line) -> bool:
        number = next(self.ledger.numbers)
        body = {"QueueUrl": self._queue, "MessageBody": str(number)}
        answer = self._said(
            attacker, line, json_call("sqs", "AmazonSQS.SendMessage", body)
        )
        if answer.status == 200:
            self.ledger.sent[number] = time.monotonic()
        return self._noted(answer, 200)

    def _receive(self, attacker: Attacker, line: Line, *, wait: int = 0) -> bool:
        answer = self._said(attacker, line, self._receiving(self._queue, wait=wait))
        if answer.status != 200:
            return self._noted(answer, 200)
        messages: list[Any] = json.loads(answer.body).get("Messages", [])
        for message in messages:
            self.ledger.hear(int(message["Body"]))
        if not messages:
            return True
        answer = self._said(attacker, line, _deletion(self._queue, messages))
        if answer.status == 200:
            gone = {int(one["Id"]) for one in json.loads(answer.body)["Successful"]}
            now = time.monotonic()
            self.ledger.deleted |= {
                int(message["Body"]): now
                for i, message in enumerate(messages)
                if i in gone
            }
        return self._noted(answer, 200)

    def _noted(self, answer: Answer, wanted: int) -> bool:
        """Count a refusal; say whether the connection is still there."""
        if answer.status not in (0, wanted):
            self.ledger.refused[answer.code or str(answer.status)] += 1
        return bool(answer.status)

    @staticmethod
    def _receiving(url: str, *, wait: int) -> Ask:
        body = {"QueueUrl": url, "MaxNumberOfMessages": BATCH, "WaitTimeSeconds": wait}
        return json_call("sqs", "AmazonSQS.ReceiveMessage", body)


def _deletion(url: str, messages: list[Any]) -> Ask:
    entries = [
        {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
        for i, message in enumerate(messages)
    ]
    body = {"QueueUrl": url, "Entries": entries}
    return json_call("sqs", "AmazonSQS.DeleteMessageBatch", body)
