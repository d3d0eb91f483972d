"""Laws of functions whose events are of tenants."""

from __future__ import annotations

from pathlib import Path

import pytest

from casemate.core.errors import Invalid
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World

PER_TENANT = {"TenantIsolationMode": "PER_TENANT"}


def test_tenancy_is_shown_and_stays(tmp_path: Path) -> None:
    """Of the function and its versions, whatever else changes."""

    async def law(w: World) -> None:
        made = await w.made(TenancyConfig=PER_TENANT)
        assert PER_TENANT == made["TenancyConfig"]
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        await w.call("PublishVersion", FunctionName="f")
        await w.settled()
        for qualifier in ("$LATEST", "1"):
            told = await w.call(
                "GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier
            )
            assert PER_TENANT == told["TenancyConfig"]
        shared = await w.made("g")
        assert "TenancyConfig" not in shared

    run(tmp_path, law)


def test_nothing_changes_tenancy(tmp_path: Path) -> None:
    """No operation but the creation takes it."""

    async def law(w: World) -> None:
        for name, operation in w.call.operations.items():
            taken = {path.partition(".")[0] for path in operation.accepts}
            assert ("TenancyConfig" in taken) is (name == "CreateFunction")

    run(tmp_path, law)


@pytest.mark.parametrize("mode", [None, "", "NONE", "per_tenant"])
def test_there_is_one_mode(tmp_path: Path, mode: str | None) -> None:
    """Another is refused, and nothing is made."""

    async def law(w: World) -> None:
        with pytest.raises(Invalid, match="PER_TENANT"):
            await w.made(TenancyConfig={"TenantIsolationMode": mode})
        assert [] == (await w.call("ListFunctions"))["Functions"]

    run(tmp_path, law)


@pytest.mark.parametrize("tenant", ["blue", "a" * 256, "x/y:z@w=1+2-3.4_5 6"])
def test_an_event_runs_for_its_tenant(tmp_path: Path, tenant: str) -> None:
    """At once or later, by any qualifier."""

    async def law(w: World) -> None:
        await w.made(TenancyConfig=PER_TENANT)
        await w.call("PublishVersion", FunctionName="f")
        await w.settled()
        for qualifier in ("$LATEST", "1"):
            named = {"FunctionName": "f", "Qualifier": qualifier, "TenantId": tenant}
            await w.call("Invoke", **named)
            ran = w.cells.ran[-1].function
            assert (True, tenant, qualifier) == (
                ran.per_tenant,
                ran.tenant,
                ran.version,
            )
            await w.call("Invoke", **named, InvocationType="Event")
            assert tenant == w.taken.events[-1].tenant

    run(tmp_path, law)


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_an_event_must_say_whose_it_is(tmp_path: Path, kind: str) -> None:
    """And where cells serve all, it must not; neither runs nor waits."""

    async def law(w: World) -> None:
        await w.made(TenancyConfig=PER_TENANT)
        await w.made("g")
        with pytest.raises(Invalid, match=r"Add a valid tenant ID") as refused:
            await w.call("Invoke", FunctionName="f", InvocationType=kind)
        assert "InvalidParameterValueException" == refused.value.code
        with pytest.raises(Invalid, match=r"Remove the tenant ID"):
            await w.call(
                "Invoke", FunctionName="g", InvocationType=kind, TenantId="blue"
            )
        with pytest.raises(Invalid, match=r"Add a valid tenant ID"):
            await w.call("InvokeWithResponseStream", FunctionName="f")
        with pytest.raises(Invalid, match=r"Remove the tenant ID"):
            await w.call("InvokeWithResponseStream", FunctionName="g", TenantId="b")
        assert [] == w.cells.ran
        assert [] == w.taken.events

    run(tmp_path, law)


@pytest.mark.parametrize("tenant", ["a" * 257, "a\nb", "a\x00b", "ä", "a;b", "a\r"])
def test_what_is_no_tenant_id_is_refused(tmp_path: Path, tenant: str) -> None:
    """Nothing that could break a header or a line reaches a cell."""

    async def law(w: World) -> None:
        await w.made(TenancyConfig=PER_TENANT)
        with pytest.raises(Invalid, match="is not a tenant ID"):
            await w.call("Invoke", FunctionName="f", TenantId=tenant)
        assert [] == w.cells.ran

    run(tmp_path, law)
