"""
Where the warden's mounts are: in a mount namespace that nobody else is in.

The host sees none of them, so a killed warden leaves none behind. Two namespaces
are made at start:

- the warden's own, with images, stages of cells and tenants' trees;
- a *workroom*, copied before any of these exist. An OCI runtime starts in a copy of
  that one, to which only the parts of its one cell are added by descriptor: it sees
  no tenant's tree and no other cell.

A cell's `/var/task`, `/opt` and `/tmp` are three mounts of one empty filesystem,
each with a peer in the warden's namespace. What is mounted over the root of the peer
appears in the cell.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from casemate_warden import kernel
from casemate_warden.images import Image
from casemate_warden.words import LAYERS

LATE: Final = ("task", "opt", "tmp")
_PLACES: Final = ("base", "dev", "certificates", *LATE)
_NODES: Final = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_SAFE: Final = kernel.NOSUID | kernel.NODEV
NAME: Final = "casemate"  # what mount tables show as the source


@dataclass(frozen=True, kw_only=True)
class Stage:
    """
    One cell's mounts, by descriptor.

    `late` are the warden's peers that code is mounted on; `parts` are detached
    copies, ready to be placed where the OCI runtime will look.
    """

    name: str
    late: dict[str, int]
    parts: dict[str, int]

    def release_parts(self) -> None:
        """Closes the copies once the runtime's namespace has them."""
        for descriptor in self.parts.values():
            os.close(descriptor)
        self.parts.clear()


