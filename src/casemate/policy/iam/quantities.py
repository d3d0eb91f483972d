"""Numbers, dates and addresses as policies and requests write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network


class NotAQuantityError(ValueError):
    """The text is no number, date or address."""


_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?\Z")
_EPOCH = re.compile(r"[0-9]{5,12}\Z")
_ISO = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2}))?)?)?\Z"
)
_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z\Z")
_NANO: Final = 1_000_000_000
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAPPED_PREFIX: Final = 96


def number(text: str) -> Decimal:
    """Read an integer or a decimal; no exponents.  Raises NotAQuantityError."""
    if not _NUMBER.match(text):
        raise NotAQuantityError(text[:64])
    return Decimal(text)


def date(text: str) -> int:
    """
    Read a date as nanoseconds since the epoch.

    Takes W3C's forms of ISO 8601 (year, month, day, or with a time and its
    zone), the basic form of `x-amz-date`, and epoch seconds (five digits and
    more: four are a year).  Raises NotAQuantityError.

    Source: https://www.w3.org/TR/NOTE-datetime
    """
    if _EPOCH.match(text):
        return int(text) * _NANO
    found = _ISO.match(text) or _BASIC.match(text)
    if not found:
        raise NotAQuantityError(text[:64])
    fields = found.groups()
    year, month, day, hour, minute, second = (
        int(given or least)
        for given, least in zip(fields[:6], (1, 1, 1, 0, 0, 0), strict=True)
    )
    fraction, zone = (*fields[6:], None, None)[:2]
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise NotAQuantityError(text[:64]) from error
    since = moment - _START - _offset(zone)
    whole = since.days * 86_400 + since.seconds
    return whole * _NANO + int((fraction or "0").ljust(9, "0"))


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return -size if zone[0] == "-" else size


@lru_cache(maxsize=1024)
def network(text: str) -> Network:
    """
    Read an address or a CIDR block; an address alone is a block of one.

    Blocks of IPv4 in IPv6's clothes come out as IPv4.  Raises
    NotAQuantityError.
    """
    try:
        block = ip_network(text, strict=False)
    except ValueError as error:
        raise NotAQuantityError(text[:64]) from error
    if isinstance(block, IPv6Network) and block.prefixlen >= _MAPPED_PREFIX:
        mapped = block.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), block.prefixlen - _MAPPED_PREFIX))
    return block


@lru_cache(maxsize=4096)
def _address(text: str) -> tuple[int, int] | None:
    """Give (version, number) of an address, or None; IPv6-mapped IPv4 is IPv4."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.version, int(found)


def address_in(text: str, networks: Iterable[Network]) -> bool:
    """Tell whether an address lies in one of the networks."""
    found = _address(text)
    if found is None:
        return False
    version, value = found
    return any(
        block.version == version
        and value & int(block.netmask) == int(block.network_address)
        for block in networks
    )
