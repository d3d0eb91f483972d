"""Clients are counted by what they hold."""

from __future__ import annotations

import pytest

from casemate.core.network import client_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:db8:0:0:1::", "2001:db8::2"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_one_network_of_64_bits_is_one_client(one: str, other: str) -> None:
    """A /64 is what one subscriber has, so its addresses count as one."""
    assert client_of(one) == client_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8:0:1::1"),
        ("192.0.2.7", "192.0.2.8"),
        ("::1", "192.0.2.7"),
        ("", "::"),
    ],
)
def test_others_are_others(one: str, other: str) -> None:
    """Neighbours do not pay for each other."""
    assert client_of(one) != client_of(other)


@pytest.mark.parametrize("peer", ["", "192.0.2.7", "not:an:address"])
def test_what_is_no_ipv6_address_stands_for_itself(peer: str) -> None:
    """Nothing that the socket layer names makes the count fail."""
    assert peer == client_of(peer)
