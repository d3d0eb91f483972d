"""
The cells of this platform: what each verb does, and what it refuses.

`Cells` belongs to one thread. A verb whose work takes long (opening, hashing,
closing) is a generator: it yields that work as a `Job` for another thread and goes on
with its result, back on its own thread. Jobs touch none of the state here.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from casemate_warden import ending, kernel, opening
from casemate_warden.cgroups import CORE_MB, Group, Usage
from casemate_warden.house import Stage
from casemate_warden.images import Image
from casemate_warden.life import Life
from casemate_warden.life import Stage as Step
from casemate_warden.messages import close_all
from casemate_warden.network import Network
from casemate_warden.ranges import Ranges
from casemate_warden.trees import Trees, gauge, memory_filesystem
from casemate_warden.words import Refused

WORKSHOP_MB: Final = 512
WORKSHOP_TMP_MB: Final = 64
LARGEST_PACKAGE: Final = 256 << 20
USUAL_TMP_MB: Final = 512  # Lambda's default; made ahead for every cell
INODES_PER_MB: Final = 256
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work for another thread; `opens` if it needs one of the opening workers."""

    work: Callable[[], Any]
    opens: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a verb answers; the descriptors pass over with it, in named order."""

    body: Mapping[str, Any]
    descriptors: Mapping[str, int] = field(default_factory=dict)


Steps = Generator[Job, Any, Answer]


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A fresh `/tmp`, not mounted yet, and its gauge; two descriptors."""

    size_mb: int
    mount: int
    gauge: int

    @classmethod
    def make(cls, size_mb: int, first_uid: int) -> Scratch:
        """For the user of one cell."""
        inodes = size_mb * INODES_PER_MB
        mount = memory_filesystem(size_mb, inodes, first_uid, mode="1777")
        try:
            return cls(size_mb=size_mb, mount=mount, gauge=gauge(mount))
        except OSError:
            os.close(mount)
            raise

    def close(self) -> None:
        """Both."""
        close_all((self.mount, self.gauge))


class Announce(Protocol):
    """Tells egress of a cell's listeners, or that it is gone."""

    def __call__(self, body: Mapping[str, Any], named: Mapping[str, int]) -> None:
        """The descriptors pass over."""


@dataclass(kw_only=True)
class Cell:
    """One cell while it lives."""

    name: str
    first_uid: int
    stage: Stage
    scratch: Scratch | None  # until it is mounted
    pidfd: int = -1
    group: Group | None = None
    life: Life = field(default_factory=Life)

    def held(self) -> Group:
        """The control groups of a cell that was opened."""
        if self.group is None:
            raise Refused("wrong_stage", "this cell is not open yet")
        return self.group


