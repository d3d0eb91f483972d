"""
The policy of a queue: one document, written whole or statement by statement.

AddPermission writes a statement into the document that SetQueueAttributes sets,
and policy evaluation gets that very document: what is shown is what decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import orjson

from casemate.core.arn import is_account
from casemate.policy import iam
from casemate.services.sqs.model import QueueRef
from casemate.services.sqs.refusals import bad_attribute, bad_value, over
from casemate.services.sqs.settings import (
    POLICY_ACTIONS,
    POLICY_BYTES,
    POLICY_STATEMENTS,
)

ACTIONS: Final = (
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
)
"""What AddPermission may share: actions to which another account can have a right."""

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


def compiled(ref: QueueRef, document: str) -> tuple[iam.Policy, ...]:
    """Compile a policy that is kept; nothing for none."""
    if not document:
        return ()
    policy = iam.compile_policy(document, name=ref.arn, kind=iam.Kind.RESOURCE)
    return (policy,)


def checked(document: str) -> str:
    """Give a document that is sound.  Raises Invalid."""
    if len(document.encode()) > POLICY_BYTES:
        raise bad_attribute("Policy", f"it has more than {POLICY_BYTES} bytes")
    try:
        policy = iam.compile_policy(document, name="", kind=iam.Kind.RESOURCE)
    except iam.MalformedPolicyError as cause:
        raise bad_attribute("Policy", str(cause)) from cause
    if len(policy.statements) > POLICY_STATEMENTS:
        most = POLICY_STATEMENTS
        raise bad_attribute("Policy", f"it has more than {most} statements")
    return document


def with_statement(
    document: str,
    ref: QueueRef,
    *,
    label: str,
    accounts: Sequence[str],
    actions: Sequence[str],
) -> str:
    """Add what AddPermission was given.  Raises Invalid, OverLimit."""
    _check(label, accounts, actions)
    read = _read(document, ref)
    statements = _statements(read)
    if any(_sid(one) == label for one in statements):
        raise bad_value("Label", label, "Already exists.")
    if len(statements) >= POLICY_STATEMENTS:
        raise over(f"{POLICY_STATEMENTS} statements are the most that a policy has")
    told = [f"SQS:{action}" for action in actions]
    read["Statement"] = [
        *statements,
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam::{one}:root" for one in accounts]},
            "Action": told if len(told) > 1 else told[0],
            "Resource": ref.arn,
        },
    ]
    return checked(orjson.dumps(read).decode())


def without_statement(document: str, ref: QueueRef, label: str) -> str:
    """Take a statement out; empty if it was the last.  Raises Invalid."""
    read = _read(document, ref)
    statements = _statements(read)
    kept = [one for one in statements if _sid(one) != label]
    if len(kept) == len(statements):
        reason = "can't find label on existing policy"
        raise bad_value("Label", label, reason)
    read["Statement"] = kept
    return orjson.dumps(read).decode() if kept else ""


def _check(label: str, accounts: Sequence[str], actions: Sequence[str]) -> None:
    if not _LABEL.fullmatch(label):
        raise bad_value("Label", label, "1 to 80 of a-z, A-Z, 0-9, _ and -.")
    if not accounts or not actions:
        raise bad_value("Label", label, "It needs an account and an action at least.")
    if stray := next((one for one in accounts if not is_account(one)), None):
        raise bad_value("AWSAccountIds", stray, "It is not twelve digits.")
    if stray := next((one for one in actions if one not in ACTIONS), None):
        reason = f"Only {', '.join(ACTIONS)} can be given to another account."
        raise bad_value("ActionName", stray, reason)
    if len(actions) > POLICY_ACTIONS:
        raise over(f"{POLICY_ACTIONS} actions are the most that a statement has")


def _read(document: str, ref: QueueRef) -> dict[str, object]:
    if document:
        read: dict[str, object] = orjson.loads(document)
        return read
    return {
        "Version": "2012-10-17",
        "Id": f"{ref.arn}/SQSDefaultPolicy",
        "Statement": [],
    }


def _statements(read: dict[str, object]) -> list[object]:
    value = read["Statement"]
    return value if isinstance(value, list) else [value]


def _sid(statement: object) -> object:
    return statement.get("Sid") if isinstance(statement, dict) else None
