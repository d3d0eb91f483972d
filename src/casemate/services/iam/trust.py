"""
Trust policies, and the unique ids behind the names in them.

A name may be given to somebody else after its holder is deleted.  So, when a
trust policy is stored, each user, role or session that it names is bound to
the unique id that it has at that time, and the policy is evaluated by those
ids alone.

1. A principal of the role's own account must exist; otherwise the document is
   malformed, as AWS has it.
2. A principal of another account is bound if it is there; if it is not, it is
   bound to an id that nobody has.  The caller sees no difference, neither now
   nor when the policy is read back, so that nobody learns the names of
   another account.
3. An account (`123456789012` or its root), a service, and `*` are not names of
   identities and stay as they are.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from casemate.core.arn import Arn, NotAnArnError, is_account
from casemate.services.iam import refusals
from casemate.services.iam.model import Role
from casemate.services.iam.store import Reader, unique_id

NOBODY = "AROANOBODY00000000000"
"""An id that is never given: bound to a name that nobody had."""

_ELEMENTS = ("Principal", "NotPrincipal")


def bind(document: str, account: str, reader: Reader) -> dict[str, str]:
    """
    Find the unique id behind each identity that a trust policy names.

    The document must compile.  Raises Invalid (`MalformedPolicyDocument`).
    """
    bindings: dict[str, str] = {}

    def note(named: str) -> str:
        if _is_identity(named):
            bindings[named] = _found(named, account, reader)
        return named

    _rewritten(json.loads(document), note)
    return bindings


def evaluated(role: Role, reader: Reader) -> str:
    """
    Give the document as it is evaluated: by unique ids.

    A session is named by its ARN, which holds as long as its role has the id
    that it was bound to.
    """
    if not role.bindings:
        return role.trust

    def by_id(named: str) -> str:
        bound = role.bindings.get(named, named)
        if ":" not in bound or bound == named:
            return bound
        arn = Arn.parse(named)
        now = _session(arn.resource.partition("/")[2], arn.account, reader)
        return named if now == bound else NOBODY

    return json.dumps(_rewritten(json.loads(role.trust), by_id))


def shown(role: Role, reader: Reader) -> str:
    """
    Give the document as its owner reads it.

    An identity of the own account has the name that it has now, or its unique
    id if it is gone; all else is as it was given.
    """
    current = {
        named: _name_now(bound, reader)
        for named, bound in role.bindings.items()
        if _account(named) == role.account
    }
    if all(named == now for named, now in current.items()):
        return role.trust
    return json.dumps(
        _rewritten(json.loads(role.trust), lambda named: current.get(named, named)),
        separators=(",", ":"),
    )


def _rewritten(
    document: dict[str, Any], each: Callable[[str], str]
) -> dict[str, object]:
    """Copy a document with every AWS principal put through a function."""
    statements = document["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return {**document, "Statement": [_statement(s, each) for s in listed]}


def _statement(
    statement: dict[str, object], each: Callable[[str], str]
) -> dict[str, object]:
    changed = dict(statement)
    for element in _ELEMENTS:
        principal = statement.get(element)
        if isinstance(principal, Mapping) and "AWS" in principal:
            named = principal["AWS"]
            listed = named if isinstance(named, list) else [named]
            changed[element] = {**principal, "AWS": [each(n) for n in listed]}
    return changed


def _is_identity(named: str) -> bool:
    if named == "*" or is_account(named):
        return False
    try:
        return Arn.parse(named).resource != "root"
    except NotAnArnError:
        return True


def _account(named: str) -> str:
    return Arn.parse(named).account


def _found(named: str, account: str, reader: Reader) -> str:
    invalid = refusals.malformed(f'invalid principal in policy: "AWS":"{named[:256]}"')
    try:
        arn = Arn.parse(named)
    except NotAnArnError:
        raise invalid from None
    if not is_account(arn.account) or arn.region or arn.partition != "aws":
        raise invalid
    kind, _, rest = arn.resource.partition("/")
    form = (arn.service, kind)
    if form in {("iam", "user"), ("iam", "role")} and rest:
        identity = reader.identity(arn)
        found = identity.id if identity else ""
    elif form == ("sts", "assumed-role") and rest.count("/") == 1:
        found = _session(rest, arn.account, reader)
    else:
        raise invalid
    # (1), (2)
    if not found and arn.account == account:
        raise invalid
    return found or NOBODY


def _session(rest: str, account: str, reader: Reader) -> str:
    name, _, session = rest.partition("/")
    role = reader.role(account, name)
    return f"{role.id}:{session}" if role and session else ""


def _name_now(bound: str, reader: Reader) -> str:
    id_, _, session = bound.partition(":")
    holder = reader.holder(unique_id(id_))
    if holder is None:
        return bound
    if session:
        return f"arn:aws:sts::{holder.account}:assumed-role/{holder.name}/{session}"
    found = reader.entity(holder.account, holder.kind, holder.name)
    return found.arn if found else bound
