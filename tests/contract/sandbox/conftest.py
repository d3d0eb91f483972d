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
