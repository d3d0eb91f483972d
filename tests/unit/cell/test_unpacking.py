"""What a package may hold, and that nothing else is ever written."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate_cell.compiling import compile_tree
from casemate_cell.unpacking import unpack
from casemate_cell.zip_names import RefusedError
from casemate_cell.zip_tree import Written

Files = list[tuple[str, bytes, int]]


def archive(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of (name, content, mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content, mode in files:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.compress_type = method
            info.external_attr = mode << 16
            made.writestr(info, content)
    return out.getvalue()


def opened(content: bytes, root: Path, **limits: int) -> Written:
    descriptor = os.memfd_create("package")
    try:
        os.write(descriptor, content)
        return unpack(descriptor, str(root), **limits)
    finally:
        os.close(descriptor)


def refused(content: bytes, root: Path, **limits: int) -> str:
    with pytest.raises(RefusedError) as caught:
        opened(content, root, **limits)
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inner = tmp_path / "task"
    inner.mkdir()
    return inner


def test_writes_files_folders_and_modes(root: Path) -> None:
    """Content, the execute bit and empty folders are kept; setuid is not (P4)."""
    files = [
        ("a.py", b"x = 1", 0o100644),
        ("bin/run", b"#!/bin/sh", 0o104755),
        ("empty/", b"", 0o040755),
        ("private", b"p", 0o100600),
    ]
    written = opened(archive(files), root)

    assert (written.files, written.bytes) == (3, 15)
    assert (root / "a.py").read_bytes() == b"x = 1"
    modes = {p: stat.S_IMODE((root / p).stat().st_mode) for p in ("bin/run", "private")}
    assert modes == {"bin/run": 0o755, "private": 0o644}
    assert (root / "empty").is_dir()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../etc/cron.d/x", "could leave"),
        ("a/../../x", "could leave"),
        ("a/./b", "could leave"),
        ("a//b", "could leave"),
        ("/etc/passwd", "absolute"),
        ("C:/x", "drive"),
        ("..\\..\\x", "backslash"),
        ("a\nb", "control character"),
        ("a\x7fb", "control character"),
        ("x" * 300, "part longer"),
        ("/".join("d" * 70), "deeper"),
        ("/".join(["d" * 200] * 6), "longer than"),
    ],
)
def test_names_that_leave_or_mislead(root: Path, name: str, reason: str) -> None:
    """P1, P2, P8: refused, and nothing is written, inside or outside."""
    text = refused(archive([("ok", b"1", 0o100644), (name, b"2", 0o100644)]), root)
    assert reason in text
    assert [p.name for p in root.parent.iterdir()] == ["task"]
    assert not list(root.iterdir())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A.py", "a.py"),
        ("caf\u00e9", "cafe\u0301"),
        ("D/x", "d/y"),
        ("a", "a/b"),
        ("s", "s"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_collide(root: Path, first: str, second: str) -> None:
    """P7: what some reader would take for one file is refused."""
    refused(archive([(first, b"1", 0o100644), (second, b"2", 0o100644)]), root)


@pytest.mark.parametrize(
    "kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_special_files(root: Path, kind: int) -> None:
    """P4: devices, pipes and sockets are refused."""
    assert "device" in refused(archive([("x", b"", kind | 0o666)]), root)


@pytest.mark.parametrize(
    "target",
    ["/", "/etc", "..", "../x", "a/../../x", "d/..", "", "a\\b", "lib/../../.."],
)
def test_links_that_leave(root: Path, target: str) -> None:
    """P3: a link's target stays inside."""
    files = [("d/x", b"1", 0o100644), ("link", target.encode(), stat.S_IFLNK | 0o777)]
    refused(archive(files), root)
    assert not (root / "link").is_symlink()


def test_nothing_is_written_through_a_link(root: Path) -> None:
    """P3: an entry behind a link is refused, in either order."""
    link = ("lib", b"real", stat.S_IFLNK | 0o777)
    behind = ("lib/etc/x", b"1", 0o100644)
    for files in ([link, behind], [behind, link]):
        refused(archive([*files, ("real/y", b"", 0o100644)]), root)


def test_links_inside_are_kept(root: Path) -> None:
    """A library's links, as Node and Go packages have them."""
    files = [
        ("lib/so.1", b"elf", 0o100755),
        ("lib/so", b"so.1", stat.S_IFLNK | 0o777),
        ("bin/so", b"../lib/so.1", stat.S_IFLNK | 0o777),
    ]
    opened(archive(files), root)
    assert (root / "lib/so").read_bytes() == (root / "bin/so").read_bytes() == b"elf"


def test_bomb_stops_at_bytes_written(root: Path) -> None:
    """P5: what counts is what comes out, not what is told."""
    bomb = archive([("zeros", bytes(40 << 20), 0o100644)])
    assert "times its size" in refused(bomb, root)
    loose = archive([("noise", os.urandom(1 << 20), 0o100644)])
    assert "larger than" in refused(loose, root, bytes_limit=1 << 19)


def test_size_that_lies(root: Path) -> None:
    """P6: an entry that holds more or less than it tells is refused."""
    good = archive([("a", b"12345678" * 9, 0o100644)])
    for told in (1, 71, 73, 10**8):
        lie = good.replace(struct.pack("<I", 72), struct.pack("<I", told))
        refused(lie, root)
        for path in root.iterdir():
            path.unlink()


