"""
Unpacked code: one capped tmpfs per tree, known by its id, gone with the warden.

    made (writable, in one workshop cell) -> kept (read-only) -> dropped

A tree is written only from inside its workshop cell. Nothing on the host reads or
writes in it; once kept, its whole filesystem is read-only.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from casemate_warden import kernel
from casemate_warden.bundle import GROUP, USER
from casemate_warden.cgroups import MB
from casemate_warden.house import NAME
from casemate_warden.words import Refused

TREE_MB: Final = 300  # 250 MB of a package, as Lambda allows, and what blocks add
TREE_INODES: Final = 300_000
MOST: Final = (
    4_096  # an empty tree costs no byte of the cap, and is a mount all the same
)
_SAFE: Final = kernel.NOSUID | kernel.NODEV


@dataclass(kw_only=True)
class Tree:
    """One tree: its mount, who writes it, who reads it."""

    mount: int
    workshop: str | None
    readers: set[str] = field(default_factory=set)

    def used_bytes(self) -> int:
        """Memory that its files take, as the filesystem counts it."""
        status = os.statvfs(f"/proc/self/fd/{self.mount}")
        return (status.f_blocks - status.f_bfree) * status.f_frsize


class Trees:
    """All trees of this platform, under one cap."""

    def __init__(
        self, folder: int, path: Path, cap_mb: int, *, places: int, most: int = MOST
    ) -> None:
        """
        `folder` and `path` are the same place, in the warden's namespace.

        `places` has the bare folders where trees are put to be stacked.
        """
        self._folder = folder
        self._places = places
        self._path = path
        self._cap = cap_mb * MB
        self._most = most
        self._trees: dict[str, Tree] = {}

    def make(self, tree: str, cell: str, first_uid: int) -> int:
        """A new tree that the user of one cell may write; returns a copy to mount."""
        if tree in self._trees:
            raise Refused("tree_exists", "this tree was made before")
        if len(self._trees) >= self._most:
            raise Refused("no_room", "there are too many trees")
        if self._reserved() + TREE_MB * MB > self._cap:
            raise Refused("no_room", "trees would take more memory than is set aside")
        mount = memory_filesystem(TREE_MB, TREE_INODES, first_uid, mode="0755")
        try:
            os.mkdir(tree, 0o700, dir_fd=self._folder)
            kernel.attach_at(mount, tree, at=self._folder)
        except OSError:
            os.close(mount)
            raise
        self._trees[tree] = Tree(mount=mount, workshop=cell)
        return kernel.clone_mount(mount)

    def _reserved(self) -> int:
        """Bytes in use, where a tree that is still written counts in full."""
        return sum(
            TREE_MB * MB if tree.workshop else tree.used_bytes()
            for tree in self._trees.values()
        )

    def _get(self, tree: str) -> Tree:
        if tree not in self._trees:
            raise Refused("unknown_tree", "there is no such tree")
        return self._trees[tree]

    def keep(self, tree: str, *, closed: bool) -> int:
        """
        Makes it read-only for good; only once its workshop cell is `closed`.

        Returns the bytes that it takes, which only the filesystem knows.
        """
        found = self._get(tree)
        if found.workshop is None:
            raise Refused("wrong_stage", "this tree is kept already")
        if not closed:
            raise Refused("wrong_stage", "its workshop cell is still there")
        kernel.set_attributes(found.mount, add=kernel.RDONLY)
        kernel.seal_filesystem(found.mount)
        found.workshop = None
        return found.used_bytes()

    def workshop_of(self, tree: str) -> str | None:
        """The cell that writes it, if it is not kept yet."""
        return self._get(tree).workshop

    def lend(self, tree: str, cell: str) -> int:
        """A detached, read-only copy of a kept tree's mount, for one cell."""
        found = self._get(tree)
        if found.workshop is not None:
            raise Refused("wrong_stage", "this tree is not kept yet")
        mount = kernel.clone_mount(found.mount)
        found.readers.add(cell)
        return mount

    def stack(self, trees: Sequence[str], cell: str) -> int:
        """
        One detached, read-only view of kept trees, the last on top, for one cell.

        An overlay without an upper layer: what is below cannot be written through
        it, and is named by this process only, at places of its own that have short
        names (an option has at most 255 bytes) and are bare again at the end.
        """
        if len(trees) == 1:
            return self.lend(trees[0], cell)
        parts: list[int] = []
        try:
            parts.extend(self.lend(tree, cell) for tree in trees)
            return self._merged(parts)
        finally:
            for part in parts:
                os.close(part)

    def _merged(self, parts: Sequence[int]) -> int:
        before = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        places = [str(number) for number in range(len(parts))]
        attached: list[str] = []
        os.fchdir(self._places)
        try:
            for place, part in zip(places, parts, strict=True):
                kernel.attach_at(part, place, at=self._places)
                attached.append(place)
            lower = ":".join(reversed(places))
            return kernel.filesystem(
                "overlay", _SAFE | kernel.RDONLY, source=NAME, lowerdir=lower
            )
        finally:
            for place in attached:
                kernel.detach(place)
            os.fchdir(before)
            os.close(before)

    def give_back(self, cell: str) -> None:
        """A closed cell reads nothing any more."""
        for tree in self._trees.values():
            tree.readers.discard(cell)

    def drop(self, tree: str, *, closed: bool) -> None:
        """Frees a tree; refused while a cell reads or writes it."""
        found = self._get(tree)
        if found.readers or (found.workshop is not None and not closed):
            raise Refused("tree_in_use", "a cell uses this tree")
        del self._trees[tree]
        os.close(found.mount)
        kernel.detach(str(self._path / tree))
        os.rmdir(tree, dir_fd=self._folder)

    def __len__(self) -> int:
        return len(self._trees)


def memory_filesystem(size_mb: int, inodes: int, first_uid: int, mode: str) -> int:
    """
    A detached tmpfs of `size_mb` for the user of one cell.

    It is never swapped where the kernel can promise that (`noswap`, Linux 6.4);
    `doctor` warns of swap on older kernels.
    """
    options = {
        "source": NAME,
        "size": f"{size_mb}m",
        "nr_inodes": str(inodes),
        "mode": mode,
        "uid": str(first_uid + USER),
        "gid": str(first_uid + GROUP),
    }
    try:
        return kernel.filesystem("tmpfs", _SAFE, **options, noswap="")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return kernel.filesystem("tmpfs", _SAFE, **options)


def gauge(mount: int) -> int:
    """
    A descriptor that tells how full a fresh filesystem is, and nothing else.

    One on the root would do for fstatvfs(2), but its holder could also look up what
    lies below and, by `..`, above. This one is O_PATH on a file of root's without
    name, mode or content: it leads nowhere and cannot be opened or linked.
    It keeps the filesystem's memory until it is closed.
    """
    os.mknod("gauge", stat.S_IFREG, dir_fd=mount)
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open("gauge", flags, dir_fd=mount)
    finally:
        os.unlink("gauge", dir_fd=mount)
