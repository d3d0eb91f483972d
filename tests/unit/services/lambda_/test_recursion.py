"""Laws of recursive loops: how far a lineage goes, and what an owner may allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from casemate.core.call import Door
from casemate.core.errors import Invalid, NotFound, Refusal
from casemate.core.event import HOPS
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World

LATEST = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:$LATEST"
WAYS: tuple[tuple[str, dict[str, object]], ...] = (
    ("Invoke", {}),
    ("Invoke", {"InvocationType": "Event"}),
    ("Invoke", {"InvocationType": "DryRun"}),
    ("InvokeWithResponseStream", {}),
)


@pytest.mark.parametrize(("name", "more"), WAYS)
def test_a_call_past_sixteen_hops_is_refused(
    tmp_path: Path, name: str, more: dict[str, object]
) -> None:
    """The sixteenth is taken, the next is AWS's exception, and nothing has run."""

    async def law(w: World) -> None:
        await w.made()
        await w.call.hopping(HOPS)(name, FunctionName="f", **more)
        before = len(w.cells.ran) + len(w.taken.events)
        with pytest.raises(Refusal, match="recursive loop") as refused:
            await w.call.hopping(HOPS + 1)(name, FunctionName="f", **more)
        told = refused.value
        assert ("RecursiveInvocationException", 400) == (told.code, told.http_status)
        assert {"hops": HOPS + 1} == told.evidence
        assert before == len(w.cells.ran) + len(w.taken.events)

    run(tmp_path, law)


@pytest.mark.parametrize(("name", "more"), WAYS)
def test_an_owner_may_allow_more(
    tmp_path: Path, name: str, more: dict[str, object]
) -> None:
    """Of every version and alias, and until it is taken back."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        far = w.call.hopping(10 * HOPS)
        for function in ("f", "f:1"):
            with pytest.raises(Refusal, match="recursive loop"):
                await far(name, FunctionName=function, **more)
        config = {"FunctionName": "f", "RecursiveLoop": "Allow"}
        await w.call("PutFunctionRecursionConfig", **config)
        for function in ("f", "f:1"):
            await far(name, FunctionName=function, **more)
        config["RecursiveLoop"] = "Terminate"
        await w.call("PutFunctionRecursionConfig", **config)
        with pytest.raises(Refusal, match="recursive loop"):
            await far(name, FunctionName="f", **more)

    run(tmp_path, law)


def test_a_delivered_event_is_taken_and_a_run_of_it_is_not(tmp_path: Path) -> None:
    """The platform's own delivery ends where the function's owner said."""

    async def law(w: World) -> None:
        await w.made()
        inside = w.call.hopping(HOPS + 1, door=Door.SERVICE)
        await inside("Invoke", FunctionName="f", InvocationType="Event")
        (event,) = w.taken.events
        assert HOPS + 1 == event.trace.hops
        with pytest.raises(Refusal, match="recursive loop"):
            await inside("Invoke", FunctionName="f")
        assert [] == w.cells.ran

    run(tmp_path, law)


def test_the_hops_go_on_with_what_is_run(tmp_path: Path) -> None:
    """To the cell, and to an event's later runs."""

    async def law(w: World) -> None:
        await w.made()
        call = w.call.hopping(7)
        await call("Invoke", FunctionName="f")
        await call("Invoke", FunctionName="f", InvocationType="Event")
        assert [7] == [ran.trace.hops for ran in w.cells.ran]
        assert [7] == [event.trace.hops for event in w.taken.events]

    run(tmp_path, law)


def test_a_setting_is_shown_and_goes_with_the_function(tmp_path: Path) -> None:
    """`Terminate` until somebody says otherwise; updates keep what was said."""

    async def law(w: World) -> None:
        await w.made()
        name = {"FunctionName": "f"}
        told = {"RecursiveLoop": "Terminate"}
        assert told == await w.call("GetFunctionRecursionConfig", **name)
        told = {"RecursiveLoop": "Allow"}
        assert told == await w.call("PutFunctionRecursionConfig", **name, **told)
        await w.call("UpdateFunctionConfiguration", **name, Timeout=9)
        await w.settled()
        assert told == await w.call("GetFunctionRecursionConfig", **name)
        plan = w.service.plans.plan(LATEST)
        assert plan is not None
        assert plan.recursive
        await w.call("DeleteFunction", **name)
        await w.made()
        told = {"RecursiveLoop": "Terminate"}
        assert told == await w.call("GetFunctionRecursionConfig", **name)
        plan = w.service.plans.plan(LATEST)
        assert plan is not None
        assert not plan.recursive

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"RecursiveLoop": "allow"}, Invalid),
        ({"RecursiveLoop": ""}, Invalid),
        ({"RecursiveLoop": None}, Invalid),
        ({"FunctionName": "f:1"}, Invalid),
        ({"FunctionName": "g"}, NotFound),
    ],
)
def test_a_bad_setting_is_refused(
    tmp_path: Path, more: dict[str, object], error: type[Exception]
) -> None:
    """It is a function's, not a version's; nothing is written."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        with pytest.raises(error):
            await w.call(
                "PutFunctionRecursionConfig",
                **{"FunctionName": "f", "RecursiveLoop": "Allow", **more},
            )
        with pytest.raises(NotFound):
            await w.of(OTHER_ACCOUNT)("GetFunctionRecursionConfig", FunctionName="f")
        told = await w.call("GetFunctionRecursionConfig", FunctionName="f")
        assert {"RecursiveLoop": "Terminate"} == told

    run(tmp_path, law)
