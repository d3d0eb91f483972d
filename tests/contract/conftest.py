"""One platform for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from platform_harness import Platform, running


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A running platform; each test uses names of its own."""
    with running() as platform:
        yield platform


@pytest.fixture(scope="session")
def role(platform: Platform) -> str:
    """A role that functions may have, with no rights."""
    return platform.role("contract")


@pytest.fixture(scope="session")
def lambda_(platform: Platform) -> Any:
    return platform.client("lambda")


@pytest.fixture(scope="session")
def iam(platform: Platform) -> Any:
    return platform.client("iam")


@pytest.fixture(scope="session")
def sts(platform: Platform) -> Any:
    return platform.client("sts")


@pytest.fixture(scope="session")
def logs(platform: Platform) -> Any:
    return platform.client("logs")


@pytest.fixture(scope="session")
def own(platform: Platform) -> Any:
    """The platform's own service."""
    return platform.client("casemate")


@pytest.fixture(scope="session")
def account(sts: Any) -> str:
    """The first account's id."""
    return str(sts.get_caller_identity()["Account"])


@pytest.fixture(scope="session")
def other(own: Any) -> str:
    """A second account's id."""
    return str(own.create_account(Name="other")["AccountId"])
