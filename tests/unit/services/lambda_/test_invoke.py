"""Laws of invoking."""

from __future__ import annotations

import base64
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given as values
from hypothesis import strategies as st

from casemate.core.errors import Conflict, Invalid, NotFound, TooLarge
from casemate.core.operation import Scope
from casemate.services.lambda_.invoke import checked, client_context
from casemate.services.lambda_.settings import PAYLOAD, FunctionSettings
from unit.services.calls import ACCOUNT, NOW, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World, given

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def test_an_event_goes_in_and_the_answer_comes_out(tmp_path: Path) -> None:
    """Everything that a cell needs is in the invocation."""

    async def law(w: World) -> None:
        await w.made(Timeout=7)
        answer = await w.call(
            "Invoke",
            FunctionName="f:$LATEST",
            Payload=b'{"a": 1}',
            LogType="Tail",
            ClientContext=base64.b64encode(b'{\n"k": "\xc3\xa4"}').decode(),
        )
        assert answer == {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "Payload": b'{"a": 1}',
            "LogResult": base64.b64encode(b"tail").decode(),
        }
        ran = w.cells.ran[-1]
        assert (ran.invoked_arn, ran.function.arn) == (f"{ARN}:$LATEST", ARN)
        assert ran.deadline == NOW + 7 + FunctionSettings().start_seconds
        assert ran.client_context == '{"k":"\\u00e4"}'
        assert ran.want_log_tail

    run(tmp_path, law)


def test_a_function_error_is_an_answer(tmp_path: Path) -> None:
    """200, with the word in `FunctionError`; no log unless asked for."""

    async def law(w: World) -> None:
        await w.made()
        w.cells.error = "Unhandled"
        answer = await w.call("Invoke", FunctionName="f")
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert "LogResult" not in answer
        assert w.cells.ran[-1].payload == b"{}"

    run(tmp_path, law)


def test_a_dry_run_runs_nothing(tmp_path: Path) -> None:
    """204, and no cell hears of it; what it names must be there."""

    async def law(w: World) -> None:
        await w.made()
        answer = await w.call("Invoke", FunctionName="f", InvocationType="DryRun")
        assert answer == {"StatusCode": 204}
        assert [] == w.cells.ran
        with pytest.raises(NotFound):
            await w.call("Invoke", FunctionName="g", InvocationType="DryRun")
        with pytest.raises(Invalid, match="InvocationType"):
            await w.call("Invoke", FunctionName="f", InvocationType="Later")

    run(tmp_path, law)


def test_a_call_waits_for_a_function_that_is_being_made(tmp_path: Path) -> None:
    """A pending function is waited for; with no time to wait it is a conflict."""

    async def law(w: World) -> None:
        await w.call("CreateFunction", **given())
        assert (await w.call("Invoke", FunctionName="f"))["StatusCode"] == 200

    async def hurried(w: World) -> None:
        await w.call("CreateFunction", **given())
        with pytest.raises(Conflict, match="Pending"):
            await w.call("Invoke", FunctionName="f")

    run(tmp_path, law)
    run(tmp_path / "hurried", hurried, FunctionSettings(pending_seconds=0.0))


def test_an_update_reaches_the_next_call(tmp_path: Path) -> None:
    """What is cached is never older than the last commit."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("Invoke", FunctionName="f")
        await w.call("UpdateFunctionConfiguration", FunctionName="f", MemorySize=256)
        await w.settled()
        await w.call("Invoke", FunctionName="f")
        sizes = [ran.function.memory_mb for ran in w.cells.ran]
        assert sizes == [128, 256]
        first, second = (ran.function.revision for ran in w.cells.ran)
        assert first != second
        await w.call("DeleteFunction", FunctionName="f")
        with pytest.raises(NotFound):
            await w.call("Invoke", FunctionName="f")

    run(tmp_path, law)


def test_another_account_reaches_a_function_by_its_arn_only(tmp_path: Path) -> None:
    """A bare name is of the caller's account; what is foreign says so in the ARN."""

    async def law(w: World) -> None:
        await w.made()
        other = w.of(OTHER_ACCOUNT)
        with pytest.raises(NotFound):
            await other("Invoke", FunctionName="f")
        operation = other.operations["Invoke"]
        scope = Scope(account=OTHER_ACCOUNT, region=REGION)
        assert str(operation.resource({"FunctionName": ARN}, scope)) == ARN
        answer = await other("Invoke", FunctionName=ARN)
        assert answer["StatusCode"] == 200
        assert w.cells.ran[-1].function.account == ACCOUNT

    run(tmp_path, law)


def test_payloads_are_bounded() -> None:
    """6,291,456 bytes pass, one more does not."""
    full = b'"' + b"x" * (PAYLOAD - 2) + b'"'
    assert checked(full) is full
    with pytest.raises(TooLarge) as refused:
        checked(full + b" ")
    assert (refused.value.code, refused.value.http_status) == (
        "RequestTooLargeException",
        413,
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[1,]",
        b'"\xff"',
        b"NaN",
        b"{} x",
        b"[" * 100_000,
        b"\xef\xbb\xbf{}",
        b"'a'",
    ],
)
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    """400 InvalidRequestContentException."""
    with pytest.raises(Invalid, match="Could not parse request body into json") as no:
        checked(payload)
    assert no.value.code == "InvalidRequestContentException"


def test_a_payload_is_checked_without_being_built() -> None:
    """Two million small objects take no memory of their own."""
    payload = b"[" + b",".join([b"[]"] * 2_000_000) + b"]"
    tracemalloc.start()
    checked(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@values(st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=20))
def test_json_passes_unchanged(value: object) -> None:
    """A payload reaches the function byte for byte."""
    payload = json.dumps(value).encode()
    assert checked(payload) == payload


@pytest.mark.parametrize("context", ["e", "!!!!", base64.b64encode(b"[]").decode()])
def test_a_client_context_is_json_in_base64(context: str) -> None:
    """Anything else is refused."""
    with pytest.raises(Invalid):
        client_context(context)


def test_a_client_context_is_bounded() -> None:
    """3,583 bytes at most."""
    with pytest.raises(Invalid, match="3583"):
        client_context("e" * 3584)
