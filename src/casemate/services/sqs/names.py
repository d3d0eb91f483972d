"""
Names, addresses and ARNs of queues, and the resources that policy is asked about.

A queue's URL names its account and itself; the host in front of them is where
the caller reached the platform, and is not looked at again: an address that was
made outside is good in a cell, and the other way round.
"""

from __future__ import annotations

import re
from typing import Final

from casemate.core.arn import Arn, is_account
from casemate.core.call import Admitted, Request
from casemate.core.operation import Parameters, Scope
from casemate.services.sqs.model import QueueRef
from casemate.services.sqs.parameters import needed, text
from casemate.services.sqs.refusals import bad_address, bad_value, foreign

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_URL = re.compile(
    r"https?://[^/?#\s]{1,270}/([0-9]{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)", re.ASCII
)
FIFO: Final = ".fifo"


def queue_name(name: str) -> str:
    """Give the name of a standard queue, or raise Invalid."""
    if name.endswith(FIFO):
        reason = "FIFO queues are not there yet: only standard queues are enforced."
        raise bad_value("QueueName", name, reason)
    if not _NAME.fullmatch(name):
        reason = (
            "Can only include alphanumeric characters, hyphens, or underscores. "
            "1 to 80 in length."
        )
        raise bad_value("QueueName", name, reason)
    return name


def addressed(parameters: Parameters, scope: Scope) -> QueueRef:
    """Say which queue `QueueUrl` means.  Raises Invalid."""
    url = needed(parameters, "QueueUrl")
    found = _URL.fullmatch(url)
    if found is None:
        raise bad_address(url)
    return QueueRef(account=found[1], region=scope.region, name=found[2])


def own(call: Admitted) -> QueueRef:
    """Say which queue of the caller's own account is meant.  Raises Denied."""
    ref = addressed(call.parameters, call.scope)
    if ref.account != call.scope.account:
        raise foreign(call.arrival.operation.action)
    return ref


def made(parameters: Parameters, scope: Scope) -> QueueRef:
    """Say which queue `QueueName` means, for one that is to be made."""
    name = queue_name(needed(parameters, "QueueName"))
    return QueueRef(account=scope.account, region=scope.region, name=name)


def named(parameters: Parameters, scope: Scope) -> QueueRef:
    """Say which queue `QueueName` of an owner means."""
    owner = text(parameters, "QueueOwnerAWSAccountId") or scope.account
    if not is_account(owner):
        raise bad_value("QueueOwnerAWSAccountId", owner, "It is not twelve digits.")
    name = queue_name(needed(parameters, "QueueName"))
    return QueueRef(account=owner, region=scope.region, name=name)


def by_arn(arn: Arn) -> QueueRef | None:
    """Say which queue an ARN means, or None."""
    if (arn.partition, arn.service) != ("aws", "sqs") or not is_account(arn.account):
        return None
    return QueueRef(account=arn.account, region=arn.region, name=arn.resource)


def base(call: Admitted, endpoint: str) -> str:
    """
    Give the base of URLs that are good where the caller is.

    The Host of a request is part of what is signed, and the front takes none
    that is not a host.
    """
    claim = call.arrival.claim
    host = claim.header("host") if isinstance(claim, Request) else None
    return f"https://{host}" if host else endpoint


def of_url(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of what is done to a queue by its URL."""
    return addressed(parameters, scope).arn


def of_new(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of a creation."""
    return made(parameters, scope).arn


def of_name(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of a search by name."""
    return named(parameters, scope).arn
