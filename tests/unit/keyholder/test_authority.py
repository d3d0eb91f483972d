"""The certificate authority: real handshakes, and OpenSSL as the judge of bounds."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from casemate_keyholder.authority import Pair, issue_leaf
from casemate_keyholder.files import Folder
from casemate_keyholder.names import bounds_of
from casemate_keyholder.refusal import StartRefusedError
from casemate_keyholder.root import Root
from casemate_keyholder.vault import Vault
from unit.keyholder.stand import Hands, ask, handles, opened

DAY = 86_400.0


@pytest.fixture
def today() -> Hands:
    """The machine's own day: OpenSSL judges validity by it."""
    return Hands(at=datetime.now(UTC).timestamp())


def handshake(tmp_path: Path, ca: str, chain: str, key: str, name: str | None) -> str:
    """
    Shake hands with only the root trusted; give the TLS version.

    name: what the client expects; None for the chain alone.
    """
    (tmp_path / "chain.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    client = ssl.create_default_context(cadata=ca)
    client.check_hostname = name is not None
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as accepted:
                accepted.recv(1)
        except OSError:
            theirs.close()  # The client has refused.

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connected:
            return str(connected.version())
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize(
    ("authority", "asked", "name"),
    [
        ("edge", "localhost", "localhost"),
        (
            "edge",
            "a.lambda-url.us-east-1.localhost",
            "a.lambda-url.us-east-1.localhost",
        ),
        ("edge", "127.0.0.1", "127.0.0.1"),
        ("edge", "::1", "::1"),
        ("edge", "casemate.example.org", "casemate.example.org"),
        ("edge", "192.0.2.7", "192.0.2.7"),
        ("cell", "api.casemate.internal", "api.casemate.internal"),
        ("cell", "lambda.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com"),
        ("cell", "*.s3.amazonaws.com", "bucket.s3.amazonaws.com"),
    ],
)
def test_a_leaf_is_trusted_through_the_root_alone(
    folder: Path, tmp_path: Path, today: Hands, authority: str, asked: str, name: str
) -> None:
    """The chain holds for OpenSSL in strict mode with nothing but the root."""
    keyholder = opened(folder, today, names=["casemate.example.org", "192.0.2.7"])
    leaf = ask(keyholder, "leaf", authority=authority, names=[asked])

    chain, key = str(leaf["certificate_chain"]), str(leaf["private_key"])
    assert "TLSv1.3" == handshake(tmp_path, keyholder.ca, chain, key, name)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("edge", "example.com"),
        ("edge", "api.casemate.internal"),
        ("edge", "sts.amazonaws.com"),
        ("edge", "notlocalhost"),
        ("edge", "localhost.example.com"),
        ("edge", "*.localhost"),
        ("edge", "a.*.localhost"),
        ("edge", "10.0.0.1"),
        ("edge", "::ffff:127.0.0.1"),
        ("edge", "::1%lo"),
        ("edge", "LOCALHOST"),
        ("edge", "localhost."),
        ("edge", "a..localhost"),
        ("edge", "a b.localhost"),
        ("edge", "a\0.localhost"),
        ("edge", "-a.localhost"),
        ("edge", "a" * 64 + ".localhost"),
        ("edge", ("a." * 123) + "localhost"),
        ("edge", ""),
        ("edge", "spiffe://casemate.internal/x"),
        ("cell", "localhost"),
        ("cell", "127.0.0.1"),
        ("cell", "evilamazonaws.com"),
        ("cell", "amazonaws.com.evil.org"),
        ("cell", "*.com"),
    ],
)
def test_a_name_out_of_bounds_is_refused_by_name(
    folder: Path, clock: Hands, authority: str, name: str
) -> None:
    """An authority signs what is within its constraint and nothing else."""
    keyholder = opened(folder, clock)

    for names in (
        [name],
        ["localhost" if authority == "edge" else "amazonaws.com", name],
    ):
        answer = ask(keyholder, "leaf", authority=authority, names=names)
        assert "NameNotPermitted" == answer["refused"]
        assert name[:200] in str(answer["reason"])


@pytest.mark.parametrize("authority", ["root", "workload", "", None, ["edge"]])
def test_only_two_authorities_issue_leaves(
    folder: Path, clock: Hands, authority: object
) -> None:
    """The root and the workload's authority sign nothing for the node."""
    answer = ask(
        opened(folder, clock), "leaf", authority=authority, names=["localhost"]
    )

    assert "Malformed" == answer["refused"]


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("edge", "sts.amazonaws.com"),
        ("edge", "example.com"),
        ("edge", "10.0.0.1"),
        ("cell", "localhost"),
        ("cell", "127.0.0.1"),
        ("cell", "example.com"),
        ("workload", "localhost"),
        ("workload", "127.0.0.1"),
        ("workload", "sts.amazonaws.com"),
    ],
)
def test_a_client_refuses_what_an_authority_may_not_name(
    folder: Path, tmp_path: Path, today: Hands, authority: str, name: str
) -> None:
    """With the check of names left out, the constraint in the certificate holds."""
    keyholder = opened(folder, today)
    issuer = intermediate(folder, authority)
    leaf = issue_leaf(issuer, [general(name)], datetime.fromtimestamp(today.at, UTC))

    with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted|excluded"):
        handshake(
            tmp_path, keyholder.ca, leaf.pem() + issuer.pem(), leaf.key_pem(), name
        )


