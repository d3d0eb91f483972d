"""Laws of reserved concurrency: what is set aside, and what admission is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.core.errors import Invalid, NotFound
from casemate.core.operation import Scope
from casemate.services.lambda_.reservations import Reservation
from casemate.services.lambda_.settings import FunctionSettings
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World, composed

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SCOPE = Scope(account=ACCOUNT, region=REGION)


async def reserve(w: World, most: object, name: str = "f") -> None:
    told = await w.call(
        "PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=most
    )
    assert told == {"ReservedConcurrentExecutions": most}


async def unreserved(w: World) -> object:
    limit = (await w.call("GetAccountSettings"))["AccountLimit"]
    assert isinstance(limit, dict)
    assert limit["ConcurrentExecutions"] == 1_000
    return limit["UnreservedConcurrentExecutions"]


def share(w: World, name: str, **more: object) -> Reservation | None:
    return w.service.share({"FunctionName": name, **more}, SCOPE)


def test_what_is_reserved_is_shown_and_given_up(tmp_path: Path) -> None:
    """By its own operation, by GetFunction and in what the account has left."""

    async def law(w: World) -> None:
        await w.made()
        name = {"FunctionName": "f"}
        assert {} == await w.call("GetFunctionConcurrency", **name)
        assert "Concurrency" not in await w.call("GetFunction", **name)
        await reserve(w, 7)
        told = {"ReservedConcurrentExecutions": 7}
        assert told == await w.call("GetFunctionConcurrency", **name)
        assert told == (await w.call("GetFunction", **name))["Concurrency"]
        assert 993 == await unreserved(w)
        await reserve(w, 0)
        zero = {"ReservedConcurrentExecutions": 0}
        assert zero == await w.call("GetFunctionConcurrency", **name)
        assert 1_000 == await unreserved(w)
        for _ in range(2):
            assert {} == await w.call("DeleteFunctionConcurrency", **name)
        assert {} == await w.call("GetFunctionConcurrency", **name)

    run(tmp_path, law)


def test_a_hundred_places_stay_unreserved(tmp_path: Path) -> None:
    """900 can be set aside in all; one more is AWS's error, and nothing is written."""

    async def law(w: World) -> None:
        await w.made("f")
        await w.made("g")
        for most in (901, 1_000, 10**9):
            with pytest.raises(Invalid, match=r"below its minimum value of \[100\]"):
                await reserve(w, most)
        await reserve(w, 900)
        with pytest.raises(Invalid, match="below its minimum"):
            await reserve(w, 1, "g")
        assert {} == await w.call("GetFunctionConcurrency", FunctionName="g")
        await reserve(w, 899)
        await reserve(w, 1, "g")
        assert 100 == await unreserved(w)
        with pytest.raises(Invalid, match="below its minimum"):
            await reserve(w, 900)
        assert 899 == getattr(share(w, "f"), "most", None)

    run(tmp_path, law)


def test_two_who_reserve_at_once_do_not_pass_the_limit(tmp_path: Path) -> None:
    """Each alone would fit."""

    async def law(w: World) -> None:
        names = [f"f{n}" for n in range(4)]
        for name in names:
            await w.made(name)
        answers = await asyncio.gather(
            *(reserve(w, 400, name) for name in names), return_exceptions=True
        )
        assert 2 == sum(isinstance(answer, Invalid) for answer in answers)
        assert 200 == await unreserved(w)

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"ReservedConcurrentExecutions": -1}, Invalid),
        ({"ReservedConcurrentExecutions": None}, Invalid),
        ({"ReservedConcurrentExecutions": "1"}, Invalid),
        ({"FunctionName": "f:$LATEST"}, Invalid),
        ({"FunctionName": "f:7"}, NotFound),
        ({"FunctionName": "g"}, NotFound),
    ],
)
def test_a_bad_reservation_is_refused(
    tmp_path: Path, more: dict[str, object], error: type[Exception]
) -> None:
    """Concurrency is a function's, not a version's; nothing is written."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(error):
            await w.call(
                "PutFunctionConcurrency",
                **{"FunctionName": "f", "ReservedConcurrentExecutions": 1, **more},
            )
        assert 1_000 == await unreserved(w)
        assert [] == list(w.store.records.scan(ACCOUNT, "lambda.reserved"))

    run(tmp_path, law)


def test_admission_is_told_of_every_name_of_a_function(tmp_path: Path) -> None:
    """All versions and aliases have one share; what runs nothing takes none."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.made("g")
        assert share(w, "f") is None
        await reserve(w, 5)
        for name in ("f", "f:1", "f:live", ARN, f"{ARN}:1", f"{ACCOUNT}:function:f"):
            assert share(w, name) == Reservation(name=ARN, most=5)
        assert share(w, "f", Qualifier="1") == Reservation(name=ARN, most=5)
        assert share(w, "f", InvocationType="RequestResponse") is not None
        for kind in ("DryRun", "Event"):
            assert share(w, "f", InvocationType=kind) is None
        assert share(w, "g") is None
        other = Scope(account=OTHER_ACCOUNT, region=REGION)
        assert w.service.share({"FunctionName": "f"}, other) is None
        assert w.service.share({"FunctionName": ARN}, other) is not None
        places = w.service.reservations.places
        assert (places(ACCOUNT), places(OTHER_ACCOUNT)) == (5, 0)

    run(tmp_path, law)


def test_what_is_reserved_goes_with_the_function(tmp_path: Path) -> None:
    """One made anew has none, and the account has its places back."""

    async def law(w: World) -> None:
        await w.made()
        await reserve(w, 50)
        await w.call("DeleteFunction", FunctionName="f")
        assert 1_000 == await unreserved(w)
        await w.made()
        assert share(w, "f") is None

    run(tmp_path, law)


def test_what_is_reserved_outlives_the_process(tmp_path: Path) -> None:
    """Another composition over the same store says the same."""

    async def law(w: World) -> None:
        await w.made()
        await reserve(w, 50)
        again = composed(w.store, w.clock, w.cells, w.workshop, FunctionSettings())
        assert again.reservations.places(ACCOUNT) == 50
        assert again.share({"FunctionName": "f"}, SCOPE) == Reservation(
            name=ARN, most=50
        )

    run(tmp_path, law)


def test_reserved_calls_wait_in_a_line_of_their_own(tmp_path: Path) -> None:
    """All versions of one function in the same; others in the account's."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call("Invoke", FunctionName="f")
        await reserve(w, 5)
        for name in ("f", "f:1"):
            await w.call("Invoke", FunctionName=name)
        await w.call("DeleteFunctionConcurrency", FunctionName="f")
        await w.call("Invoke", FunctionName="f:1")
        assert [ran.function.line for ran in w.cells.ran] == ["", "f", "f", ""]

    run(tmp_path, law)


def test_another_account_reserves_nothing(tmp_path: Path) -> None:
    """A bare name is of the caller's account."""

    async def law(w: World) -> None:
        await w.made()
        other = w.of(OTHER_ACCOUNT)
        with pytest.raises(NotFound):
            await other(
                "PutFunctionConcurrency",
                FunctionName="f",
                ReservedConcurrentExecutions=1,
            )
        for name in ("GetFunctionConcurrency", "DeleteFunctionConcurrency"):
            with pytest.raises(NotFound):
                await other(name, FunctionName="f")

    run(tmp_path, law)
