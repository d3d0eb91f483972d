"""Both halves of a refusal on the network: what was answered, what was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from security.edge.attacker import Answer, Attacker, Watch
from security.edge.signing import Ask, Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """
    A refusal that is also on record.

    record: the audit record; empty where the request never became a call, and
    was counted among the strangers instead.
    """

    answer: Answer
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def evidence(self) -> dict[str, Any]:
        """What the platform knows and did not tell the caller."""
        told: dict[str, Any] = self.record["additionalEventData"]["evidence"]
        return told


def must_refuse(
    attacker: Attacker, watch: Watch, ask: Ask | bytes, keys: Keys | None = None
) -> Refused:
    """Send what must be refused; hold that it is, by name, and is recorded."""
    before = watch.counted("casemate_strangers_total")
    data = ask if isinstance(ask, bytes) else attacker.written(ask, keys)
    answer = attacker.send(data)
    assert 400 <= answer.status < 600, answer
    assert answer.status != 500, answer
    assert answer.body, answer
    if watch.counted("casemate_strangers_total") > before:
        return Refused(answer=answer)
    record = watch.record(answer.id)
    assert record["errorCode"], record
    assert record["requestID"] == answer.id
    return Refused(answer=answer, record=record)
