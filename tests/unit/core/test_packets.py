"""Laws of packets, over real socket pairs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.packets import (
    LARGEST,
    EndedError,
    Packet,
    PacketError,
    encode,
    receive,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def lowest_free() -> int:
    """The number that the next descriptor gets."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_a_packet_comes_whole_with_its_descriptors(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """What was sent is what is taken; descriptors do not pass over an exec."""
    ours, theirs = ends
    read, write = os.pipe()
    socket.send_fds(theirs, [encode({"verb": "é", "n": 1})], [write])
    os.close(write)

    packet = receive(ours)

    assert {"verb": "é", "n": 1} == packet.message
    (came,) = packet.descriptors
    assert not os.get_inheritable(came)
    os.write(came, b"x")
    os.close(came)
    assert b"x" == os.read(read, 9)
    os.close(read)


@pytest.mark.parametrize(
    "data",
    [b"not json", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"a": 1', b"\xff"],
)
def test_what_is_no_object_is_refused_and_leaves_nothing_open(
    ends: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    """Descriptors that came with a packet nobody can read are closed."""
    ours, theirs = ends
    free = lowest_free()
    with Path(os.devnull).open("rb") as file:
        socket.send_fds(theirs, [data], [file.fileno()])

    with pytest.raises(PacketError):
        receive(ours)

    assert not is_open(free)


def test_more_descriptors_than_are_taken_refuse_the_packet(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The kernel cuts them off; half of what was sent is not what was sent."""
    ours, theirs = ends
    free = lowest_free()
    socket.send_fds(theirs, [encode({})], [0])

    with pytest.raises(PacketError):
        receive(ours, descriptors=0)

    assert not is_open(free)


def test_a_packet_over_the_limit_is_refused(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Truncated is not read."""
    ours, theirs = ends
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LARGEST)
    theirs.send(b" " * LARGEST + b"{}")

    with pytest.raises(PacketError):
        receive(ours)


def test_nothing_yet_and_nothing_more(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """An empty line is waited for; an ended one has ended."""
    ours, theirs = ends
    with pytest.raises(BlockingIOError):
        receive(ours)
    theirs.close()
    with pytest.raises(EndedError):
        receive(ours)


@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    """Total over hostile bytes."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(data)
        try:
            packet = receive(ours)
        except PacketError:
            return
        assert isinstance(packet, Packet)
        assert isinstance(packet.message, dict)
