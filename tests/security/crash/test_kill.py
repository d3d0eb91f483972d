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
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from security.edge.attacker import Attacker
from security.edge.signing import Keys, json_call

pytestmark = [pytest.mark.root, pytest.mark.platform, pytest.mark.timeout(240)]

ROUNDS = 5
"""Of four kills each."""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """A platform with a function, a user and a role."""
    with standing() as stand:
        stand.function("echo", ECHO, role=stand.role("runner"))
        stand.client("iam").create_user(UserName="holder")
        yield stand


def _role(stand: Stand) -> str:
    return str(stand.client("iam").get_role(RoleName="runner")["Role"]["Arn"])


def _names(stand: Stand) -> dict[str, set[str]]:
    """List everything that the clients may have made."""

    def all_of(service: str, operation: str, key: str, **given: Any) -> list[Any]:
        pages = stand.client(service).get_paginator(operation).paginate(**given)
        return [item for page in pages for item in page[key]]

    iam = "iam"
    return {
        "user": {u["UserName"] for u in all_of(iam, "list_users", "Users")},
        "policy": set(
            all_of(iam, "list_user_policies", "PolicyNames", UserName="holder")
        ),
        "group": {
            g["logGroupName"]
            for g in all_of("logs", "describe_log_groups", "logGroups")
        },
        "function": {
            f["FunctionName"] for f in all_of("lambda", "list_functions", "Functions")
        },
    }


def _story(attacker: Attacker, keys: Keys, done: Done) -> dict[str, Any]:
    ask = json_call(
        "casemate", "Casemate_20260101.ExplainRequest", {"RequestId": done.id}
    )
    answer = attacker.ask(ask, keys)
    assert answer.status == 200, (done, answer)
    story: dict[str, Any] = json.loads(answer.body)
    return story


def _keeps_its_word(stand: Stand, load: Load, killed_at: float) -> None:
    """Hold what is there against what was acknowledged."""
    there = _names(stand)
    changes = [done for done in load.done if done.kind != "call"]
    for done in changes:
        assert done.name in there[done.kind], done
    attacker, keys = Attacker(stand), Keys.of(stand.variables)
    for done in changes[-30:]:
        assert _story(attacker, keys, done)["Position"] > 0
    calls = [done for done in load.done if done.kind == "call"]
    promised = [done for done in calls if done.at < killed_at - PROMISED]
    for done in promised[-20:]:
        story = _story(attacker, keys, done)
        assert story["Position"] > 0
        lines = "".join(story["LogLines"])
        assert f"line of {done.name}" in lines, done
        assert "REPORT RequestId" in lines, done


def _is_sound(stand: Stand) -> None:
    verdict = stand.client("casemate").verify_audit()
    assert verdict["Sound"], verdict


def test_o7_every_process_killed_under_load(stand: Stand) -> None:
    """O7: 20 kills; nothing acknowledged is lost, nothing old is left."""
    kinds: dict[str, int] = {}
    role = _role(stand)
    victims = ("warden", "node", "keyholder", "egress")
    for turn, victim in itertools.product(range(ROUNDS), victims):
        keys = Keys.of(stand.variables)
        load = Load(stand=stand, keys=keys, role=role, turn=f"{turn}-{victim}")
        load.begin()
        time.sleep(0.15 + random.random() * 0.5)
        old = stand.everything()
        killed_at = time.monotonic()
        stand.kill_one(victim)
        load.end()
        assert not still_there(old)
        stand.again()
        _keeps_its_word(stand, load, killed_at)
        _is_sound(stand)
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
    _is_sound(stand)


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
