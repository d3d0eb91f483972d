"""
The platform's own operations.

CreateAccount, ListAccounts, GetStatus and VerifyAudit look past one account,
so, besides a policy that allows them, they take the operator's account.
ExplainRequest sees the requests of the caller's account, and the operator's
account those that nobody proved to have sent; any other id is not found,
whether it exists or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from casemate.core.arn import Arn
from casemate.core.call import Admitted
from casemate.core.errors import Denied, Invalid, NotFound
from casemate.core.operation import (
    Operation,
    Parameters,
    Scope,
    operation,
    operations_of,
)
from casemate.seal.token import TokenError, Tokens
from casemate.services.casemate_.accounts import Account, Accounts
from casemate.services.casemate_.ports import (
    Audit,
    Platform,
    Quarantine,
    Residues,
    Stories,
)
from casemate.services.casemate_.quarantine import QuarantineDesk
from casemate.services.casemate_.residue import ResiduePolicies
from casemate.services.casemate_.telling import judged, told, witnessed

_PAGE = 100
_MOST = 1_000
_NAME = re.compile(r"[\x20-\x7e]{0,50}\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,128}\Z")
_LIST = "casemate:ListAccounts"
_NOBODY = ""
"""The account of requests whose sender was not proven."""


def _arn(scope: Scope, resource: str) -> Arn:
    return Arn(
        service="casemate",
        region=scope.region,
        account=scope.account,
        resource=resource,
    )


def platform(_parameters: Parameters, scope: Scope) -> Arn:
    """Name the platform, as the caller's account sees it."""
    return _arn(scope, "platform")


def accounts(_parameters: Parameters, scope: Scope) -> Arn:
    """Name the accounts."""
    return _arn(scope, "account/*")


def audit(_parameters: Parameters, scope: Scope) -> Arn:
    """Name the audit log."""
    return _arn(scope, "audit")


def request(parameters: Parameters, scope: Scope) -> Arn:
    """Name one request."""
    return _arn(scope, f"request/{parameters.get('RequestId', '')}")


class Casemate:
    """The service."""

    name = "casemate"

    def __init__(
        self,
        *,
        accounts: Accounts,
        tokens: Tokens,
        stories: Stories,
        audit: Audit,
        platform: Platform,
        quarantine: Quarantine,
        residues: Residues,
    ) -> None:
        """Compose."""
        self._accounts = accounts
        self._tokens = tokens
        self._stories = stories
        self._audit = audit
        self._platform = platform
        self._quarantine = quarantine
        self.operations: tuple[Operation, ...] = operations_of(
            self.name,
            self,
            QuarantineDesk(quarantine=quarantine, tokens=tokens),
            ResiduePolicies(residues=residues),
        )

    @operation(
        "GetStatus",
        action="casemate:GetStatus",
        resource=platform,
        accepts=(),
        mutates=False,
        errors=("AccessDeniedException",),
    )
    async def status(self, call: Admitted) -> Mapping[str, object]:
        self._operator_only(call)
        return await self._platform.status()

    @operation(
        "ListRuntimes",
        action="casemate:ListRuntimes",
        resource=platform,
        accepts=(),
        mutates=False,
    )
    async def runtimes(self, _call: Admitted) -> Mapping[str, object]:
        return {"Runtimes": [{"Name": name} for name in self._platform.runtimes()]}

    @operation(
        "CreateAccount",
        action="casemate:CreateAccount",
        resource=accounts,
        accepts=("Name",),
        mutates=True,
        errors=(
            "AccessDeniedException",
            "ConflictException",
            "ServiceUnavailableException",
            "ValidationException",
        ),
    )
    async def create_account(self, call: Admitted) -> Mapping[str, object]:
        self._operator_only(call)
        name = str(call.parameters.get("Name") or "")
        if not _NAME.match(name):
            raise Invalid("`Name` must have at most 50 printable ASCII characters")
        return self._shown(await self._accounts.create(name))

    @operation(
        "ListAccounts",
        action=_LIST,
        resource=accounts,
        accepts=("NextToken", "MaxResults"),
        mutates=False,
        paginated=True,
        errors=("AccessDeniedException", "ValidationException"),
    )
    async def list_accounts(self, call: Admitted) -> Mapping[str, object]:
        self._operator_only(call)
        most = _most(call.parameters.get("MaxResults"))
        page = self._accounts.page(after=self._position(call), limit=most + 1)
        answer: dict[str, object] = {
            "Accounts": [self._shown(account) for account in page[:most]]
        }
        if len(page) > most:
            answer["NextToken"] = self._tokens.seal(
                call.principal.account, _LIST, b"", page[most - 1].id.encode()
            )
        return answer

    @operation(
        "ExplainRequest",
        action="casemate:ExplainRequest",
        resource=request,
        accepts=("RequestId",),
        mutates=False,
        errors=("ResourceNotFoundException", "ValidationException"),
    )
    async def explain(self, call: Admitted) -> Mapping[str, object]:
        wanted = str(call.parameters.get("RequestId", ""))
        if not _REQUEST_ID.match(wanted):
            raise Invalid("`RequestId` must have 1 to 128 letters, digits and `-`")
        account = call.principal.account
        operator = account == self._accounts.operator()
        story = await self._stories.story(account, wanted)
        if story is None and operator:
            story = await self._stories.story(_NOBODY, wanted)
        if story is None:
            raise NotFound(
                f"there is no request `{wanted}` of this account in the record"
            )
        answer: dict[str, object] = {
            "RequestId": wanted,
            "Record": told(story.record, account=account, operator=operator),
            "LogLines": list(story.log_lines),
        }
        if story.position is not None:
            answer["Position"] = story.position
        if held := self._quarantine.find(account, wanted):
            answer["Quarantined"] = held.reason
        return answer

    @operation(
        "VerifyAudit",
        action="casemate:VerifyAudit",
        resource=audit,
        accepts=("Witness",),
        mutates=False,
        errors=(
            "AccessDeniedException",
            "ServiceUnavailableException",
            "ValidationException",
        ),
    )
    async def verify_audit(self, call: Admitted) -> Mapping[str, object]:
        self._operator_only(call)
        return judged(await self._audit.verify(witnessed(call.parameters)))

    def _operator_only(self, call: Admitted) -> None:
        if call.principal.account != self._accounts.operator():
            raise Denied(
                f"{call.arrival.operation.name} is for the operator's account; other "
                "accounts see their own things only"
            )

    def _position(self, call: Admitted) -> str:
        token = call.parameters.get("NextToken")
        if not token:
            return ""
        try:
            return self._tokens.open(
                call.principal.account, _LIST, b"", str(token)
            ).decode()
        except TokenError as cause:
            raise Invalid(
                "the token was not given for this query; start from the first page"
            ) from cause

    def _shown(self, account: Account) -> dict[str, object]:
        shown: dict[str, object] = {
            "AccountId": account.id,
            "CreatedAt": datetime.fromtimestamp(int(account.created), tz=UTC),
            "Operator": account.id == self._accounts.operator(),
        }
        if account.name:
            shown["Name"] = account.name
        return shown


def _most(given: object) -> int:
    if given is None:
        return _PAGE
    if not isinstance(given, int) or not 1 <= given <= _MOST:
        raise Invalid(f"`MaxResults` must be between 1 and {_MOST}")
    return given
