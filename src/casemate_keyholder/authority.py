"""
The certificate authority: a root, three intermediates, leaves for 30 days.

    root (10 years, path length 1)
    ├── edge      localhost, loopback addresses, the operator's own names
    ├── cell      casemate.internal, amazonaws.com
    └── workload  spiffe://casemate.internal

Each intermediate (5 years, path length 0) has critical name constraints.
Private keys lie sealed in the vault; the root's is opened only to sign an
intermediate: at first start, near its end, and when the edge's names change.
ECDSA on P-256 throughout.  Source: RFC 5280 section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self, final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casemate_keyholder.clock import Clock
from casemate_keyholder.names import Authority, Bounds, bounds_of
from casemate_keyholder.refusal import RefusedError
from casemate_keyholder.vault import Memory, Vault

_ROOT = "authority.root.sealed"
_ROOT_LIFE = timedelta(days=3650)
_INTERMEDIATE_LIFE = timedelta(days=1825)
_LEAF_LIFE = timedelta(days=30)
_RENEW = timedelta(days=90)
# Another machine's clock may be a little behind when it first sees one.
_BACKDATED = timedelta(hours=1)
_AUTHORITIES: tuple[Authority, ...] = ("edge", "cell", "workload")
_NAMES_LIMIT = 32
_SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]
_MUTUAL = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def remembered(cls, memory: Memory) -> Self:
        """Read from the vault."""
        key = serialization.load_pem_private_key(str(memory["key"]).encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is of another kind")
        certificate = x509.load_pem_x509_certificate(str(memory["pem"]).encode())
        return cls(certificate=certificate, key=key)

    def pem(self) -> str:
        """Write the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self) -> str:
        """Write the private key, PKCS #8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf with its intermediate, and its private key, as PEM."""

    certificate_chain: str
    private_key: str = field(repr=False)
    not_after: datetime


@final
class CertificateAuthority:
    """Issues leaves under the edge's and the cell's intermediate."""

    def __init__(self, vault: Vault, clock: Clock, names: Sequence[str]) -> None:
        self._vault = vault
        self._clock = clock
        root = vault.load(_ROOT, lambda: _memory(_make_root(self._now())))
        self.root_pem = str(root["pem"])
        self._bounds = {name: bounds_of(name, names) for name in _AUTHORITIES}
        self._intermediates = {name: self._intermediate(name) for name in _AUTHORITIES}

    def leaf(self, authority: Authority, names: Sequence[str]) -> Leaf:
        """
        Issue a server's leaf for hosts and addresses.

        Raises RefusedError: a name outside of the authority's bounds, or too
        many.  No leaf of `workload` is issued.
        """
        if authority == "workload" or not 0 < len(names) <= _NAMES_LIMIT:
            raise RefusedError(
                "Malformed",
                f"a leaf has 1 to {_NAMES_LIMIT} names, of `edge` or `cell`",
            )
        bounds = self._bounds[authority]
        pair = issue_leaf(
            self._intermediates[authority],
            [bounds.general_name(name) for name in dict.fromkeys(names)],
            self._now(),
        )
        return Leaf(
            certificate_chain=pair.pem() + self._intermediates[authority].pem(),
            private_key=pair.key_pem(),
            not_after=pair.certificate.not_valid_after_utc,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.now()), UTC)

    def _intermediate(self, name: Authority) -> Pair:
        """Load an intermediate; sign a new one if it ends soon or its bounds differ."""
        file = f"authority.{name}.sealed"
        bounds = self._bounds[name]
        made = self._vault.load(file, lambda: _memory(self._sign(name, bounds)))
        pair = Pair.remembered(made)
        held = pair.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        ends = pair.certificate.not_valid_after_utc - _RENEW
        if held.value != bounds.constraints() or self._now() >= ends:
            pair = self._sign(name, bounds)
            self._vault.keep(file, _memory(pair))
        return pair

    def _sign(self, name: Authority, bounds: Bounds) -> Pair:
        root = Pair.remembered(self._vault.load(_ROOT, dict))
        return issue_intermediate(root, name, bounds, self._now())


def _memory(pair: Pair) -> Memory:
    return {"pem": pair.pem(), "key": pair.key_pem()}


def _subject(name: str) -> x509.Name:
    # A common name with a space is never taken for a host (OpenSSL holds one
    # that looks like a host against the name constraints).
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Casemate"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Casemate {name}"),
        ]
    )


def _builder(
    subject: str, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(subject))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public), critical=False
        )
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(issuer: Pair) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _make_root(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder("root authority", _subject("root authority"), key.public_key(), now)
        .not_valid_after(now + _ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, SHA256())
    )
    return Pair(certificate=certificate, key=key)


def issue_intermediate(
    root: Pair, name: Authority, bounds: Bounds, now: datetime
) -> Pair:
    """Sign a name-constrained authority that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + _INTERMEDIATE_LIFE, root.certificate.not_valid_after_utc)
    usages = _MUTUAL if name == "workload" else _SERVER
    certificate = (
        _builder(f"{name} authority", root.certificate.subject, key.public_key(), now)
        .not_valid_after(ends)
        .add_extension(_issued_by(root), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(bounds.constraints(), critical=True)
        .sign(root.key, SHA256())
    )
    return Pair(certificate=certificate, key=key)


def issue_leaf(issuer: Pair, names: Sequence[x509.GeneralName], now: datetime) -> Pair:
    """Sign a server's leaf; what it may be named has been checked by the caller."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + _LEAF_LIFE, issuer.certificate.not_valid_after_utc)
    basic = x509.BasicConstraints(ca=False, path_length=None)
    certificate = (
        _builder("server", issuer.certificate.subject, key.public_key(), now)
        .not_valid_after(ends)
        .add_extension(_issued_by(issuer), critical=False)
        .add_extension(basic, critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_SERVER), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer.key, SHA256())
    )
    return Pair(certificate=certificate, key=key)
