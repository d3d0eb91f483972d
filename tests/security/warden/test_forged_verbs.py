"""
What a node that was taken over could send: refused, and the warden lives on.
"""

from __future__ import annotations

import json
import os
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import warden_harness as harness
from casemate_warden import messages

pytestmark = pytest.mark.root

TREE, CELL = "a" * 64, "c" + "0" * 16
SIZES: dict[str, Any] = {"layers": [], "memory_mb": 128, "ephemeral_mb": 512}


def answer(warden: harness.Warden) -> dict[str, Any]:
    """The next answer, whatever its id."""
    ready, _, _ = select.select([warden.node], [], [], 10)
    assert ready
    text, fds, _, _ = socket.recv_fds(warden.node, messages.LARGEST, 16)
    assert fds == []
    body: dict[str, Any] = json.loads(text)
    return body


WRONG_LAYERS: list[object] = [
    None,
    TREE,
    {},
    ["/"],
    ["../trees"],
    [TREE, TREE],
    [[TREE]],
    [f"{n:064x}" for n in range(6)],
]


@pytest.mark.parametrize(
    ("verb", "members", "code"),
    [
        ("exec", {}, "unknown_verb"),
        ("__init__", {}, "unknown_verb"),
        ("closable", {}, "unknown_verb"),
        ("trees", {}, "unknown_verb"),
        ("open", {"runtime": "../../etc"}, "bad_message"),
        ("open", {"runtime": "python3.11\n"}, "bad_message"),
        ("open", {"runtime": "ruby3.3"}, "unknown_runtime"),
        ("open", {}, "bad_message"),
        ("open", {"runtime": "python3.11", "argv": ["/bin/sh"]}, "bad_message"),
        ("close", {"cell": "../c" + "0" * 15}, "bad_message"),
        ("close", {"cell": CELL}, "unknown_cell"),
        ("close", {"cell": CELL + "\n"}, "bad_message"),
        ("close", {"cell": None}, "bad_message"),
        ("keep", {"tree": "../" * 21 + "a"}, "bad_message"),
        ("keep", {"tree": "A" * 64}, "bad_message"),
        ("keep", {"tree": TREE}, "unknown_tree"),
        ("drop", {"tree": "."}, "bad_message"),
        ("assign", {"cell": CELL, "tree": TREE, **SIZES}, "unknown_cell"),
        ("assign", {"cell": CELL, "tree": TREE}, "bad_message"),
        ("assign", {"cell": CELL, "tree": "/", **SIZES}, "bad_message"),
        *(
            (
                "assign",
                {"cell": CELL, "tree": None, **SIZES, "memory_mb": wrong},
                "bad_message",
            )
            for wrong in (0, -1, 127, 10_241, True, 128.0, "128", None, 10**30)
        ),
        *(
            (
                "assign",
                {"cell": CELL, "tree": None, **SIZES, "layers": wrong},
                "bad_message",
            )
            for wrong in WRONG_LAYERS
        ),
        ("workshop", {"cell": CELL, "tree": TREE, "digest": TREE}, "bad_message"),
    ],
)
def test_a_forged_verb_is_refused(
    warden: harness.Warden, verb: str, members: dict[str, Any], code: str
) -> None:
    """Ids are matched in full, members are exactly those of the verb."""
    with pytest.raises(harness.Refusal) as refused:
        warden.do(verb, **members)
    assert refused.value.code == code
    assert "/" not in refused.value.reason


@pytest.mark.parametrize(
    "packet",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"verb":"status"}',
        b'{"id":true,"verb":"status"}',
        b'{"id":-1,"verb":"status"}',
        b'{"id":1e400,"verb":"status"}',
        b'{"id":NaN,"verb":"status"}',
        b"[" * 100_000,
        b'{"id":' + b"9" * 5_000 + b',"verb":"status"}',
        b" " * (messages.LARGEST + 1),
    ],
    ids=lambda packet: packet[:20].decode(errors="replace"),
)
def test_an_unreadable_packet_is_refused(warden: harness.Warden, packet: bytes) -> None:
    """The answer has no id; the next verb is answered as ever."""
    warden.node.send(packet)
    refused = answer(warden)
    assert (refused["id"], refused["error"]["code"]) == (None, "bad_message")
    assert "cells" in warden.do("status")


@pytest.mark.parametrize("count", [1, 16, 17, 100])
def test_descriptors_that_nobody_asked_for_are_closed(
    warden: harness.Warden, count: int
) -> None:
    """They are refused with the verb, and the warden holds none of them."""
    held = Path(f"/proc/{warden.pid}/fd")
    before = len(list(held.iterdir()))
    with Path(os.devnull).open("rb") as nothing:
        socket.send_fds(
            warden.node, [b'{"id":7,"verb":"status"}'], [nothing.fileno()] * count
        )
        assert answer(warden)["error"]["code"] == "bad_message"
    assert len(list(held.iterdir())) == before


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(packet=st.binary(min_size=1, max_size=400))
def test_any_bytes_are_survived(warden: harness.Warden, packet: bytes) -> None:
    """One answer for each packet, and no descriptor with it."""
    warden.node.send(packet)
    assert "error" in answer(warden)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    verb=st.sampled_from(["open", "assign", "workshop", "keep", "drop", "close"]),
    members=st.dictionaries(
        st.sampled_from(
            ["cell", "tree", "digest", "runtime", "memory_mb", "ephemeral_mb", "x"]
        ),
        JSON,
    ),
)
def test_any_members_are_survived(
    warden: harness.Warden, verb: str, members: dict[str, Any]
) -> None:
    """A verb with made-up members is refused under its own id."""
    with pytest.raises(harness.Refusal):
        warden.do(verb, **members)


def test_a_flood_of_verbs_is_answered_in_full(warden: harness.Warden) -> None:
    """Two thousand questions before the first answer is read."""
    numbers = []
    for _ in range(200):
        numbers += [warden.ask("status") for _ in range(10)]
        for number in numbers:
            warden.wait(number)
        numbers.clear()
    assert "cells" in warden.do("status")
