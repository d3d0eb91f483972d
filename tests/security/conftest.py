"""One platform for the attacks; hostile functions run on it as any tenant's do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_harness import Platform, running
from security.probe import Probe
from security.tenant import Tenant


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A running platform; each test uses names of its own."""
    with running() as platform:
        yield platform


@pytest.fixture(scope="session")
def tenant(platform: Platform) -> Tenant:
    """The account whose code attacks; it is the operator's as well."""
    return Tenant(platform)


@pytest.fixture(scope="session")
def other(platform: Platform) -> Tenant:
    """A second account, which is nobody in particular."""
    made = platform.client("casemate").create_account(Name="other")
    return Tenant(platform, made["AccountId"])


@pytest.fixture(scope="session")
def probe(tenant: Tenant) -> Probe:
    """A function of the first account that runs what it is sent."""
    return Probe(tenant, "probe")


@pytest.fixture(scope="session")
def other_probe(other: Tenant) -> Probe:
    """A function of the second account that runs what it is sent."""
    return Probe(other, "probe")