@pytest.mark.parametrize(
    ("authority", "uri", "good"),
    [
        ("workload", "spiffe://casemate.internal/account/1", True),
        ("workload", "spiffe://elsewhere.internal/account/1", False),
        ("workload", "spiffe://sub.casemate.internal/account/1", False),
        ("edge", "spiffe://casemate.internal/account/1", False),
        ("cell", "spiffe://casemate.internal/account/1", False),
    ],
)
def test_only_workload_may_name_workloads(
    folder: Path, tmp_path: Path, today: Hands, authority: str, uri: str, good: bool
) -> None:
    """The trust domain is the workload authority's alone."""
    keyholder = opened(folder, today)
    issuer = intermediate(folder, authority)
    leaf = issue_leaf(
        issuer,
        [x509.UniformResourceIdentifier(uri)],
        datetime.fromtimestamp(today.at, UTC),
    )
    chain = leaf.pem() + issuer.pem()

    if good:
        version = handshake(tmp_path, keyholder.ca, chain, leaf.key_pem(), None)
        assert "TLSv1.3" == version
        return
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted"):
        handshake(tmp_path, keyholder.ca, chain, leaf.key_pem(), None)


def test_a_leaf_signs_no_further_leaf(
    folder: Path, tmp_path: Path, today: Hands
) -> None:
    """A leaf is not an authority, whoever holds its key."""
    keyholder = opened(folder, today)
    now = datetime.fromtimestamp(today.at, UTC)
    issuer = intermediate(folder, "edge")
    leaf = issue_leaf(issuer, [x509.DNSName("localhost")], now)
    forged = issue_leaf(leaf, [x509.DNSName("localhost")], now)
    chain = forged.pem() + leaf.pem() + issuer.pem()

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, keyholder.ca, chain, forged.key_pem(), "localhost")


def test_the_edge_does_not_answer_for_a_cell(
    folder: Path, tmp_path: Path, today: Hands
) -> None:
    """A cell's client refuses the edge's certificate."""
    keyholder = opened(folder, today)
    leaf = ask(keyholder, "leaf", authority="edge", names=["localhost"])
    chain, key = str(leaf["certificate_chain"]), str(leaf["private_key"])

    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(tmp_path, keyholder.ca, chain, key, "api.casemate.internal")


def test_lives_and_extensions(folder: Path, clock: Hands) -> None:
    """10 years, 5 years, 30 days; path lengths 1 and 0; critical constraints."""
    keyholder = opened(folder, clock)
    root = x509.load_pem_x509_certificate(keyholder.ca.encode())
    answer = ask(keyholder, "leaf", authority="cell", names=["api.casemate.internal"])
    leaf, middle = x509.load_pem_x509_certificates(
        str(answer["certificate_chain"]).encode()
    )

    lives = [c.not_valid_after_utc.timestamp() - clock.at for c in (root, middle, leaf)]
    assert [3650 * DAY, 1825 * DAY, 30 * DAY] == lives
    assert lives[2] + clock.at == answer["not_after"]
    basics = [
        c.extensions.get_extension_for_class(x509.BasicConstraints)
        for c in (root, middle, leaf)
    ]
    assert [(True, 1), (True, 0), (False, None)] == [
        (b.value.ca, b.value.path_length) for b in basics
    ]
    assert all(b.critical for b in basics)
    constraints = middle.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert 3 == len({c.serial_number for c in (root, middle, leaf)})
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [ExtendedKeyUsageOID.SERVER_AUTH] == list(usage)


def test_an_intermediate_is_renewed_near_its_end(folder: Path, clock: Hands) -> None:
    """A restart in the last 90 days signs a new one under the same root."""
    opened(folder, clock)
    first = intermediate(folder, "edge").certificate
    clock.pass_by(1734 * DAY)
    opened(folder, clock)
    same = intermediate(folder, "edge").certificate
    clock.pass_by(2 * DAY)
    opened(folder, clock)
    renewed = intermediate(folder, "edge").certificate

    assert first == same != renewed
    assert renewed.not_valid_after_utc > first.not_valid_after_utc + timedelta(
        days=1700
    )
    assert first.issuer == renewed.issuer


def test_new_names_of_the_edge_need_no_new_root(folder: Path, clock: Hands) -> None:
    """Another listening name gets a new intermediate; clients keep their root."""
    first = opened(folder, clock)
    second = opened(folder, clock, names=["host.example.org", "2001:db8::1"])

    assert first.ca == second.ca
    names = ["host.example.org", "2001:db8::1", "x.host.example.org"]
    assert "private_key" in ask(second, "leaf", authority="edge", names=names)
    gone = ask(opened(folder, clock), "leaf", authority="edge", names=names)
    assert "NameNotPermitted" == gone["refused"]


@pytest.mark.parametrize(
    "name",
    ["amazonaws.com", "sts.amazonaws.com", "com", "internal", "api.casemate.internal",
     str(ipaddress.IPv4Address(0)), "::", "Upper.example", "*.example.org", "", "a/b",
     "fe80::1%eth0"],
)  # fmt: skip
def test_the_edge_never_takes_a_reserved_name(name: str) -> None:
    """Only the cell's authority may name Amazon's hosts, or a parent of them."""
    with pytest.raises(StartRefusedError):
        bounds_of("edge", [name])


def intermediate(folder: Path, authority: str) -> Pair:
    """Take an intermediate with its key out of the vault."""
    held = Folder.open(str(folder))
    handles.append(held.descriptor)
    vault = Vault.under(Root(key=(folder / "root.key").read_bytes()), held)
    return Pair.remembered(vault.load(f"authority.{authority}.sealed", dict))


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
