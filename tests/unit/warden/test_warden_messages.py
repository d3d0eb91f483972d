"""
Packets over a real socket: whole, in order, bounded.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate_warden.messages import (
    LARGEST,
    MOST_WAITING,
    Gone,
    Malformed,
    Peer,
    TooLong,
    close_all,
    pair,
)

Ends = tuple[Peer, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A peer, and the socket at its other end."""
    ours, theirs = pair()
    peer = Peer(ours)
    yield peer, theirs
    peer.close()
    theirs.close()


def test_a_packet_arrives_with_its_descriptors(ends: Ends) -> None:
    """And they close on exec."""
    peer, other = ends
    with open(os.devnull, "rb") as file:  # noqa: PTH123 — its descriptor is meant
        socket.send_fds(other, [b'{"a":1}'], [file.fileno(), file.fileno()])
    packet = peer.receive()
    assert packet is not None
    assert packet.body == {"a": 1}
    assert [os.get_inheritable(fd) for fd in packet.descriptors] == [False, False]
    close_all(packet.descriptors)
    assert peer.receive() is None


def test_the_largest_packet_passes_and_one_more_byte_does_not(ends: Ends) -> None:
    """200 KiB."""
    peer, other = ends
    other.send(b'{"a":"' + b"x" * (LARGEST - 8) + b'"}')
    assert peer.receive() is not None
    other.send(b'{"a":"' + b"x" * (LARGEST - 7) + b'"}')
    with pytest.raises(Malformed, match="200 KiB"):
        peer.receive()


@given(st.binary(min_size=1))
def test_bytes_that_are_no_object_are_malformed(data: bytes) -> None:
    """Nothing else is raised, whatever arrives."""
    ours, other = pair()
    peer = Peer(ours)
    other.send(data)
    try:
        packet = peer.receive()
    except Malformed:
        packet = None
    finally:
        peer.close()
        other.close()
    assert packet is None or isinstance(packet.body, dict)


def test_a_malformed_packet_s_descriptors_are_closed(ends: Ends) -> None:
    """Nothing piles up in the one root process."""
    peer, other = ends
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 — a count
    with open(os.devnull, "rb") as file:  # noqa: PTH123 — its descriptor is meant
        socket.send_fds(other, [b"["], [file.fileno()] * 5)
    with pytest.raises(Malformed):
        peer.receive()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 — a count


def test_what_cannot_be_sent_waits_in_order(ends: Ends) -> None:
    """A slow reader gets everything, in order."""
    peer, other = ends
    for number in range(500):
        peer.send({"n": number, "x": "x" * 4_000})
    assert peer.wants_to_write
    got: list[bytes] = []
    while len(got) < 500:
        got.append(other.recv(LARGEST))
        peer.flush()
    assert [f'"n":{number},'.encode() in text for number, text in enumerate(got)] == [
        True
    ] * 500
    assert not peer.wants_to_write


def test_a_peer_that_never_reads_is_given_up(ends: Ends) -> None:
    """Its memory is not the warden's."""
    peer, _ = ends
    while not peer.wants_to_write:
        peer.send({"x": "x" * 1_000})
    for _ in range(MOST_WAITING - 1):
        peer.send({"x": "x" * 1_000})
    with pytest.raises(Gone):
        peer.send({"x": "x" * 1_000})


def test_a_peer_that_left_is_gone(ends: Ends) -> None:
    """For reading and for writing."""
    peer, other = ends
    other.close()
    with pytest.raises(Gone):
        peer.receive()
    with pytest.raises(Gone):
        peer.send({})


def test_what_no_peer_would_read_is_not_sent(ends: Ends) -> None:
    """It is refused here, its descriptors closed; what comes after it arrives."""
    peer, other = ends
    peer.send({"a": "x" * (LARGEST - 8)})
    assert len(other.recv(LARGEST + 1)) == LARGEST
    for size in (LARGEST - 7, 10 * LARGEST):
        read, write = os.pipe()
        with pytest.raises(TooLong):
            peer.send({"a": "x" * size}, [write])
        assert os.read(read, 1) == b""
        os.close(read)
    assert not peer.wants_to_write
    peer.send({"a": 1})
    assert other.recv(LARGEST) == b'{"a":1}'
