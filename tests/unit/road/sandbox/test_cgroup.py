"""What of a control group is a cell's own memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.road.sandbox.cgroup import Cgroup
from casemate_warden import kernel
from casemate_warden.trees import gauge

MIB = 1 << 20
STATS = {
    1: "cache {own}\ntotal_cache {files}\ntotal_shmem {shmem}\ntotal_swap {swap}\n",
    2: "anon 1\nfile {files}\nshmem {shmem}\nfile_mapped 7\n",
}


@pytest.fixture
def scratch() -> Iterator[tuple[int, int]]:
    """A filesystem of memory with 3 MiB in it, and its gauge."""
    mount = kernel.filesystem("tmpfs", kernel.NODEV, size="8m")
    file = os.open("x", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=mount)
    os.write(file, bytes(3 * MIB))
    os.close(file)
    yield mount, gauge(mount)
    os.close(mount)


def group(
    folder: Path, version: int, charged: int, *, processes: str = "", **stat: int
) -> Cgroup:
    """A group whose files say these figures."""
    texts = {
        "memory_peak": "0\n",
        "memory_now": f"{charged}\n",
        "memory_stat": STATS[version].format(own=1, **stat),
        "memory_events": "oom_kill 0\n",
        "freezer": "",
        "processes": processes,
    }
    files = {}
    for name, text in texts.items():
        (folder / name).write_text(text)
        files[name] = os.open(folder / name, os.O_RDWR)
    return Cgroup(
        version=version,
        memory_peak=files["memory_peak"],
        memory_now=files["memory_now"],
        memory_stat=files["memory_stat"],
        memory_events=files["memory_events"],
        freezer=files["freezer"],
        processes=files["processes"],
    )


@pytest.mark.parametrize("version", [1, 2])
def test_own_memory_is_all_but_cached_files_and_tmp(
    tmp_path: Path, scratch: tuple[int, int], version: int
) -> None:
    """Shared memory that is no file of `/tmp` counts, and so does the kernel's."""
    made = group(tmp_path, version, 20 * MIB, files=9 * MIB, shmem=5 * MIB, swap=0)
    assert made.own() == 16 * MIB  # without the 4 that are files
    made.weigh(scratch[1])
    assert made.own() == 13 * MIB
    made.close()


def test_what_is_swapped_out_still_counts(tmp_path: Path) -> None:
    """Or a full `/tmp` that is swapped out would hide as much of other memory."""
    made = group(tmp_path, 1, 20 * MIB, files=0, shmem=0, swap=6 * MIB)
    assert made.own() == 26 * MIB
    made.close()


def test_a_closed_group_keeps_no_gauge(
    tmp_path: Path, scratch: tuple[int, int]
) -> None:
    """It would keep the memory of `/tmp`; one that comes late is closed at once."""
    early = group(tmp_path, 1, MIB, files=0, shmem=0, swap=0)
    late = os.dup(scratch[1])
    early.weigh(scratch[1])
    early.close()
    early.weigh(late)
    for descriptor in (scratch[1], late):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    assert early.own() == 0


def emptied(mount: int) -> None:
    os.unlink("x", dir_fd=mount)


@pytest.mark.parametrize(
    ("processes", "clean"), [("1\n", True), ("", False), ("1\n2\n", False)]
)
def test_one_process_and_an_empty_tmp_are_clean(
    tmp_path: Path, scratch: tuple[int, int], processes: str, clean: bool
) -> None:
    """No process at all is no cell that could be used."""
    emptied(scratch[0])
    made = group(tmp_path, 1, MIB, processes=processes, files=0, shmem=0, swap=0)
    assert not made.is_clean()  # it has no `/tmp` yet
    made.weigh(scratch[1])
    assert clean is made.is_clean()
    made.close()
    assert not made.is_clean()


def test_a_file_without_a_byte_or_a_name_is_not_clean(
    tmp_path: Path, scratch: tuple[int, int]
) -> None:
    """Files are counted, not only bytes, and those that are open and removed too."""
    emptied(scratch[0])
    made = group(tmp_path, 1, MIB, processes="1\n", files=0, shmem=0, swap=0)
    made.weigh(scratch[1])
    file = os.open("y", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=scratch[0])
    assert not made.is_clean()
    os.unlink("y", dir_fd=scratch[0])
    assert not made.is_clean()
    os.close(file)
    assert made.is_clean()
    made.close()
