"""
Every failure in one line that says what to do.

AWS's errors are known by their names: the command line has boto3 for a client
and nothing of what is below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from casemate.cli.terminal import line

_RENEW: Final = 'make a new session: `eval "$(casemate env)"`'
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})
_HINTS: Final[Mapping[str, str]] = {
    "EndpointConnectionError": "nothing answers there: start the platform with "
    f"`casemate up`, or {_RENEW}",
    "ConnectTimeoutError": f"nothing answers there: {_RENEW}",
    "SSLError": f"that is not the platform of AWS_CA_BUNDLE: {_RENEW}",
    "NoCredentialsError": _RENEW,
    "PartialCredentialsError": _RENEW,
    "ReadTimeoutError": "the platform takes too long: see `casemate status`",
}


_UNANSWERED: Final = frozenset(
    {"NotRunningError", "EndpointConnectionError", "ConnectTimeoutError"}
)


def is_unanswered(error: Exception) -> bool:
    """Tell whether nothing runs where it was asked."""
    return any(kind.__name__ in _UNANSWERED for kind in type(error).__mro__)


def told(error: Exception) -> str:
    """Say what went wrong, and what to do about it."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return _refused(response)
    text = line(error) or type(error).__name__
    for kind in type(error).__mro__:
        if hint := _HINTS.get(kind.__name__):
            return f"{text.rstrip('.')}; {hint}"
    return text


def _refused(response: Mapping[str, object]) -> str:
    """Write the platform's refusal: its reason tells what would help."""
    code = _member(response, "Error", "Code")
    if code in _EXPIRED:
        return f"the session has expired: {_RENEW}"
    reason = _member(response, "Error", "Message")
    request = _member(response, "ResponseMetadata", "RequestId")
    if code.startswith("AccessDenied") and request:
        reason += f" (`casemate why {request}` tells more)"
    return f"{code}: {reason}" if reason else code


def _member(response: Mapping[str, object], outer: str, inner: str) -> str:
    found = response.get(outer)
    return line(found.get(inner) or "") if isinstance(found, Mapping) else ""
