"""The root key: made once, never guessed, never taken for another."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from casemate_keyholder.refusal import StartRefusedError
from casemate_keyholder.root import Root, SealBrokenError
from unit.keyholder.stand import Hands, ask, opened

KEY = bytes(range(32))


def test_the_first_start_makes_a_root_key_that_only_the_owner_reads(
    folder: Path, clock: Hands
) -> None:
    """`root.key` has 32 bytes and mode 0600, and so has every other file."""
    opened(folder, clock)

    assert 32 == (folder / "root.key").stat().st_size
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {0o600} == modes


def test_the_same_folder_gives_the_same_keys_again(folder: Path, clock: Hands) -> None:
    """A restart derives the same secrets and shows the same root certificate."""
    first = opened(folder, clock)
    wrapped = ask(first, "data_key_new", context="t")
    again = opened(folder, clock)

    assert first.ca == again.ca
    opened_key = ask(again, "data_key_open", context="t", wrapped=wrapped["wrapped"])
    assert wrapped["plaintext"] == opened_key["plaintext"]
    assert ask(first, "public") == ask(again, "public")


@pytest.mark.parametrize("given", [KEY, KEY.hex().encode(), KEY.hex().encode() + b"\n"])
def test_a_handed_key_is_raw_or_hex(folder: Path, clock: Hands, given: bytes) -> None:
    """The three spellings are the same key, and none of it is kept on disk."""
    first = opened(folder, clock, root_key=KEY)
    again = opened(folder, clock, root_key=given)

    assert first.ca == again.ca
    assert not (folder / "root.key").exists()


@pytest.mark.parametrize(
    "given",
    [b"", KEY[:31], KEY + b"\n", KEY.hex().encode()[:63], KEY.hex().encode() + b"\n\n",
     b"z" * 64, bytes(32), b"\x00" * 64, KEY * 2],
)  # fmt: skip
def test_anything_else_is_refused_by_name(
    folder: Path, clock: Hands, given: bytes
) -> None:
    """What is not a key is never stretched into one."""
    with pytest.raises(StartRefusedError, match="root key file"):
        opened(folder, clock, root_key=given)


def test_another_root_key_is_refused(folder: Path, clock: Hands) -> None:
    """The check value tells a wrong key from damaged data."""
    opened(folder, clock, root_key=KEY)

    with pytest.raises(StartRefusedError, match="not the one"):
        opened(folder, clock, root_key=KEY[::-1])


def test_a_missing_root_key_is_not_made_anew(folder: Path, clock: Hands) -> None:
    """Data without its key refuses to start; it does not begin afresh."""
    opened(folder, clock)
    (folder / "root.key").unlink()

    with pytest.raises(StartRefusedError, match="--root-key-file"):
        opened(folder, clock)


def test_a_root_key_that_others_may_read_is_refused(folder: Path, clock: Hands) -> None:
    """A widened mode is told, not repaired in silence."""
    opened(folder, clock)
    (folder / "root.key").chmod(0o640)

    with pytest.raises(StartRefusedError, match="0600"):
        opened(folder, clock)


def test_a_folder_that_others_may_enter_is_refused(folder: Path, clock: Hands) -> None:
    """The folder is the keyholder's alone."""
    folder.chmod(0o750)

    with pytest.raises(StartRefusedError, match="0700"):
        opened(folder, clock)


@pytest.mark.parametrize(
    "name",
    ["clock.sealed", "audit.sealed", "checkpoint.sealed", "authority.root.sealed",
     "authority.edge.sealed", "authority.cell.sealed", "authority.workload.sealed"],
)  # fmt: skip
def test_a_missing_or_altered_file_is_refused_by_name(
    folder: Path, clock: Hands, name: str
) -> None:
    """After the first start, what is absent or altered refuses."""
    opened(folder, clock)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StartRefusedError, match=name):
        opened(folder, clock)
    (folder / name).unlink()
    with pytest.raises(StartRefusedError, match=name):
        opened(folder, clock)


def test_a_first_start_that_was_cut_short_is_finished(
    folder: Path, clock: Hands
) -> None:
    """Until the check value is there, what is missing is made."""
    first = opened(folder, clock)
    (folder / "root.check").unlink()
    (folder / "checkpoint.sealed").unlink()

    assert first.ca == opened(folder, clock).ca


def test_purposes_and_contexts_are_apart() -> None:
    """What one purpose or context sealed, no other opens."""
    root = Root(key=KEY)
    sealed = root.sealer("a").seal(b"x", "one")

    assert b"x" == root.sealer("a").open(sealed, "one")
    for sealer, context in ((root.sealer("a"), "two"), (root.sealer("b"), "one")):
        with pytest.raises(SealBrokenError):
            sealer.open(sealed, context)
    assert KEY.hex() not in repr(root)
