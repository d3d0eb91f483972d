"""
A warden with real cells, one for each test module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import warden_harness as harness
from casemate_warden.images import Image

CACHE = Path("/var/tmp/casemate-test-images")  # noqa: S108 — root's, below sticky


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Image]:
    """Runtime images whose Python cells run what the test sends them."""
    site = tmp_path_factory.mktemp("site")
    harness.write_listener(site)
    return harness.build_images(CACHE, site)


@pytest.fixture(scope="module")
def warden(built: Sequence[Image]) -> Iterator[harness.Warden]:
    """A running warden; that it leaves nothing behind is checked at its end."""
    with harness.running(built, certificate="the public root\n") as running:
        yield running
    assert harness.left_of(running) == []


@pytest.fixture
def cell(warden: harness.Warden) -> Iterator[Callable[[], harness.PythonCell]]:
    """Opens Python cells and closes them."""
    opened: list[harness.PythonCell] = []

    def open_one() -> harness.PythonCell:
        opened.append(harness.PythonCell.open(warden))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
