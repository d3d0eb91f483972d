"""Cells of a function whose events are of tenants: never shared between two."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from casemate.core.errors import Invalid
from casemate.core.function import FunctionVersion
from contract.sandbox.stage import Stage, package

PROBE = """
import os

seen = []

def handler(event, context):
    seen.append(context.tenant_id)
    with open("/tmp/seen", "a") as file:
        file.write(context.tenant_id + chr(10))
    with open("/tmp/seen") as file:
        return [seen, file.read().split(chr(10))[:-1]]
"""
NODE = "exports.handler = async (event, context) => context.tenantId ?? 'none';\n"
LOGGING = """
import logging

def handler(event, context):
    logging.getLogger().warning("said")
"""


def isolated(stage: Stage, source: str = PROBE, **more: Any) -> FunctionVersion:
    return stage.python(source, per_tenant=True, **more)


def call(stage: Stage, function: FunctionVersion, tenant: str) -> Any:
    return json.loads(stage.invoke(replace(function, tenant=tenant)).payload)


def test_a_tenant_finds_its_own_and_nobody_elses(stage: Stage) -> None:
    """Interleaved: globals and `/tmp` are those of the events of this tenant."""
    function = isolated(stage)
    count = {"blue": 0, "green": 0, "Blue": 0}
    for tenant in ("blue", "green", "blue", "Blue", "green", "blue"):
        count[tenant] += 1
        own = [tenant] * count[tenant]
        assert [own, own] == call(stage, function, tenant)


def test_tenants_at_once_share_no_cell(stage: Stage) -> None:
    """Also where all wait for cells, and one that becomes free is another's."""
    function = isolated(stage)
    tenants = [f"t{n % 5}" for n in range(40)]

    async def all_at_once() -> list[Any]:
        runs = [
            stage.sandbox.run(stage.invocation(replace(function, tenant=tenant)))
            for tenant in tenants
        ]
        return [json.loads(result.payload) for result in await asyncio.gather(*runs)]

    for tenant, (seen, in_file) in zip(tenants, stage.run(all_at_once()), strict=True):
        assert {tenant} == {*seen} == {*in_file}


def test_no_event_runs_without_its_tenant(stage: Stage) -> None:
    """Whatever its source is: what the sandbox is handed must agree."""
    function = isolated(stage)
    with pytest.raises(Invalid, match="tenant"):
        stage.invoke(function)
    shared = stage.python(PROBE)
    with pytest.raises(Invalid, match="tenant"):
        stage.invoke(replace(shared, tenant="blue"))


def test_idle_cells_are_kept_for_so_many_tenants(
    stage_with: Callable[..., AbstractContextManager[Stage]],
) -> None:
    """Beyond that the one that was served least recently starts cold again."""
    with stage_with(pool=1, idle_tenants=2) as stage:
        function, other = isolated(stage), isolated(stage)

        def is_cold(tenant: str, one: FunctionVersion = function) -> bool:
            return stage.invoke(replace(one, tenant=tenant)).init_ms is not None

        assert is_cold("x", other)
        assert [is_cold(tenant) for tenant in "abab"] == [True, True, False, False]
        assert is_cold("c")  # takes the place of `a`
        assert stage.sandbox.facts()["evicted"] == 1
        assert [is_cold(tenant) for tenant in "bc"] == [False, False]
        assert is_cold("a")
        assert not is_cold("x", other)


def test_node_has_the_tenant_in_its_context(stage: Stage) -> None:
    """By the Runtime API's header; without tenants there is none."""
    code = package({"app.js": NODE})
    function = stage.function(code, runtime="nodejs20.x", per_tenant=True)
    assert "blue" == call(stage, function, "blue")
    shared = stage.function(code, runtime="nodejs20.x")
    assert "none" == json.loads(stage.invoke(shared).payload)


def test_json_lines_name_the_tenant(stage: Stage) -> None:
    """START, REPORT and the logger's; the text format says nothing of it, as on AWS."""
    function = isolated(stage, LOGGING, log_format="JSON")
    result = stage.invoke(replace(function, tenant="blue"))
    records = [json.loads(text) for text in stage.texts(result)]
    named = {
        record.get("type", "function"): record.get("record", record).get("tenantId")
        for record in records
    }
    assert {
        "platform.initStart": None,
        "platform.start": "blue",
        "function": "blue",
        "platform.report": "blue",
    } == named

    plain = isolated(stage, LOGGING)
    result = stage.invoke(replace(plain, tenant="blue"))
    assert not [text for text in stage.texts(result) if "blue" in text]


def test_a_function_without_tenants_has_none(stage: Stage) -> None:
    """`context.tenant_id` is None, and no line names one."""
    function = stage.python(f"{LOGGING}    return context.tenant_id", log_format="JSON")
    result = stage.invoke(function)
    assert b"null" == result.payload
    assert not [text for text in stage.texts(result) if "tenantId" in text]
