"""Laws of the driver, over the real store: once for each key, whatever happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from casemate.core.errors import Conflict, Invalid, Throttled, Unavailable
from casemate.services.lambda_.idempotency.expression import read
from casemate.services.lambda_.idempotency.names import Named, Namer, Owner
from casemate.services.lambda_.idempotency.once import (
    BUSY,
    MISMATCH,
    SPENT,
    Asked,
    Once,
    OnceLimits,
    Ran,
)
from casemate.services.lambda_.idempotency.policy import Policy, planned
from casemate.services.lambda_.idempotency.store import ANSWERS, ENTRIES, OnceStore
from casemate.substrate.sqlite import Store
from store_stand import ALICE, BOB, SetClock, store_at
from unit.substrate_double import MemoryRecords

KEY, OTHER = "a" * 64, "b" * 64
LEASE, KEEP = 40.0, 60.0
LIMITS = OnceLimits(turn=0.001)


def asked(
    key: str = KEY,
    payload: str = "p",
    *,
    account: str = ALICE,
    owner: str = "first",
    deadline: float = 1e9,
) -> Asked:
    return Asked(
        account=account,
        named=Named(key=key, payload=payload),
        owner=owner,
        deadline=deadline,
        lease=LEASE,
        keep=KEEP,
    )


@dataclass
class Function:
    """Counts its effects; holds until it is let go, if it is told to."""

    effects: int = 0
    answer: bytes = b'"done"'
    error: str | None = None
    raises: BaseException | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event | None = None

    async def __call__(self) -> Ran:
        self.effects += 1
        self.began.set()
        if self.go is not None:
            await self.go.wait()
        if self.raises is not None:
            raise self.raises
        return Ran(version="1", payload=self.answer, error=self.error)


@dataclass
class Here:
    store: Store
    clock: SetClock
    once: Once
    function: Function

    async def call(self, given: Asked | None = None) -> Ran:
        return await self.once.answer(given or asked(), self.function)

    def restarted(self) -> Once:
        """Make the driver of another process on the same records."""
        return Once(OnceStore(self.store.records), self.clock, LIMITS)


def run(
    folder: Path,
    law: Callable[[Here], Awaitable[None]],
    limits: OnceLimits = LIMITS,
) -> None:
    async def inside() -> None:
        clock = SetClock()
        async with store_at(folder, clock=clock) as store:
            once = Once(OnceStore(store.records), clock, limits)
            await law(Here(store, clock, once, Function()))

    asyncio.run(inside())


def test_the_second_call_gets_the_firsts_answer(tmp_path: Path) -> None:
    """To the byte, with the version that ran and the id of the call that did."""

    async def law(h: Here) -> None:
        first = await h.call()
        second = await h.call(asked(owner="second"))
        assert (first.owner, second.owner) == ("", "first")
        assert (second.payload, second.version) == (first.payload, "1")
        assert h.function.effects == 1

    run(tmp_path, law)


def test_the_answer_outlives_the_process(tmp_path: Path) -> None:
    """It was durable before it was given."""

    async def law(h: Here) -> None:
        await h.call()
        again = await h.restarted().answer(asked(owner="second"), h.function)
        assert (again.owner, h.function.effects) == ("first", 1)

    run(tmp_path, law)


def test_a_key_expires(tmp_path: Path) -> None:
    """Not a moment before its time; then the next call runs."""

    async def law(h: Here) -> None:
        await h.call()
        h.clock.forward(KEEP - 0.5)
        assert (await h.call()).owner == "first"
        h.clock.forward(0.5)
        assert (await h.call()).owner == ""
        assert h.function.effects == 2

    run(tmp_path, law)


def test_duplicates_wait_for_the_first(tmp_path: Path) -> None:
    """A hundred at once, one effect, one answer."""

    async def law(h: Here) -> None:
        h.function.go = asyncio.Event()
        calls = [asyncio.create_task(h.call(asked(owner=str(n)))) for n in range(100)]
        await h.function.began.wait()
        await asyncio.sleep(0)
        assert not any(call.done() for call in calls)
        h.function.go.set()
        rans = await asyncio.gather(*calls)
        assert h.function.effects == 1
        assert {ran.payload for ran in rans} == {b'"done"'}
        assert 1 == sum(not ran.owner for ran in rans)
        assert {ran.owner for ran in rans} == {"", "0"}

    run(tmp_path, law)


def test_a_duplicate_waits_until_its_own_deadline(tmp_path: Path) -> None:
    """Then it is told to ask again, and the first goes on."""

    async def law(h: Here) -> None:
        h.function.go = asyncio.Event()
        first = asyncio.create_task(h.call())
        await h.function.began.wait()
        for deadline in (h.clock.monotonic(), h.clock.monotonic() + 0.01):
            with pytest.raises(Throttled) as refused:
                await h.call(asked(owner="second", deadline=deadline))
            assert (refused.value.code, refused.value.http_status) == (BUSY, 429)
        h.function.go.set()
        assert (await first).owner == ""
        assert h.function.effects == 1

    run(tmp_path, law)


def test_another_payload_is_refused(tmp_path: Path) -> None:
    """While the first runs, and once it is done (R16)."""

    async def law(h: Here) -> None:
        h.function.go = asyncio.Event()
        first = asyncio.create_task(h.call())
        await h.function.began.wait()
        for _ in range(2):
            with pytest.raises(Invalid) as refused:
                await h.call(asked(payload="another"))
            assert (refused.value.code, refused.value.http_status) == (MISMATCH, 400)
            h.function.go.set()
            await first
        assert h.function.effects == 1

    run(tmp_path, law)


def test_an_error_of_the_function_is_not_kept(tmp_path: Path) -> None:
    """The next call runs; those who waited run one after the other."""

    async def law(h: Here) -> None:
        h.function.error = "Unhandled"
        h.function.go = asyncio.Event()
        calls = [asyncio.create_task(h.call()) for _ in range(3)]
        await h.function.began.wait()
        h.function.go.set()
        rans = await asyncio.gather(*calls)
        assert [ran.error for ran in rans] == ["Unhandled"] * 3
        assert h.function.effects == 3
        h.function.error = None
        assert (await h.call()).error is None
        assert (await h.call()).owner == "first"

    run(tmp_path, law)


def test_a_call_that_found_no_cell_leaves_nothing(tmp_path: Path) -> None:
    """The refusal is the caller's, and the key is free."""

    async def law(h: Here) -> None:
        h.function.raises = Throttled("no room")
        with pytest.raises(Throttled, match="no room"):
            await h.call()
        assert h.store.records.get(ALICE, ENTRIES, KEY) is None
        h.function.raises = None
        assert (await h.call()).owner == ""

    run(tmp_path, law)


