"""The kept trees: what makes way, and what one account may take."""

from __future__ import annotations

from casemate.road.sandbox.kept import LARGEST_MB, MOST, Kept, Tree
from casemate_warden import trees

MIB = 1 << 20


def tree(account: str, mb: int) -> Tree:
    return Tree(account=account, files=1, said=1, bytes=mb * MIB)


def test_room_for_trees_that_are_being_made_is_never_promised() -> None:
    """What is kept and what may be made at once fit together, at any size."""
    for room in (600, 1_000, 2_000, 8_000):
        kept = Kept(room)
        most = (room - kept.workshops * LARGEST_MB) * MIB
        kept.add("a", Tree(account="a", files=1, said=1, bytes=most + 1))
        assert kept.is_full()


def test_what_a_tree_takes_counts_and_not_what_was_said_of_it() -> None:
    """Many tiny files say little and take much."""
    kept = Kept(4_000)
    kept.add("a", tree("a", 2_900))
    assert kept.is_full()
    assert kept.bytes == 2_900 * MIB


def test_one_account_leaves_room_for_others() -> None:
    """An account is over its share long before all together are over theirs."""
    kept = Kept(4_000)
    kept.add("a", tree("a", 2_200))
    assert kept.is_over("a")
    assert not kept.is_over("b")
    assert not kept.is_full()


def test_the_least_recently_used_tree_makes_way_first() -> None:
    """One that is in use does not, and finding one is using it."""
    kept = Kept(4_000)
    for name, account in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")):
        kept.add(name, tree(account, 1))
    assert kept.find("1")
    used = kept.find("2")
    assert used
    used.uses += 1
    assert ["3", "4", "1"] == list(kept.idle())
    assert ["4", "1"] == list(kept.idle("a"))


def test_trees_without_weight_have_a_number() -> None:
    """The warden refuses more than so many, so older ones make way before that."""
    kept = Kept(4_000, most=3)
    for name in "ab":
        kept.add(name, tree(name, 0))
        assert not kept.is_full()
    kept.add("c", tree("c", 0))
    assert kept.is_full()
    assert MOST + kept.workshops <= trees.MOST


def test_accounts_together_leave_room_for_one_that_has_nothing() -> None:
    """Those that have trees stop at three quarters; a newcomer has the whole room."""
    kept = Kept(4_000)
    kept.add("a", tree("a", 1_000))
    assert kept.leaves_room("a")
    kept.add("b", tree("b", 1_200))
    assert not kept.leaves_room("a")
    assert not kept.leaves_room("b")
    assert not kept.is_over("a")
    assert kept.leaves_room("c")
    kept.add("c", tree("c", 700))
    assert not kept.leaves_room("d")


def test_the_number_of_trees_is_shared_as_their_weight() -> None:
    """Many small trees of two accounts leave places for a third."""
    kept = Kept(4_000, most=8)
    for n in range(6):
        kept.add(f"{n}", tree("ab"[n % 2], 0))
    assert not kept.leaves_room("a")
    assert kept.leaves_room("c")
    for n in range(6):
        kept.take(f"{n}")
    for n in range(6):
        kept.add(f"{n}", tree("a", 0))
    assert kept.is_over("a")
    assert not kept.is_over("c")
