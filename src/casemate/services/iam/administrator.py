"""
The operator's way into an account: one role that the platform keeps.

Nobody can assume it through STS but the operator's door, which is a service of
the platform and no account's principal; nobody can change or delete it.
"""

from __future__ import annotations

from casemate.services.iam.given import ADMINISTRATOR
from casemate.services.iam.holders import KEPT_ROLE, book, register
from casemate.services.iam.model import Role
from casemate.services.iam.names import Entropy, new_id
from casemate.services.iam.store import Draft, Ledger, count, roles

OPERATOR = "operator.casemate.internal"
"""The service principal of the operator's door."""

_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
    f'"Principal":{{"Service":"{OPERATOR}"}},"Action":"sts:AssumeRole"}}]}}'
)
_LONGEST = 43_200


async def ensure(ledger: Ledger, entropy: Entropy, account: str, now: float) -> Role:
    """Give the account's administrator role; make it if it is not there."""

    def work(draft: Draft) -> Role:
        place = roles(account, KEPT_ROLE)
        there = draft.read(place, Role)
        if there is not None:
            return there
        role = Role(
            account=account,
            name=KEPT_ROLE,
            path="/",
            id=new_id("AROA", entropy),
            created=now,
            trust=_TRUST,
            max_session=_LONGEST,
            description="The operator's way into this account.",
            attached=(ADMINISTRATOR,),
        )
        draft.write(place, role)
        register(draft, role)
        book(draft, role, ADMINISTRATOR, attached=True)
        count(draft, account, roles=1)
        return role

    return await ledger.change(account, work)