def test_what_is_ended_in_between_keeps_its_lease(tmp_path: Path) -> None:
    """Nobody knows whether it had an effect: nobody runs until the lease is over."""

    async def law(h: Here) -> None:
        h.function.go = asyncio.Event()
        first = asyncio.create_task(h.call())
        await h.function.began.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        h.function.go = None
        again = h.restarted()
        with pytest.raises(Throttled, match="under way"):
            await again.answer(asked(deadline=0.0), h.function)
        waits = asyncio.create_task(again.answer(asked(owner="second"), h.function))
        for _ in range(3):
            await asyncio.sleep(LIMITS.turn)
        assert not waits.done()
        assert h.function.effects == 1
        h.clock.forward(LEASE)
        assert (await waits).owner == ""
        assert h.function.effects == 2
        assert (await again.answer(asked(), h.function)).owner == "second"

    run(tmp_path, law)


def test_a_clock_that_jumps_lets_nobody_run_beside(tmp_path: Path) -> None:
    """The lease is over by the clock, and the call is still under way (O7)."""

    async def law(h: Here) -> None:
        h.function.go = asyncio.Event()
        first = asyncio.create_task(h.call())
        await h.function.began.wait()
        h.clock.forward(LEASE * 10)
        second = asyncio.create_task(h.call(asked(owner="second")))
        await asyncio.sleep(0)
        h.function.go.set()
        assert (await first).owner == ""
        assert (await second).owner == "first"
        assert h.function.effects == 1

    run(tmp_path, law)


