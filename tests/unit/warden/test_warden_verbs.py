"""How verbs are answered, whatever their work gives."""

from __future__ import annotations

import json
import os
from typing import cast

from casemate_warden import messages
from casemate_warden.cells import Answer, Cells
from casemate_warden.loop import Loop
from casemate_warden.messages import LARGEST, Peer
from casemate_warden.verbs import Verbs


class Talkative:
    """In the place of the cells: tells more than a packet holds."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def status(self) -> Answer:
        told: dict[str, object] = {"trees": ["f" * 64] * 5_000}
        return Answer(body=told, descriptors={"gauge": self.descriptor})


def test_an_answer_longer_than_a_packet_does_not_end_the_warden() -> None:
    """Who asked is told so, nothing leaks, and the next verb is answered (EMSGSIZE)."""
    ours, theirs = messages.pair()
    theirs.settimeout(10)
    read, write = os.pipe()
    loop, said = Loop(), list[str]()
    cells = cast("Cells", Talkative(write))
    verbs = Verbs(node=Peer(ours), cells=cells, loop=loop, log=said.append)
    theirs.send(b'{"id":1,"verb":"status"}')
    loop.turn(10)
    assert json.loads(theirs.recv(LARGEST)) == {
        "id": 1,
        "error": {"code": "too_long", "reason": "the answer is longer than a packet"},
    }
    assert os.read(read, 1) == b""
    theirs.send(b'{"id":2,"verb":"exec"}')
    loop.turn(10)
    assert json.loads(theirs.recv(LARGEST))["error"]["code"] == "unknown_verb"
    assert not verbs.gone
    assert not said
    theirs.close()
    ours.close()
    os.close(read)
    loop.close()
