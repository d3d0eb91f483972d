"""
Principal and NotPrincipal: whom a statement of a resource's policy means.

How a principal is named decides what an Allow is worth (see `decision`), so
matching gives a `Grant`, not a yes.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import final

from casemate.core.arn import is_account
from casemate.core.principal import Kind as PrincipalKind
from casemate.policy.iam.document import texts_of
from casemate.policy.iam.facts import Facts, PrincipalView
from casemate.policy.iam.malformed import MalformedPolicyError


class Grant(IntEnum):
    """
    How closely a statement names the principal.

    ACCOUNT: its account, which leaves the decision to identity policies there.
    ROLE: the role behind the session.  DIRECT: the user, the session, the
    service, or everyone.
    """

    NONE = 0
    ACCOUNT = 1
    ROLE = 2
    DIRECT = 3


Meant = Callable[[Facts], Grant]

_ROOT = re.compile(r"arn:aws:iam::([0-9]{12}):root\Z")
_NAMED = re.compile(
    r"arn:aws:(?:iam::[0-9]{12}:(?:user|role)/[\x21-\x7e]{1,576}"
    r"|sts::[0-9]{12}:assumed-role/[\w+=,.@-]{1,64}/[\w+=,.@-]{2,64})\Z",
    re.ASCII,
)
_ID = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,124}\Z")
_SERVICE = re.compile(
    r"[a-z0-9][a-z0-9.-]{0,120}\.(?:amazonaws\.com(?:\.cn)?|casemate\.internal)\Z"
)


@final
@dataclass(slots=True)
class _Named:
    """The principals of one block, sorted by form."""

    everyone: bool = False
    accounts: set[str] = field(default_factory=set)
    arns: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)

    def grant(self, who: PrincipalView) -> Grant:
        """Tell how closely the block names somebody."""
        if self.everyone:
            return Grant.DIRECT
        if who.kind is PrincipalKind.SERVICE:
            return Grant.DIRECT if who.service in self.services else Grant.NONE
        if who.arn in self.arns or who.id in self.ids:
            return Grant.DIRECT
        if self._role(who):
            return Grant.ROLE
        return Grant.ACCOUNT if who.account in self.accounts else Grant.NONE

    def spares(self, who: PrincipalView) -> bool:
        """
        Tell whether a Deny with NotPrincipal leaves somebody out.

        The whole chain must be listed: session, role and account, or user and
        account; an account alone spares nobody in it.
        """
        if self.everyone:
            return True
        if who.kind is PrincipalKind.SERVICE:
            return who.service in self.services
        itself = who.arn in self.arns or who.id in self.ids
        above = who.kind is PrincipalKind.USER or self._role(who)
        return itself and above and who.account in self.accounts

    def _role(self, who: PrincipalView) -> bool:
        if who.kind is not PrincipalKind.SESSION:
            return False
        return who.role_arn in self.arns or who.id.partition(":")[0] in self.ids


def compile_principal(block: object) -> Meant:
    """Compile Principal.  Raises MalformedPolicyError."""
    named = _read(block)
    return lambda facts: named.grant(facts.principal)


def compile_not_principal(block: object, *, allow: bool) -> Meant:
    """
    Compile NotPrincipal.  Raises MalformedPolicyError.

    An Allow leaves out whoever is listed in any form.  A Deny spares only whom
    it lists with the whole chain, and nobody who has a permissions boundary,
    which is AWS's rule.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    """
    named = _read(block)
    if allow:
        return lambda facts: (
            Grant.NONE if named.grant(facts.principal) else Grant.DIRECT
        )
    return lambda facts: (
        Grant.NONE
        if named.spares(facts.principal) and not facts.bounded
        else Grant.DIRECT
    )


def _read(block: object) -> _Named:
    named = _Named()
    if block == "*":
        named.everyone = True
        return named
    if not isinstance(block, dict) or not block:
        raise MalformedPolicyError(
            '`Principal` is `"*"`, or an object such as '
            '`{"AWS": "arn:aws:iam::123456789012:role/name"}`'
        )
    for form, values in block.items():
        if form not in {"AWS", "Service"}:
            raise MalformedPolicyError(
                f"`{form[:64]}` principals are not supported here; "
                f"name `AWS` or `Service` principals"
            )
        for value in texts_of(values, f"`Principal.{form}`"):
            (_aws if form == "AWS" else _service)(named, value)
    return named


def _aws(named: _Named, value: str) -> None:
    root = _ROOT.match(value)
    if value == "*":
        named.everyone = True
    elif root or is_account(value):
        named.accounts.add(root[1] if root else value)
    elif _ID.match(value):
        named.ids.add(value)
    elif _NAMED.match(value) and not set(value) & set("*?$"):
        named.arns.add(value)
    else:
        raise MalformedPolicyError(
            f"invalid principal `{value[:128]}`: name an account, a user, a role or "
            f"a session by its ARN, without wildcards or variables"
        )


def _service(named: _Named, value: str) -> None:
    if not _SERVICE.match(value):
        raise MalformedPolicyError(
            f"invalid service principal `{value[:128]}`: write it as "
            f"`events.amazonaws.com`"
        )
    named.services.add(value)