def test_an_answer_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    """The first caller has it; later ones are told that it ran, and nothing runs."""

    async def law(h: Here) -> None:
        h.function.answer = b"x" * 10
        assert (await h.call(asked(OTHER))).payload == h.function.answer
        assert (await h.call(asked(OTHER))).payload == h.function.answer
        h.function.answer = b"x" * 11
        assert (await h.call()).payload == h.function.answer
        with pytest.raises(Conflict, match="first") as refused:
            await h.call()
        assert (refused.value.code, refused.value.http_status) == (SPENT, 409)
        assert h.function.effects == 2
        assert h.store.records.get(ALICE, ANSWERS, KEY) is None

    run(tmp_path, law, OnceLimits(answer=10))


def test_keys_of_an_account_are_bounded(tmp_path: Path) -> None:
    """One more is throttled and runs nothing; no other account notices."""

    async def law(h: Here) -> None:
        await h.call(asked("1" * 64))
        await h.call(asked("2" * 64))
        with pytest.raises(Throttled, match="2 keys"):
            await h.call(asked("3" * 64))
        assert h.function.effects == 2
        assert (await h.call(asked("1" * 64))).owner == "first"
        await h.call(asked("3" * 64, account=BOB))
        h.clock.forward(KEEP)
        await h.call(asked("3" * 64))
        assert h.function.effects == 4

    run(tmp_path, law, OnceLimits(keys=2))


def test_bytes_of_answers_are_bounded(tmp_path: Path) -> None:
    """Once an account's answers take what they may, nothing new is begun."""

    async def law(h: Here) -> None:
        await h.call()
        with pytest.raises(Throttled, match="bytes of answers"):
            await h.call(asked(OTHER))
        assert h.function.effects == 1

    run(tmp_path, law, OnceLimits(bytes=len(b'"done"')))


def test_what_an_earlier_process_kept_is_counted(tmp_path: Path) -> None:
    """A restart gives nobody new room."""

    async def law(h: Here) -> None:
        for number in range(3):
            await h.call(asked(f"{number:064}"))
        store = OnceStore(h.store.records)
        now = h.clock.now()
        assert await store.used(ALICE, now) == (3, 18)
        assert await store.used(BOB, now) == (0, 0)
        assert await store.used(ALICE, now + KEEP) == (0, 0)

    run(tmp_path, law)


def test_expired_keys_are_swept(tmp_path: Path) -> None:
    """Entries and answers, from the file."""

    async def law(h: Here) -> None:
        await h.call()
        h.clock.forward(KEEP)
        assert await h.store.sweep() >= 2
        assert h.store.records.scan(ALICE, ENTRIES) == []
        assert h.store.records.scan(ALICE, ANSWERS) == []

    run(tmp_path, law)


def test_a_full_disk_runs_nothing() -> None:
    """What cannot be remembered is not begun; what ran is said to have run."""

    async def law() -> None:
        records = MemoryRecords()
        once = Once(OnceStore(records), SetClock(), LIMITS)
        function = Function()
        records.full = True
        with pytest.raises(Unavailable, match="nothing was run"):
            await once.answer(asked(), function)
        assert function.effects == 0
        records.full = False
        function.go = asyncio.Event()
        call = asyncio.create_task(once.answer(asked(), function))
        await function.began.wait()
        records.full = True
        function.go.set()
        with pytest.raises(Unavailable, match="the function ran"):
            await call
        # Its lease stands: nobody runs beside what may have had its effect.
        with pytest.raises(Throttled):
            await once.answer(asked(deadline=0.0), function)
        assert function.effects == 1

    asyncio.run(law())