class House:
    """The namespaces, the shared parts, and the stages of the live cells."""

    def __init__(self, run: Path) -> None:
        """
        Moves the calling process into its own mount namespace.

        Call it once, before any other thread exists. `run` must be a folder that
        every user can pass through.
        """
        os.umask(0o022)  # every mode below is meant as it is written
        self.run = run
        self.host = kernel.namespace("mnt")
        self.host_network = kernel.namespace("net")
        self._make_workroom()
        self._top = self._attach_top()
        for name in ("cells", "parts", "images", "trees", "stacks"):
            os.mkdir(name, 0o700, dir_fd=self._top)
        self._cells = kernel.directory("cells", at=self._top)
        self.trees = kernel.directory("trees", at=self._top)
        self.stacks = kernel.directory("stacks", at=self._top)
        for number in range(LAYERS):
            os.mkdir(str(number), 0o700, dir_fd=self.stacks)
        self._parts = {
            "stage": self._part("stage", _skeleton()),
            "empty": self._part("empty", _empty()),
            "dev": self._part("dev", _devices()),
            "certificates": self._part("certificates", _certificates()),
        }
        self._images: dict[str, int] = {}

    def _make_workroom(self) -> None:
        for name in ("stage", "house"):
            (self.run / name).mkdir(mode=0o711, exist_ok=True)
        kernel.unshare(kernel.CLONE_NEWNS)
        # What the host mounts or unmounts later follows; nothing goes back out.
        kernel.propagate("/", kernel.MS_SLAVE | kernel.MS_REC)
        self.workroom = kernel.namespace("mnt")
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.propagate("/", kernel.MS_SLAVE | kernel.MS_REC)

    def _attach_top(self) -> int:
        top = kernel.filesystem("tmpfs", _SAFE, source=NAME, mode="0700", size="16m")
        kernel.attach_at(top, str(self.run / "house"))
        return top

    def _part(self, name: str, mount: int) -> int:
        """Attaches a shared part: older kernels copy only what is attached."""
        parts = kernel.directory("parts", at=self._top)
        try:
            os.mkdir(name, 0o700, dir_fd=parts)
            kernel.attach_at(mount, name, at=parts)
        finally:
            os.close(parts)
        return mount

    def trust(self, certificate: str) -> None:
        """Puts the platform's public root where every cell reads it. Once."""
        folder = self._parts["certificates"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open("ca.pem", flags, 0o444, dir_fd=folder), "w") as file:
            file.write(certificate)
        kernel.seal_filesystem(folder)

    def add_image(self, image: Image) -> None:
        """
        Makes an image ready to be a root.

        The overlay's only purpose is that mount tables in a cell then show `/` and
        no path of the host. Its layers are named from inside the image's folder.
        """
        before = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir(image.path)
        try:
            mount = kernel.filesystem(
                "overlay", _SAFE | kernel.RDONLY, source=NAME, lowerdir="base:edge"
            )
        finally:
            os.fchdir(before)
            os.close(before)
        images = kernel.directory("images", at=self._top)
        try:
            os.mkdir(image.runtime, 0o700, dir_fd=images)
            kernel.attach_at(mount, image.runtime, at=images)
        finally:
            os.close(images)
        self._images[image.runtime] = mount

    def make_stage(self, name: str, runtime: str) -> Stage:
        """The mounts of a new cell. Some 100 µs; leaves nothing behind if it fails."""
        os.mkdir(name, 0o700, dir_fd=self._cells)
        late: dict[str, int] = {}
        parts: dict[str, int] = {}
        try:
            self._fill_stage(name, late, parts)
            for part in ("stage", "dev", "certificates"):
                parts[part] = kernel.clone_mount(self._parts[part])
            parts["base"] = kernel.clone_mount(self._images[runtime])
        except OSError:
            stage = Stage(name=name, late=late, parts=parts)
            stage.release_parts()
            self.drop_stage(stage)
            raise
        return Stage(name=name, late=late, parts=parts)

    def _fill_stage(
        self, name: str, late: dict[str, int], parts: dict[str, int]
    ) -> None:
        holder = kernel.clone_mount(self._parts["stage"])
        try:
            kernel.attach_at(holder, name, at=self._cells)
            for place in LATE:
                late[place] = kernel.clone_mount(self._parts["empty"])
                kernel.attach_at(late[place], place, at=holder)
                kernel.set_attributes(late[place], propagation=kernel.MS_SHARED)
                parts[place] = kernel.clone_mount(late[place])
        finally:
            os.close(holder)

    def enter_workroom(self, stage: Stage) -> None:
        """
        Puts the calling thread where an OCI runtime may start for this one cell.

        For worker threads that have their own `fs` (see `opening`).
        """
        kernel.setns(self.workroom, kernel.CLONE_NEWNS)
        kernel.unshare(kernel.CLONE_NEWNS)
        target = kernel.directory(self.stage_path)
        try:
            kernel.attach(stage.parts["stage"], target)
        finally:
            os.close(target)
        for place in _PLACES:
            target = kernel.directory(place, at=stage.parts["stage"])
            try:
                kernel.attach(stage.parts[place], target)
            finally:
                os.close(target)

    def leave_workroom(self) -> None:
        """The calling thread drops the runtime's namespace, which then is no more."""
        kernel.setns(self.workroom, kernel.CLONE_NEWNS)

    @property
    def stage_path(self) -> str:
        """Where a runtime finds the parts: the same place for every cell."""
        return str(self.run / "stage")

    def drop_stage(self, stage: Stage) -> None:
        """Unmounts all of a cell's stage and removes its folder."""
        for descriptor in stage.late.values():
            os.close(descriptor)
        stage.late.clear()
        try:
            kernel.detach(str(self.run / "house" / "cells" / stage.name))
        except OSError as error:
            if error.errno != errno.EINVAL:  # not a mount: making it failed early
                raise
        os.rmdir(stage.name, dir_fd=self._cells)

    def dismantle(self) -> None:
        """Unmounts everything that is left, so that the run folder can go."""
        kernel.detach(str(self.run / "house"))


def _certificates() -> int:
    safe = _SAFE | kernel.NOEXEC
    return kernel.filesystem("tmpfs", safe, source=NAME, mode="0755", size="1m")


def _empty() -> int:
    mount = kernel.filesystem("tmpfs", _SAFE, source=NAME, mode="0755", size="4k")
    kernel.seal_filesystem(mount)
    return mount


def _skeleton() -> int:
    mount = kernel.filesystem("tmpfs", _SAFE, source=NAME, mode="0711", size="64k")
    for place in _PLACES:
        os.mkdir(place, 0o755, dir_fd=mount)
    kernel.seal_filesystem(mount)
    return mount


def _devices() -> int:
    """The five devices that hold no state, and the links to open descriptors."""
    attributes = kernel.NOSUID | kernel.NOEXEC
    mount = kernel.filesystem("tmpfs", attributes, source=NAME, mode="0755", size="64k")
    for name, minor in _NODES.items():
        os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(1, minor), dir_fd=mount)
        os.chmod(name, 0o666, dir_fd=mount)  # noqa: S103 — as on every host
    for name, target in _LINKS.items():
        os.symlink(target, name, dir_fd=mount)
    kernel.seal_filesystem(mount)
    return mount
