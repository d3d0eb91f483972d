"""One platform for the attacks from the network, and two tenants on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_harness import Platform, running
from security.edge.attacker import Attacker, Watch
from security.edge.signing import Keys
from security.tenant import Tenant


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A platform that is attacked; each test uses names of its own."""
    with running() as platform:
        yield platform


@pytest.fixture(scope="session")
def watch(platform: Platform) -> Watch:
    """The platform's own record and counters."""
    return Watch(platform)


@pytest.fixture
def attacker(platform: Platform) -> Attacker:
    """Somebody new on the network."""
    return Attacker(platform)


@pytest.fixture(scope="session")
def keys(platform: Platform) -> Keys:
    """The session of the first account's administrator."""
    return Keys.of(platform.variables)


@pytest.fixture(scope="session")
def alice(platform: Platform) -> Tenant:
    """The first account, which is the operator's."""
    return Tenant(platform)


@pytest.fixture(scope="session")
def bob(platform: Platform) -> Tenant:
    """A second account, which is nobody in particular."""
    made = platform.client("casemate").create_account(Name="bob")
    return Tenant(platform, made["AccountId"])