def test_admission_hears_of_kept_answers_only(tmp_path: Path) -> None:
    """Not of one under way, another payload's, or one that is about to expire."""

    async def law(h: Here) -> None:
        named = asked().named
        h.function.go = asyncio.Event()
        call = asyncio.create_task(h.call())
        await h.function.began.wait()
        assert not h.once.is_answered(ALICE, named)
        h.function.go.set()
        await call
        assert h.once.is_answered(ALICE, named)
        assert not h.once.is_answered(BOB, named)
        assert not h.once.is_answered(ALICE, asked(payload="x").named)
        h.clock.forward(KEEP - 0.5)
        assert not h.once.is_answered(ALICE, named)

    run(tmp_path, law)


OWNER = Owner(account=ALICE, region="us-east-1", name="f", born="1", caller=ALICE)


@pytest.mark.parametrize(
    "other",
    [
        {"account": BOB},
        {"region": "us-east-2"},
        {"name": "g"},
        {"born": "2"},
        {"caller": BOB},
        {"name": "f1", "born": ""},
    ],
)
def test_r16_keys_of_others_are_other_keys(other: dict[str, str]) -> None:
    """Of another account, function, life of a function, or caller."""
    namer, plan = Namer(secret=bytes(32)), planned(Policy(key="id"))
    fields = {name: getattr(OWNER, name) for name in OWNER.__slots__}
    named = namer.name(plan, OWNER, {"id": "k"})
    theirs = namer.name(plan, Owner(**(fields | other)), {"id": "k"})
    assert named is not None
    assert theirs is not None
    assert named.key != theirs.key


def test_r16_a_key_is_its_value_and_its_policy() -> None:
    """Kinds, joints and spellings of values, expressions, and the node's secret."""
    namer = Namer(secret=bytes(32))
    seen: set[str] = set()
    both = "[a, b]"
    cases = [
        ("id", {"id": "1"}),
        ("id", {"id": 1}),
        ("id", {"id": ["1"]}),
        ("id", {"id": '"1"'}),
        ("id", {"id": True}),
        ("a", {"a": "1"}),
        (both, {"a": "x", "b": "yz"}),
        (both, {"a": "xy", "b": "z"}),
        ("{a: a, b: b}", {"a": "x", "b": "yz"}),
    ]
    for text, event in cases:
        named = namer.name(planned(Policy(key=text)), OWNER, event)
        assert named is not None
        seen.add(named.key)
    compare = namer.name(planned(Policy(key="id", compare="x")), OWNER, {"id": "1"})
    secret = Namer(secret=os.urandom(32)).name(
        planned(Policy(key="id")), OWNER, {"id": "1"}
    )
    assert compare is not None
    assert secret is not None
    assert len(seen | {compare.key, secret.key}) == len(cases) + 2


def test_a_part_of_a_key_that_is_missing_makes_no_key() -> None:
    """Or all events of a customer without an order would be one order."""
    namer, plan = Namer(secret=bytes(32)), planned(Policy(key="[customer, order]"))
    assert namer.name(plan, OWNER, {"customer": "c", "order": "o"})
    events: tuple[object, ...] = (
        {"customer": "c"},
        {"customer": "c", "order": ""},
        {},
        [],
        "x",
    )
    for event in events:
        assert namer.name(plan, OWNER, event) is None


def test_what_is_compared_is_the_event_or_what_is_chosen() -> None:
    """Not its spelling."""
    namer = Namer(secret=bytes(32))
    whole, part = planned(Policy(key="id")), planned(Policy(key="id", compare="amount"))

    def payload(plan: object, event: bytes) -> str:
        named = namer.name(whole if plan is whole else part, OWNER, read(event))
        assert named is not None
        return named.payload

    spelled = b'{ "amount": 1, "id": "k", "at": 1 }'
    assert payload(whole, spelled) == payload(whole, b'{"at":1,"id":"k","amount":1}')
    later = b'{"at":2,"id":"k","amount":1}'
    assert payload(whole, spelled) != payload(whole, later)
    assert payload(part, spelled) == payload(part, later)
    assert payload(part, later) != payload(part, b'{"at":2,"id":"k","amount":2}')
