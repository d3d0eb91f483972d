"""
What a refusal is called in each protocol.

The rooms refuse in one vocabulary; AWS's services have several.  A code that a
service chose itself passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_QUERY: Final[Mapping[str, str]] = {
    "AccessDeniedException": "AccessDenied",
    "ValidationException": "ValidationError",
    "TooManyRequestsException": "Throttling",
    "SerializationException": "MalformedInput",
    "ServiceException": "InternalFailure",
    "ServiceUnavailable": "ServiceUnavailable",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "ExpiredTokenException": "ExpiredToken",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
}
_JSON: Final[Mapping[str, str]] = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "ExpiredToken": "ExpiredTokenException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "RequestExpired": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
}
_THROTTLED: Final[Mapping[str, str]] = {
    "lambda": "TooManyRequestsException",
    "sqs": "RequestThrottled",
}


def code(service: str, protocol: str, said: str) -> str:
    """Translate a code of the rooms into that of a service's protocol."""
    if protocol in {"query", "ec2", "rest-xml"}:
        return _QUERY.get(said, said)
    if said == "TooManyRequestsException":
        return _THROTTLED.get(service, "ThrottlingException")
    return _JSON.get(said, said)
