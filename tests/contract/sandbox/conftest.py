"""A real warden, real cells, and a sandbox that drives them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import warden_harness
from contract.sandbox.stage import RUNTIMES, Stage

ABSENT = ("test", "lib2to3", "idlelib", "tkinter", "ensurepip", "__pycache__")


@pytest.fixture(scope="session")
def images() -> list[Any]:
    folder = Path(tempfile.gettempdir(), "casemate-test-images")
    return list(warden_harness.build_images(folder, runtimes=RUNTIMES))


@contextmanager
def staged(images: list[Any], **knobs: Any) -> Iterator[Stage]:
    with warden_harness.running(images) as warden:
        made = Stage(warden.node, warden.egress, **knobs)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def stage(images: list[Any]) -> Iterator[Stage]:
    with staged(images, pool=2) as made:
        yield made


@pytest.fixture
def stage_with(
    images: list[Any],
) -> Callable[..., AbstractContextManager[Stage]]:
    return partial(staged, images)


@pytest.fixture(scope="session")
def interpreter() -> dict[str, bytes]:
    """An interpreter as a package would bring it; the image of provided has none."""
    files: dict[str, bytes] = {}
    library = Path("/usr/lib/python3.11")
    for path in library.rglob("*.py"):
        place = path.relative_to(library)
        if place.parts[0] not in ABSENT:
            files[f"py/lib/python3.11/{place}"] = path.read_bytes()
    for path in (library / "lib-dynload").glob("*.so"):
        files[f"py/lib/python3.11/lib-dynload/{path.name}"] = path.read_bytes()
    files["py/bin/python3.11"] = Path("/usr/bin/python3.11").read_bytes()
    for path in Path("/usr/lib").glob("*-linux-gnu/lib[ez]*.so.1"):
        if path.name in ("libexpat.so.1", "libz.so.1"):
            files[f"lib/{path.name}"] = path.read_bytes()
    files["bootstrap"] = (
        b"#!/bin/sh\nexport PYTHONHOME=/var/task/py\n"
        b"exec /var/task/py/bin/python3.11 $START\n"
    )
    return files
