"""What the warden keeps of what its children say."""

from __future__ import annotations

import json
import os

from casemate_warden import children, messages
from casemate_warden.children import Child
from casemate_warden.loop import Loop
from casemate_warden.messages import Packet, Peer


def test_of_a_child_that_talks_only_what_is_awaited_is_kept() -> None:
    """A taken child fills none of root's memory: not by verbs, and not by repeating."""
    ours, theirs = messages.pair()
    pidfd = os.pidfd_open(os.getpid())
    child = Child(name="node", pid=os.getpid(), pidfd=pidfd, peer=Peer(ours), said={})
    loop = Loop()
    heard = 0

    def packet(received: Packet) -> None:
        nonlocal heard
        heard += 1
        child.heard(received.body)

    loop.serve(child.peer, packet, lambda _: None, lambda: None)
    odd: list[object] = [[], {}, None, 7, "", "said" * 1000]
    said = [*odd, *(f"verb-{n}" for n in range(500)), "ready", "ready", "drained"]
    for verb in said:
        theirs.send(json.dumps({"verb": verb, "note": "x" * 100}).encode())
        loop.turn(0)

    assert len(said) == heard
    assert children.KEPT == child.said.keys()
    theirs.close()
    os.close(pidfd)
    child.peer.close()
    loop.close()
