"""A cell that is gone has no descriptors: their numbers are somebody else's."""

from __future__ import annotations

import os
import tempfile

import pytest

from casemate.road.sandbox.cgroup import Cgroup


def test_a_closed_group_neither_reads_nor_writes_what_took_its_numbers() -> None:
    """
    A function may answer and exit at once; its figures are then read too late.

    The reader gets nothing, and no word of the freezer goes to another's file.
    """
    spares = [os.open(os.devnull, os.O_RDWR) for _ in range(7)]
    group = Cgroup(
        version=1,
        memory_peak=spares[0],
        memory_now=spares[1],
        memory_stat=spares[2],
        memory_events=spares[3],
        freezer=spares[4],
        processes=spares[6],
    )
    group.weigh(spares[5])
    group.close()
    with tempfile.TemporaryFile() as other:
        other.write(b"4711")
        other.flush()
        taken = [os.dup(other.fileno()) for _ in spares]
        try:
            assert set(taken) & set(spares)
            told = group.peak(), group.charged(), group.own(), group.kills()
            assert (0, 0, 0, 0) == told
            for act in (group.freeze, group.thaw):
                with pytest.raises(OSError, match="No such device"):
                    act()
            group.close()
            assert os.pread(other.fileno(), 16, 0) == b"4711"
        finally:
            for descriptor in taken:
                os.close(descriptor)
