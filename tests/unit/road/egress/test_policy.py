"""Where a cell may connect: the platform's address and port, exactly."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.egress.names import Platform, PlatformOnly
from casemate.road.egress.policy import PlatformJudge, Refused

PLATFORM = Platform(
    name="api.casemate.internal",
    address=ipaddress.IPv4Address("198.18.0.1"),
    port=443,
)
JUDGE = PlatformJudge(platform=PLATFORM)


def test_the_platform_is_reached() -> None:
    """Its own address and port is the one way through."""
    assert PLATFORM == JUDGE.destination("c", ipaddress.IPv4Address("198.18.0.1"), 443)


@given(address=st.ip_addresses(v=4), port=st.integers(0, 65_535))
def test_everything_else_is_refused(address: ipaddress.IPv4Address, port: int) -> None:
    """No other pair of address and port passes."""
    verdict = JUDGE.destination("c", address, port)

    assert isinstance(verdict, Refused) != ((str(address), port) == ("198.18.0.1", 443))


@pytest.mark.parametrize(
    ("address", "port", "reason"),
    [
        ("127.0.0.1", 15_001, "direct"),
        ("198.18.0.1", 15_001, "port"),
        ("198.18.0.2", 443, "not issued"),
        ("169.254.169.254", 80, "direct"),
    ],
)
def test_a_refusal_says_why(address: str, port: int, reason: str) -> None:
    """The reason tells the three ways apart."""
    verdict = JUDGE.destination("c", ipaddress.IPv4Address(address), port)

    assert isinstance(verdict, Refused)
    assert reason in verdict.reason


@given(name=st.binary(max_size=40))
def test_one_name_is_issued(name: bytes) -> None:
    """Only the platform's own name has an address."""
    issued = PlatformOnly(platform=PLATFORM).address("c", name)

    assert (issued is not None) == (name == b"api.casemate.internal")


@pytest.mark.parametrize(
    ("name", "address", "port"),
    [("Api", "198.18.0.1", 443), ("", "198.18.0.1", 443), ("a", "10.0.0.1", 443),
     ("a", "198.18.0.1", 0), ("a", "198.18.0.1", 65_536)],
)  # fmt: skip
def test_a_platform_that_no_cell_could_reach_is_refused(
    name: str, address: str, port: int
) -> None:
    """Outside of 198.18.0.0/15 nothing is redirected."""
    with pytest.raises(ValueError, match="`"):
        Platform(name=name, address=ipaddress.IPv4Address(address), port=port)
