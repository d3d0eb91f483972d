"""Laws of the record cache."""

from __future__ import annotations

from casemate.substrate.ports import Record
from casemate.substrate.sqlite.cache import UNKNOWN, Cache, Name, Unknown


def record(key: str, revision: int = 1, size: int = 10) -> Record:
    return Record(account="a", table="t", key=key, value=bytes(size), revision=revision)


def found(cache: Cache, key: str) -> Record | Unknown | None:
    name: Name = ("a", "t", key)
    young = cache.young.get(name, UNKNOWN)
    return cache.older(name) if young is UNKNOWN else young


def test_a_commit_replaces_what_is_remembered() -> None:
    """Put, deleted and absent records alike; what is not remembered stays so."""
    cache = Cache(1_000_000)
    cache.fill(("a", "t", "x"), record("x"), cache.commits())
    cache.fill(("a", "t", "none"), None, cache.commits())

    cache.committed(
        {
            ("a", "t", "x"): None,
            ("a", "t", "none"): record("none"),
            ("a", "t", "other"): record("other"),
        }
    )

    assert found(cache, "x") is None
    assert found(cache, "none") == record("none")
    assert found(cache, "other") is UNKNOWN


def test_what_was_read_before_a_commit_is_not_remembered() -> None:
    """A slow reader cannot put the past over the present."""
    cache = Cache(1_000_000)
    before = cache.commits()
    cache.committed({("a", "t", "x"): record("x", 2)})
    cache.fill(("a", "t", "x"), record("x", 1), before)

    assert found(cache, "x") is UNKNOWN


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    """Ten thousand others do not push out the one that is asked for all the time."""
    cache = Cache(100_000)
    cache.fill(("a", "t", "hot"), record("hot"), cache.commits())
    for n in range(10_000):
        cache.fill(("a", "t", f"cold{n}"), record(f"cold{n}"), cache.commits())
        assert found(cache, "hot") is not UNKNOWN

    kept = sum(found(cache, f"cold{n}") is not UNKNOWN for n in range(10_000))
    assert kept < 200


def test_a_commit_reaches_both_generations() -> None:
    """A record in the old generation is replaced as well."""
    cache = Cache(100_000)
    cache.fill(("a", "t", "x"), record("x"), cache.commits())
    while ("a", "t", "x") in cache.young:
        cache.fill(("a", "t", str(cache.commits())), None, cache.commits())
    cache.committed({("a", "t", "x"): record("x", 2)})

    assert found(cache, "x") == record("x", 2)


def test_a_large_value_is_not_remembered() -> None:
    """One value never takes the place of all others, nor stays in an old state."""
    cache = Cache(100_000)
    cache.fill(("a", "t", "x"), record("x"), cache.commits())
    cache.committed({("a", "t", "x"): record("x", 2, size=50_000)})

    assert found(cache, "x") is UNKNOWN
