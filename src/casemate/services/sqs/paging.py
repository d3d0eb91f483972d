"""
Pages of queues, under tokens bound to account and query.

As on AWS, only who gives `MaxResults` is given a token.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from casemate.core.call import Admitted
from casemate.seal.token import TokenError, Tokens
from casemate.services.sqs.model import QueueRef
from casemate.services.sqs.parameters import ranged, text
from casemate.services.sqs.refusals import invalid
from casemate.services.sqs.settings import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The tokens of one operation."""

    tokens: Tokens
    operation: str

    def after(self, call: Admitted, query: Sequence[str]) -> str:
        """Read the name after which the page begins; empty for the first."""
        token = text(call.parameters, "NextToken")
        if token is None:
            return ""
        if ranged(call.parameters, "MaxResults", 1, PAGE) is None:
            raise invalid("`NextToken` needs `MaxResults`")
        try:
            position = self.tokens.open(
                call.scope.account, self.operation, _canonical(query), token
            )
        except TokenError as cause:
            raise invalid("The specified NextToken is invalid.") from cause
        return position.decode()

    def page(
        self, call: Admitted, query: Sequence[str], found: Iterable[QueueRef]
    ) -> tuple[list[QueueRef], str | None]:
        """Cut a page off, and make the token for the next."""
        most = ranged(call.parameters, "MaxResults", 1, PAGE)
        page = list(islice(found, (most or PAGE) + 1))
        if len(page) <= (most or PAGE):
            return page, None
        page.pop()
        if most is None:
            return page, None
        last = page[-1].name.encode()
        account = call.scope.account
        token = self.tokens.seal(account, self.operation, _canonical(query), last)
        return page, token


def _canonical(query: Sequence[str]) -> bytes:
    # `repr` of texts is without ambiguity, as a join is not.
    return repr(tuple(query)).encode()
