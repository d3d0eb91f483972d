"""
O7: killed at any moment, under load, the platform keeps its word.

Each process is killed many times while clients change and call things; what was
acknowledged is there after the next start, the chain is sound, and nothing of
the old start is left.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from platform_harness import left_behind
from security.crash.stand import (
    ECHO,
    PROMISED,
    Done,
    Load,
    Stand,
    standing,
    still_there,
)
from security.edge.attacker import Answer, Attacker
from security.edge.signing import Ask, Keys, json_call, query_call

pytestmark = [pytest.mark.root, pytest.mark.platform, pytest.mark.timeout(240)]

ROUNDS = 5
"""Of four kills each."""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """A platform with a function and a role."""
    with standing() as stand:
        stand.function("echo", ECHO, role=stand.role("runner"))
        yield stand


def _role(stand: Stand) -> str:
    return str(stand.client("iam").get_role(RoleName="runner")["Role"]["Arn"])


Asking = Callable[[Ask], Answer]


@contextmanager
def _asking(stand: Stand) -> Iterator[Asking]:
    """Ask as the administrator, over one connection."""
    attacker, keys = Attacker(stand), Keys.of(stand.variables)
    with attacker.line() as line:

        def ask(ask: Ask) -> Answer:
            line.say(attacker.written(ask, keys))
            return line.hear()

        yield ask


def _lookup(account: str, done: Done) -> Ask:
    """Look at one thing that was made."""
    iam = "Version=2010-05-08"
    policy = quote(f"arn:aws:iam::{account}:policy/{done.name}")
    asks = {
        "user": query_call("iam", f"Action=GetUser&{iam}&UserName={done.name}"),
        "policy": query_call("iam", f"Action=GetPolicy&{iam}&PolicyArn={policy}"),
        "group": json_call(
            "logs",
            "Logs_20140328.DescribeLogGroups",
            {"logGroupNamePrefix": done.name},
        ),
        "function": Ask(
            service="lambda", method="GET", path=f"/2015-03-31/functions/{done.name}"
        ),
    }
    return asks[done.kind]


def _story(ask: Asking, done: Done) -> dict[str, Any]:
    answer = ask(
        json_call(
            "casemate", "Casemate_20260101.ExplainRequest", {"RequestId": done.id}
        )
    )
    assert answer.status == 200, (done, answer)
    story: dict[str, Any] = json.loads(answer.body)
    return story


def _keeps_its_word(stand: Stand, account: str, load: Load, killed_at: float) -> None:
    """Hold what is there against what was acknowledged, the last of it above all."""
    changes = [done for done in load.done if done.kind != "call"]
    calls = [done for done in load.done if done.kind == "call"]
    promised = [done for done in calls if done.at < killed_at - PROMISED]
    with _asking(stand) as ask:
        for done in changes[-60:]:
            answer = ask(_lookup(account, done))
            assert answer.status == 200, (done, answer)
            assert done.name.encode() in answer.body, done
        for done in changes[-20:]:
            assert _story(ask, done)["Position"] > 0
        for done in promised[-15:]:
            story = _story(ask, done)
            assert story["Position"] > 0
            lines = "".join(story["LogLines"])
            assert f"line of {done.name}" in lines, done
            assert "REPORT RequestId" in lines, done
        verdict = ask(json_call("casemate", "Casemate_20260101.VerifyAudit", {}))
        assert json.loads(verdict.body)["Sound"] is True, verdict


def test_o7_every_process_killed_under_load(stand: Stand) -> None:
    """O7: 20 kills; nothing acknowledged is lost, nothing old is left."""
    kinds: dict[str, int] = {}
    role = _role(stand)
    account = role.split(":")[4]
    victims = ("warden", "node", "keyholder", "egress")
    for turn, victim in itertools.product(range(ROUNDS), victims):
        keys = Keys.of(stand.variables)
        load = Load(stand=stand, keys=keys, role=role, turn=f"{turn}-{victim}")
        load.begin()
        time.sleep(0.15 + secrets.randbelow(500) / 1000)
        old = stand.everything()
        killed_at = time.monotonic()
        stand.kill_one(victim)
        load.end()
        assert not still_there(old)
        stand.again()
        _keeps_its_word(stand, account, load, killed_at)
        for done in load.done:
            kinds[done.kind] = kinds.get(done.kind, 0) + 1
    assert kinds.keys() == {"user", "policy", "group", "function", "call"}
    assert sum(kinds.values()) > 20 * 10, kinds


def test_o7_a_function_made_before_the_kill_works_after_it(stand: Stand) -> None:
    """O7: what was being prepared when it was killed becomes active, or can go."""
    functions = [
        f["FunctionName"]
        for page in stand.client("lambda").get_paginator("list_functions").paginate()
        for f in page["Functions"]
    ]
    made = [name for name in functions if name.startswith("function-")]
    assert made
    for name in made[-8:]:
        stand.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)
        assert stand.invoke(name, 1)[0] == {"ran": 1}


def test_o7_killed_while_it_starts(stand: Stand) -> None:
    """O7: the warden dies at some moment of its start; the next start is whole."""
    assert stand.stop() == 0
    for seconds in (0.2, 0.5, 0.8, 1.1):
        stand.launch()
        time.sleep(seconds)
        stand.kill()
    stand.again()
    assert stand.invoke("echo", "again")[0] == {"ran": "again"}
    assert stand.client("casemate").verify_audit()["Sound"]


def _guard(stand: Stand) -> int:
    """Give the pid of the process that ends cells when the warden was killed."""
    assert stand.process is not None
    pid = stand.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"casemate_warden" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no guard")


def test_o7_killed_with_its_guard(stand: Stand) -> None:
    """O7: when nobody is left to end the cells, the next start does."""
    stand.invoke("echo", 1)
    old = stand.everything()
    os.kill(_guard(stand), signal.SIGKILL)
    stand.kill()
    stand.again()
    assert not still_there(old)
    assert stand.invoke("echo", "after")[0] == {"ran": "after"}


def test_o7_a_stopped_clean_platform_leaves_nothing(stand: Stand) -> None:
    """O7: after all of it, one clean stop leaves neither mount nor group nor file."""
    old = stand.everything()
    assert stand.stop() == 0
    assert not still_there(old)
    assert left_behind(stand.data) == []
    stand.again()