class Cells:
    """Every live cell, by name."""

    def __init__(
        self,
        *,
        site: opening.Site,
        images: Mapping[str, Image],
        ranges: Ranges,
        trees: Trees,
        announce: Announce,
    ) -> None:
        """`images` are those that the house was given."""
        self._site = site
        self._house = site.house
        self._images = images
        self._ranges = ranges
        self._trees = trees
        self._announce = announce
        self._cells: dict[str, Cell] = {}

    def open(self, runtime: str) -> Steps:
        """A new generic cell, booted and waiting."""
        if runtime not in self._images:
            names = ", ".join(sorted(self._images))
            raise Refused("unknown_runtime", f"this host has the runtimes {names}")
        cell = self._new(runtime)
        order = opening.Order(
            name=cell.name,
            image=self._images[runtime],
            first_uid=cell.first_uid,
            stage=cell.stage,
        )
        try:
            opened = yield Job(
                work=lambda: opening.open_cell(self._site, order), opens=True
            )
        except Exception:
            yield Job(work=lambda: self._house.drop_stage(cell.stage))
            self._forget(cell)
            raise
        return self._opened(cell, runtime, opened)

    def _new(self, runtime: str) -> Cell:
        name = f"c{secrets.token_hex(8)}"
        first_uid = self._ranges.take()
        try:
            scratch = Scratch.make(USUAL_TMP_MB, first_uid)
        except OSError:
            self._ranges.give_back(first_uid)
            raise
        try:
            stage = self._house.make_stage(name, runtime)
        except OSError:
            scratch.close()
            self._ranges.give_back(first_uid)
            raise
        cell = Cell(name=name, first_uid=first_uid, stage=stage, scratch=scratch)
        self._cells[name] = cell
        return cell

    def _opened(self, cell: Cell, runtime: str, opened: opening.Opened) -> Answer:
        cell.pidfd, cell.group = opened.pidfd, opened.group
        cell.life.enter(Step.WAITING)
        descriptors = {
            "control": opened.streams["control"],
            "stdout": opened.streams["stdout"],
            "stderr": opened.streams["stderr"],
            "api": opened.network.api.detach(),
            **opened.group.shared(),
        }
        self._hand_to_egress(cell.name, opened.network)
        body = {"cell": cell.name, "runtime": runtime, "cgroup": opened.group.version}
        return Answer(body=body, descriptors=descriptors)

    def _hand_to_egress(self, name: str, made: Network) -> None:
        listeners = {
            "tcp": made.tcp.detach(),
            "dns_udp": made.dns_udp.detach(),
            "dns_tcp": made.dns_tcp.detach(),
        }
        made.close()
        self._announce({"verb": "cell", "cell": name}, listeners)

    def _get(self, name: str) -> Cell:
        if name not in self._cells:
            raise Refused("unknown_cell", "there is no such cell")
        return self._cells[name]

    def assign(
        self,
        cell: str,
        tree: str | None,
        layers: list[str],
        memory_mb: int,
        ephemeral_mb: int,
    ) -> Answer:
        """
        Gives a waiting cell its code, its /tmp and its limits. Well under 1 ms.

        `layers`, the last on top, are /opt together.
        The hard limit holds /tmp as well, because its pages count as memory; the
        node gets a gauge of /tmp with which it tells the two apart.
        """
        found = self._get(cell)
        group = found.held()
        # The edge is taken first: whatever fails below, there is no second try.
        found.life.enter(Step.ASSIGNED)
        if tree is not None:
            self._mount(found, "task", self._trees.lend(tree, cell))
        if layers:
            self._mount(found, "opt", self._trees.stack(layers, cell))
        group.limit(memory_mb + ephemeral_mb, memory_mb)
        scratch = self._mount_tmp(found, ephemeral_mb)
        return Answer(body={}, descriptors={"scratch": scratch})

    def workshop(self, cell: str, tree: str, digest: str, package: int) -> Steps:
        """Gives a waiting cell an empty tree to unpack `package` into."""
        found = self._get(cell)
        group = found.held()
        _check_sealed(package)
        found.life.enter(Step.WORKSHOP)
        if (yield Job(work=lambda: _digest(package))) != digest:
            raise Refused("digest_differs", "the package is not what was announced")
        if self._get(cell).life.stage is not Step.WORKSHOP:
            raise Refused("wrong_stage", "the cell was closed meanwhile")
        self._mount(found, "task", self._trees.make(tree, cell, found.first_uid))
        os.close(self._mount_tmp(found, WORKSHOP_TMP_MB))
        group.limit(WORKSHOP_MB, CORE_MB)  # one core: a deployment waits for it
        return Answer(body={})

    def _mount_tmp(self, cell: Cell, size_mb: int) -> int:
        """The one made ahead if its size fits, or a new one; gives its gauge away."""
        scratch, cell.scratch = cell.scratch, None
        if scratch is not None and scratch.size_mb != size_mb:
            scratch.close()
            scratch = None
        if scratch is None:
            scratch = Scratch.make(size_mb, cell.first_uid)
        try:
            self._mount(cell, "tmp", scratch.mount)
        except OSError:
            os.close(scratch.gauge)
            raise
        return scratch.gauge

    def _mount(self, cell: Cell, place: str, mount: int) -> None:
        """Over the root of the warden's side of a stage; no path is looked up."""
        try:
            kernel.attach(mount, cell.stage.late[place])
        finally:
            os.close(mount)

    def keep(self, tree: str) -> Answer:
        """Makes a tree usable for `assign`, once its workshop is gone."""
        taken = self._trees.keep(tree, closed=self._workshop_gone(tree))
        return Answer(body={"bytes": taken})

    def drop(self, tree: str) -> Answer:
        """Frees a tree that no cell uses."""
        self._trees.drop(tree, closed=self._workshop_gone(tree))
        return Answer(body={})

    def _workshop_gone(self, tree: str) -> bool:
        cell = self._trees.workshop_of(tree)
        return cell not in self._cells

    def close(self, cell: str) -> Steps:
        """Ends a cell; answers when nothing of it is left."""
        found = self._get(cell)
        group = found.held()
        found.life.enter(Step.CLOSING)
        usage: Usage = yield Job(work=lambda: ending.end(found.pidfd, group))
        yield Job(work=lambda: self._house.drop_stage(found.stage))
        found.life.enter(Step.CLOSED)
        self._trees.give_back(cell)
        self._forget(found)
        self._announce({"verb": "gone", "cell": cell}, {})
        spent = {"cpu_ns": usage.cpu_ns, "memory_peak": usage.memory_peak}
        return Answer(body=spent | {"oom": usage.oom})

    def _forget(self, cell: Cell) -> None:
        if cell.scratch is not None:
            cell.scratch.close()
        del self._cells[cell.name]
        self._ranges.give_back(cell.first_uid)

    def status(self) -> Answer:
        """How many cells stand where, and how many trees there are."""
        counts = {step.value: 0 for step in Step}
        for cell in self._cells.values():
            counts[cell.life.stage.value] += 1
        del counts[Step.CLOSED.value]
        body = {"cells": counts, "trees": len(self._trees)}
        return Answer(body=body)

    def closable(self) -> list[str]:
        """Names of the cells that can be told to close now."""
        ready = (Step.WAITING, Step.ASSIGNED, Step.WORKSHOP)
        return [name for name, cell in self._cells.items() if cell.life.stage in ready]

    def __len__(self) -> int:
        return len(self._cells)


def _check_sealed(package: int) -> None:
    """What was hashed must be what is unpacked: nobody may write to it any more."""
    try:
        seals = fcntl.fcntl(package, fcntl.F_GET_SEALS)
    except OSError as error:
        raise Refused(
            "not_sealed", "the package is not a sealed memory file"
        ) from error
    if seals & _SEALS != _SEALS:
        raise Refused("not_sealed", "the package can still be written to")
    if not 0 < os.fstat(package).st_size <= LARGEST_PACKAGE:
        raise Refused("too_large", "the package is empty or larger than 256 MB")


def _digest(package: int) -> str:
    with mmap.mmap(package, 0, prot=mmap.PROT_READ) as content:
        return hashlib.sha256(content).hexdigest()
