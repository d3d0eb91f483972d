"""
What the platform says no with.

    Refusal
    ├── Malformed          the bytes are not a request of this protocol
    ├── Unauthenticated    nobody known has sent it
    ├── Denied             somebody known may not
    ├── Invalid            a parameter breaks its rule, or is not enforced here
    ├── NotFound           there is no such thing, or not for this caller
    ├── Conflict           the thing is in another state than the request needs
    ├── Throttled          there is no room; come back later
    ├── TooLarge           more bytes than the limit
    ├── Unimplemented      AWS has this operation, Casemate has not
    └── Unavailable        the platform itself cannot, for now

Every refusal has a `code`, which is AWS's own for the operation and goes to
the client as it is, and a `reason` for people: lower case, no full stop, the
caller's input in backticks, and the smallest change that would help.
`evidence` goes to the record only; it is never sent to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class Refusal(Exception):
    """The platform refuses a call."""

    status: ClassVar[int] = 400
    default_code: ClassVar[str] = "ValidationException"

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        status: int | None = None,
        evidence: Mapping[str, object] | None = None,
        members: Mapping[str, object] | None = None,
        retry_after: int | None = None,
        final: bool = False,
    ) -> None:
        """
        Make a refusal.

        members: further members of the error's shape (`Reason` of Lambda's
        TooManyRequestsException, say).  retry_after: seconds.  final: no waiting
        helps, somebody has to change something first; the platform's own retries
        end at it.
        """
        super().__init__(reason)
        self.reason = reason
        self.code = code or self.default_code
        self.http_status = status or self.status
        self.evidence: Mapping[str, object] = evidence or {}
        self.members: Mapping[str, object] = members or {}
        self.retry_after = retry_after
        self.final = final


class Malformed(Refusal):
    """The bytes are not a request of this protocol."""

    status = 400
    default_code = "SerializationException"


class Unauthenticated(Refusal):
    """Nobody known has sent this."""

    status = 403
    default_code = "IncompleteSignature"


class Denied(Refusal):
    """A known principal may not do this."""

    status = 403
    default_code = "AccessDeniedException"


class Invalid(Refusal):
    """A parameter breaks its rule, or cannot be enforced here."""

    status = 400
    default_code = "ValidationException"


class NotFound(Refusal):
    """There is no such resource for this caller."""

    status = 404
    default_code = "ResourceNotFoundException"


class Conflict(Refusal):
    """The resource is in another state than the request needs."""

    status = 409
    default_code = "ResourceConflictException"


class Throttled(Refusal):
    """There is no room for this call now."""

    status = 429
    default_code = "TooManyRequestsException"


class TooLarge(Refusal):
    """The request has more bytes than the limit."""

    status = 413
    default_code = "RequestTooLargeException"


class Unimplemented(Refusal):
    """The operation exists in AWS's model and not here."""

    status = 501
    default_code = "NotImplemented"


class Unavailable(Refusal):
    """The platform itself cannot answer for now."""

    status = 503
    default_code = "ServiceUnavailable"
