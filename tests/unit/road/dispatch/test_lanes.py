"""Laws of turns: fair between accounts, bounded, and nobody forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casemate.road.dispatch.events.lanes import NEVER, Lanes, Workers
from effort import bounded

WORKERS = Workers(most=8, account=6, lane=4, kept=2, floor=1)
LOOKS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("fgh"), st.floats(0, 10)),
    min_size=1,
    max_size=20,
)


@given(LOOKS, st.floats(0, 10))
def test_places_are_given_within_every_bound(
    looks: list[tuple[str, str, float]], now: float
) -> None:
    """To who is due, and as many as there are if they can be used."""
    lanes = Lanes(WORKERS)
    for account, target, at in looks:
        lanes.look(account, target, at)
    given_out = lanes.give(now)
    assert all(lane.due_at <= now for lane in given_out)
    assert all(count <= WORKERS.lane for count in given_out.values())
    accounts: dict[str, int] = {}
    for lane, count in given_out.items():
        accounts[lane.account] = accounts.get(lane.account, 0) + count
    assert all(count <= WORKERS.account for count in accounts.values())
    due: dict[str, set[str]] = {}
    for account, target, at in looks:
        if at <= now:
            due.setdefault(account, set()).add(target)
    able = sum(
        min(WORKERS.account, WORKERS.lane * len(names)) for names in due.values()
    )
    assert sum(accounts.values()) == min(WORKERS.most - WORKERS.kept, able)
    for lane, count in given_out.items():
        lanes.back(lane, count)
        lanes.empty(lane, NEVER)
    assert 0 == lanes.taken


def test_turns_go_round_the_accounts() -> None:
    """With one place at a time, each account has every second turn."""
    lanes = Lanes(Workers(most=1, account=1, lane=1, kept=0))
    for number in range(5):
        lanes.look("crowd", f"f{number}", 0.0)
    lanes.look("small", "f", 0.0)
    seen: list[tuple[str, str]] = []
    for _ in range(8):
        ((lane, count),) = lanes.give(1.0).items()
        seen.append((lane.account, lane.target))
        lanes.back(lane, count)
    assert [account for account, _ in seen] == ["crowd", "small"] * 4
    assert [name for account, name in seen if account == "crowd"] == [
        f"f{number}" for number in range(4)
    ]


def test_a_few_accounts_do_not_take_every_place() -> None:
    """Some are kept for those who have next to none, also while nothing comes back."""
    workers = Workers()
    lanes = Lanes(workers)

    def taken(account: str) -> int:
        for number in range(4):
            lanes.look(account, f"f{number}", 0.0)
        found = lanes.give(1.0)
        assert all(lane.account == account for lane in found)
        return sum(found.values())

    assert workers.account == taken("a")
    assert workers.most - workers.kept - workers.account == taken("b")
    newcomers = workers.kept // workers.floor
    assert [workers.floor] * newcomers == [taken(f"c{n}") for n in range(newcomers)]
    assert (0, workers.most) == (taken("late"), lanes.taken)


def test_an_empty_lane_is_forgotten_and_a_waiting_one_is_not() -> None:
    lanes = Lanes(WORKERS)
    lanes.look("a", "f", 0.0)
    lanes.look("a", "g", 5.0)
    ((lane, count),) = lanes.give(1.0).items()
    assert "f" == lane.target
    lanes.back(lane, count)
    lanes.empty(lane, NEVER)
    assert (1, 5.0) == (len(lanes), lanes.next_at())


def test_lanes_that_wait_cost_the_others_nothing() -> None:
    """Turns beside very many that wait end in a moment."""
    lanes = Lanes(WORKERS)
    for number in range(50_000):
        lanes.look("many", f"f{number}", 60.0 + number)
    lanes.look("few", "f", 0.0)
    with bounded():
        for _ in range(5_000):
            ((lane, count),) = lanes.give(1.0).items()
            lanes.back(lane, count)
            assert 0.0 == lanes.next_at()


def test_what_is_looked_at_sooner_is_due_sooner() -> None:
    """A later word of the same lane changes nothing, and an old one is forgotten."""
    lanes = Lanes(WORKERS)
    lanes.look("a", "f", 9.0)
    lanes.look("a", "f", 5.0)
    lanes.look("a", "f", 7.0)
    assert 5.0 == lanes.next_at()
    ((lane, count),) = lanes.give(5.0).items()
    lanes.back(lane, count)
    lanes.empty(lane, 20.0)
    assert ({}, 20.0) == (lanes.give(19.0), lanes.next_at())
    lanes.empty(lane, NEVER)
    assert (0, NEVER) == (len(lanes), lanes.next_at())
