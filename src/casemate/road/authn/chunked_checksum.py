"""
The checksums that a trailer can carry.

CRC-32C and CRC-64/NVME are not in the standard library.  Byte by byte they
cost 100 ns each in Python: half a second for a body of 6 MB, in which the node
would answer nobody.  So the data is cut into lanes of equal length that are
worked on together: one step takes one byte of every lane, with
`bytes.translate` as the table look-up and big integers as the exclusive or,
and the lanes' registers are joined at the end, which is possible because a CRC
is linear.

Source of the polynomials: https://reveng.sourceforge.io/crc-catalogue/all.htm
(CRC-32/ISCSI and CRC-64/NVME, both reflected, with all ones in and out).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from hashlib import sha1, sha256
from typing import Final

_LANES: Final = 4_096
_BYTE: Final = 256


class Crc:
    """A reflected CRC with all ones in and out.  width: bytes."""

    __slots__ = ("_mask", "_planes", "_table", "_width")

    def __init__(self, width: int, polynomial: int) -> None:
        """Make the tables; polynomial: reflected."""
        self._width = width
        self._mask = (1 << 8 * width) - 1
        self._table = [_step(value, polynomial) for value in range(_BYTE)]
        # One table of 256 bytes for each byte of the register, lowest first.
        self._planes = [
            bytes(entry >> 8 * at & 0xFF for entry in self._table)
            for at in range(width)
        ]

    def __call__(self, data: bytes) -> bytes:
        """Give the checksum, most significant byte first."""
        register = self._mask
        length = len(data) // _LANES
        if length:
            body = length * _LANES
            register = self._lanes(data[:body], length, register)
            data = data[body:]
        return (self._serial(data, register) ^ self._mask).to_bytes(self._width, "big")

    def _serial(self, data: bytes, register: int) -> int:
        table = self._table
        for byte in data:
            register = table[(register ^ byte) & 0xFF] ^ register >> 8
        return register

    def _lanes(self, data: bytes, length: int, register: int) -> int:
        """
        Work on `_LANES` stretches of `length` bytes at once.

        planes[i] holds byte i of every lane's register.
        """
        planes = [bytes(_LANES)] * self._width
        nothing = bytes(_LANES)
        for at in range(length):
            index = _xor(planes[0], data[at::length])
            shifted = [*planes[1:], nothing]
            planes = [
                _xor(index.translate(table), above)
                for table, above in zip(self._planes, shifted, strict=True)
            ]
        return self._joined(planes, length, register)

    def _joined(self, planes: list[bytes], length: int, register: int) -> int:
        """Carry a register over each lane in turn: shift it by zeros, add the lane."""
        skip = self._skip(length)
        width = self._width
        for lane in range(_LANES):
            moved = 0
            for at in range(width):
                moved ^= skip[at][register >> 8 * at & 0xFF]
            own = int.from_bytes(bytes(plane[lane] for plane in planes), "little")
            register = moved ^ own
        return register

    def _skip(self, length: int) -> list[list[int]]:
        """Make tables that carry a register over `length` zero bytes."""
        bits = [self._zeros(1 << bit, length) for bit in range(8 * self._width)]
        tables = []
        for at in range(self._width):
            entries = [0] * _BYTE
            for value in range(1, _BYTE):
                low = value & -value
                entries[value] = (
                    entries[value ^ low] ^ bits[8 * at + low.bit_length() - 1]
                )
            tables.append(entries)
        return tables

    def _zeros(self, register: int, length: int) -> int:
        table = self._table
        for _ in range(length):
            register = table[register & 0xFF] ^ register >> 8
        return register


def _step(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (polynomial if value & 1 else 0)
    return value


def _xor(one: bytes, other: bytes) -> bytes:
    size = len(one)
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(
        size, "little"
    )


crc32c: Final = Crc(4, 0x82F63B78)
crc64nvme: Final = Crc(8, 0x9A6C9329AC4BC9B5)

CHECKSUMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": crc32c,
    "x-amz-checksum-crc64nvme": crc64nvme,
    # SHA-1 guards against damage only; the signature guards against attack.
    "x-amz-checksum-sha1": lambda data: sha1(data, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda data: sha256(data).digest(),
}
"""By trailer: the digest of a body."""
