"""Pages of what is listed by name, under tokens bound to account and query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from casemate.core.call import Admitted
from casemate.core.operation import Parameters
from casemate.seal.token import TokenError, Tokens
from casemate.services.logs.parameters import integer, text
from casemate.services.logs.refusals import invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The tokens of one operation."""

    tokens: Tokens
    operation: str

    def token(self, call: Admitted, query: Sequence[object], position: bytes) -> str:
        """Make a token for what comes after a position."""
        account = call.scope.account
        return self.tokens.seal(account, self.operation, _canonical(query), position)

    def position(self, call: Admitted, query: Sequence[object]) -> bytes:
        """Read the position that the caller's token holds; empty for none."""
        given = text(call.parameters, "nextToken")
        return b"" if given is None else self.opened(call, query, given)

    def opened(self, call: Admitted, query: Sequence[object], token: str) -> bytes:
        """Read the position of a token.  Raises Invalid."""
        account = call.scope.account
        try:
            return self.tokens.open(account, self.operation, _canonical(query), token)
        except TokenError as cause:
            raise invalid("The specified nextToken is invalid.") from cause


def _canonical(query: Sequence[object]) -> bytes:
    # `repr` of texts, numbers and None is without ambiguity, as a join is not.
    return repr(tuple(query)).encode()


def size(parameters: Parameters, default: int, most: int) -> int:
    """Read `limit`.  Raises Invalid."""
    given = integer(parameters, "limit")
    if given is None:
        return default
    if not 1 <= given <= most:
        raise invalid(f"`limit` must be from 1 to {most}, and is {given}")
    return given
