"""One platform for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_harness import Platform, running


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A running platform; each test uses names of its own."""
    with running() as platform:
        yield platform
