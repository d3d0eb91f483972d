"""
Which names each certificate authority may sign.

The same bounds stand in the intermediates as critical name constraints, so a
client refuses what this module would have let through by mistake.

Source: RFC 5280 section 4.2.1.10.  A kind of name that is not listed as
permitted or excluded is unconstrained there, so every kind is spoken of: what
an authority may not sign at all is excluded whole, and where OpenSSL has no
way to exclude (URIs), the only permitted host is one that cannot exist.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from cryptography import x509

from casemate_keyholder.refusal import RefusedError, StartRefusedError

Authority = Literal["edge", "cell", "workload"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

INSIDE = "casemate.internal"
AMAZON = "amazonaws.com"
_LONGEST = 253
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\Z")
_WILDCARD = re.compile(rf"\*\.(?:{_LABEL}\.)+{_LABEL}\Z")
_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
_EVERY_ADDRESS: tuple[Network, ...] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)
_NO_HOST = "nothing.invalid"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    What an authority may sign.

    hosts: DNS subtrees (the name and all below it).  networks: of addresses.
    uri_host: the one host of URIs.  excluded: subtrees taken out again.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    uri_host: str = _NO_HOST
    excluded: tuple[str, ...] = ()

    def general_name(self, name: str) -> x509.GeneralName:
        """Read a host or address within the bounds.  Raises RefusedError by name."""
        address = _address(name)
        if address is not None:
            if any(address in network for network in self.networks):
                return x509.IPAddress(address)
        elif len(name) <= _LONGEST and (_HOST.match(name) or _WILDCARD.match(name)):
            host = name.removeprefix("*.")
            if _beneath(host, self.hosts) and not _beneath(host, self.excluded):
                return x509.DNSName(name)
        raise RefusedError(
            "NameNotPermitted", f"this authority may not sign `{name[:_LONGEST]}`"
        )

    def constraints(self) -> x509.NameConstraints:
        """Write the bounds as the extension of the authority's certificate."""
        permitted: list[x509.GeneralName] = [x509.DNSName(h) for h in self.hosts]
        permitted += [x509.IPAddress(network) for network in self.networks]
        permitted.append(x509.UniformResourceIdentifier(self.uri_host))
        # Mail addresses have no business in any of them.
        permitted.append(x509.RFC822Name(_NO_HOST))
        excluded: list[x509.GeneralName] = [x509.DNSName(h) for h in self.excluded]
        if not self.hosts:
            excluded.append(x509.DNSName(""))
        if not self.networks:
            excluded += [x509.IPAddress(network) for network in _EVERY_ADDRESS]
        return x509.NameConstraints(permitted, excluded)


def bounds_of(authority: Authority, names: Sequence[str]) -> Bounds:
    """
    Give the bounds of an authority.

    names: hosts and addresses of the operator's own at which the edge listens.
    Raises StartRefusedError for one that the edge may not have.
    """
    if authority == "cell":
        return Bounds(hosts=(INSIDE, AMAZON))
    if authority == "workload":
        return Bounds(uri_host=INSIDE)
    hosts, networks = ["localhost"], list(_LOOPBACK)
    for name in names:
        address = _address(name)
        if address is not None and not address.is_unspecified:
            networks.append(ipaddress.ip_network(address))
        elif address is None and _is_edge_host(name):
            hosts.append(name)
        else:
            raise StartRefusedError(
                f"`{name[:_LONGEST]}` cannot be a name of the edge: give a host name "
                "in lower case or an address that clients connect to"
            )
    return Bounds(
        hosts=tuple(hosts), networks=tuple(networks), excluded=(INSIDE, AMAZON)
    )


def _is_edge_host(name: str) -> bool:
    """Only the cell's authority may name Amazon's hosts, so no parent of them."""
    return (
        len(name) <= _LONGEST
        and _HOST.match(name) is not None
        and not _beneath(name, (INSIDE, AMAZON))
        and not any(_beneath(reserved, (name,)) for reserved in (INSIDE, AMAZON))
    )


def _beneath(host: str, subtrees: Sequence[str]) -> bool:
    return any(host == tree or host.endswith("." + tree) for tree in subtrees)


def _address(name: str) -> Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    # `fe80::1%eth0` has no place in a certificate.
    return None if getattr(address, "scope_id", None) else address