def test_checksum_that_lies(root: Path) -> None:
    """P6: a wrong checksum is refused."""
    good = archive([("a", b"content", 0o100644)], zipfile.ZIP_STORED)
    refused(good.replace(b"content", b"c0ntent"), root)
    wrong = zlib.crc32(b"x")
    crc = struct.pack("<I", zlib.crc32(b"content"))
    refused(good.replace(crc, struct.pack("<I", wrong)), root)


def test_local_name_that_differs(root: Path) -> None:
    """P6: directory and entry must tell the same name."""
    good = archive([("aaaa", b"1", 0o100644)])
    refused(good.replace(b"aaaa", b"bbbb", 1), root)


def test_data_before_behind_and_between(root: Path) -> None:
    """P9: the archive is its entries and nothing else."""
    good = archive([("a", b"1", 0o100644), ("b", b"2", 0o100644)])
    for bad in (b"#!/bin/sh\n" + good, good + b"x", b"\x7fELF" + good + b"\0"):
        refused(bad, root)
    second = good.index(b"PK\x03\x04", 4)
    directory = good.index(b"PK\x01\x02")
    gap = good[:second] + b"hidden" + good[second:]
    record = gap.index(b"PK\x01\x02", directory + 6 + 4)
    moved = bytearray(gap)
    struct.pack_into("<I", moved, record + 42, second + 6)
    struct.pack_into("<I", moved, len(moved) - 6, directory + 6)
    assert "no entry" in refused(bytes(moved), root)


def test_overlapping_entries(root: Path) -> None:
    """P5: two records of one data are refused."""
    good = bytearray(archive([("a", b"1" * 50, 0o100644), ("b", b"2" * 50, 0o100644)]))
    first = good.index(b"PK\x01\x02")
    second = good.index(b"PK\x01\x02", first + 4)
    struct.pack_into("<I", good, second + 42, 0)
    refused(bytes(good), root)


def test_encrypted_and_unknown_methods(root: Path) -> None:
    """P9: encrypted entries and rare methods are refused."""
    good = bytearray(archive([("a", b"1", 0o100644)]))
    record = good.index(b"PK\x01\x02")
    locked = bytearray(good)
    locked[record + 8] |= 1
    locked[6] |= 1
    assert "encrypted" in refused(bytes(locked), root)
    odd = archive([("a", b"1" * 99, 0o100644)], zipfile.ZIP_BZIP2)
    assert "method 12" in refused(odd, root)


def test_too_many_entries(root: Path) -> None:
    """P8: the count is bounded before anything is written."""
    many = archive([(f"f{n}", b"", 0o100644) for n in range(101)])
    assert "101 entries" in refused(many, root, entries_limit=100)


def test_stale_byte_code_is_left_out(root: Path) -> None:
    """X2: byte code that came along is not written, and is made anew, by hash."""
    files = [
        ("m.py", b"x = 1", 0o100644),
        ("__pycache__/m.cpython-311.pyc", b"evil", 0o100644),
        ("bad.py", b"def (", 0o100644),
    ]
    opened(archive(files), root)
    assert not (root / "__pycache__").exists()
    assert compile_tree(str(root)) == 1
    made = (root / f"__pycache__/m.{sys.implementation.cache_tag}.pyc").read_bytes()
    assert int.from_bytes(made[4:8], "little") == 0b11


def test_streamed_archives_are_taken(root: Path) -> None:
    """Writers that cannot seek put sizes behind the data, also in zip64 form."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object, /) -> int:
            piece = bytes(memoryview(data))  # type: ignore[arg-type] # a buffer
            self.data += piece
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as made:
        made.writestr("a", b"1" * 1000, zipfile.ZIP_DEFLATED)
        with made.open("b", "w", force_zip64=True) as entry:
            entry.write(b"2" * 10)
    opened(bytes(pipe.data), root)
    assert (root / "b").read_bytes() == b"2" * 10


SOUND = archive(
    [
        ("a.py", b"print(1)\n" * 30, 0o100644),
        ("d/b", b"\0" * 300, 0o100755),
        ("d/l", b"b", stat.S_IFLNK | 0o777),
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=6
    ),
    st.integers(0, len(SOUND)),
)
def test_damage_is_refused_or_harmless(
    changes: list[tuple[int, int]], cut: int
) -> None:
    """Whatever bytes come, the end is a tree inside the root or a refusal."""
    damaged = bytearray(SOUND)
    for place, value in changes:
        damaged[place] = value
    with tempfile.TemporaryDirectory() as outer:
        root = Path(outer, "task")
        root.mkdir()
        with contextlib.suppress(RefusedError):
            opened(bytes(damaged if cut % 2 else damaged[:cut]), root)
        assert [p.name for p in Path(outer).iterdir()] == ["task"]
        for path in root.rglob("*"):
            assert path.resolve().is_relative_to(root.resolve())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    """Bytes that are no archive are refused."""
    with tempfile.TemporaryDirectory() as outer:
        refused(noise + b"x", Path(outer))
