from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.keyholder.stand import Hands, handles


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder as the warden makes it for the keyholder."""
    path = tmp_path / "keyholder"
    path.mkdir(mode=0o700)
    yield path
    while handles:
        os.close(handles.pop())
