"""
The operator's session: what `casemate env` prints.

It is a session of the account's `casemate-administrator` role, for twelve
hours.  Nothing long-lived is made, and what it does is in the record like
everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.core.arn import is_account
from casemate.core.clock import Clock
from casemate.core.errors import NotFound
from casemate.core.session import SessionClaims
from casemate.services.casemate_.accounts import Accounts
from casemate.services.casemate_.ports import Administrators, Credentials, Sessions

SECONDS = 43_200
SESSION_NAME = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSessions:
    """Makes operator's sessions."""

    accounts: Accounts
    administrators: Administrators
    sessions: Sessions
    clock: Clock

    async def operator_session(self, account: str | None) -> Credentials:
        """
        Make a session in an account; None is the operator's own.

        Raises NotFound for an account that is not there.
        """
        wanted = account or self.accounts.operator()
        if not is_account(wanted) or self.accounts.find(wanted) is None:
            raise NotFound(
                f"there is no account `{wanted[:64]}`; `casemate account list` names "
                "those that are there"
            )
        now = self.clock.now()
        role = await self.administrators.ensure_administrator(wanted, now=now)
        claims = SessionClaims(
            account=wanted,
            role_arn=role.arn,
            role_id=role.id,
            session_name=SESSION_NAME,
            issued_at=now,
        )
        return await self.sessions.session_new(claims.to_json(), SECONDS)
