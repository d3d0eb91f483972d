"""
What can be wrong with a signature, and AWS's code for it.

The same fault has another code in each family of services; clients look at the
code to decide whether to retry, to correct their clock or to ask for new
credentials.

Sources:
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto

from casemate.core.errors import Unauthenticated


class Dialect(StrEnum):
    """The families of error codes, by the service's protocol."""

    JSON = "json"
    QUERY = "query"
    S3 = "s3"


class Fault(Enum):
    """What is wrong with the proof of who is calling."""

    MISSING = auto()
    INCOMPLETE = auto()
    MISMATCH = auto()
    SCOPE = auto()
    SKEWED = auto()
    EXPIRED = auto()
    PAYLOAD = auto()
    CHECKSUM = auto()
    CHUNKING = auto()


_MISMATCH = (
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "SignatureDoesNotMatch",
)
_CODES: dict[Fault, tuple[str, str, str]] = {
    Fault.MISSING: (
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "AccessDenied",
    ),
    Fault.INCOMPLETE: (
        "IncompleteSignatureException",
        "IncompleteSignature",
        "AuthorizationHeaderMalformed",
    ),
    Fault.MISMATCH: _MISMATCH,
    Fault.SCOPE: (*_MISMATCH[:2], "AuthorizationHeaderMalformed"),
    Fault.SKEWED: (
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
    ),
    Fault.EXPIRED: ("RequestExpired", "RequestExpired", "AccessDenied"),
    Fault.PAYLOAD: (*_MISMATCH[:2], "XAmzContentSHA256Mismatch"),
    Fault.CHECKSUM: (*_MISMATCH[:2], "BadDigest"),
    Fault.CHUNKING: (*_MISMATCH[:2], "IncompleteBody"),
}
_ORDER = (Dialect.JSON, Dialect.QUERY, Dialect.S3)
_BAD_REQUEST = 400
_S3_BAD_REQUEST = frozenset(
    {
        Fault.INCOMPLETE,
        Fault.SCOPE,
        Fault.PAYLOAD,
        Fault.CHECKSUM,
        Fault.CHUNKING,
    }
)


def refusal(fault: Fault, reason: str, dialect: Dialect) -> Unauthenticated:
    """
    Make the refusal of a fault.

    reason: for the caller; it never holds a secret, a signature that was
    computed, or a canonical request.
    """
    bad = dialect is Dialect.S3 and fault in _S3_BAD_REQUEST
    return Unauthenticated(
        reason,
        code=_CODES[fault][_ORDER.index(dialect)],
        status=_BAD_REQUEST if bad else None,
        evidence={"fault": fault.name.lower()},
    )
