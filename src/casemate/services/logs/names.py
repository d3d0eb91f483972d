"""
The names of groups and streams, and the resources that policy is asked about.

AWS asks about `log-group:GROUP:log-stream:` for what is done to a group and
`log-group:GROUP:log-stream:STREAM` for what is done to a stream, so that
policies on `log-group:GROUP:*` hold for both; tags are asked about on
`log-group:GROUP`.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
"""

from __future__ import annotations

import re
from typing import Final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.operation import Parameters, Scope
from casemate.services.logs.model import GroupRef
from casemate.services.logs.parameters import needed, text
from casemate.services.logs.refusals import invalid, no_group

_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}", re.ASCII)
_STREAM: Final = 512
_STREAM_BYTES: Final = 1_024


def group_name(name: str) -> str:
    """Give a group's name, or raise Invalid."""
    if not _GROUP.fullmatch(name):
        raise invalid(
            f"`{name[:512]}` is no name of a log group: 1 to 512 of a-z, A-Z, 0-9 "
            "and _-/.#"
        )
    return name


def stream_name(name: str) -> str:
    """Give a stream's name, or raise Invalid.  Beyond AWS: it is printable."""
    if (
        not 1 <= len(name) <= _STREAM
        or ":" in name
        or "*" in name
        or not name.isprintable()
        or len(name.encode()) > _STREAM_BYTES
    ):
        raise invalid(
            "a log stream's name has 1 to 512 printable characters without `:` and `*`"
        )
    return name


def named(parameters: Parameters, scope: Scope) -> GroupRef:
    """Say which group `logGroupName` or `logGroupIdentifier` means."""
    name = text(parameters, "logGroupName")
    identifier = text(parameters, "logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise invalid("give either `logGroupName` or `logGroupIdentifier`")
    if identifier is not None and identifier.startswith("arn:"):
        return by_arn(identifier)
    return GroupRef(
        account=scope.account,
        region=scope.region,
        name=group_name(name if name is not None else identifier or ""),
    )


def by_arn(given: str) -> GroupRef:
    """Say which group an ARN means, with or without its `:*`."""
    try:
        arn = Arn.parse(given)
    except NotAnArnError as cause:
        raise invalid(str(cause)) from cause
    kind, _, name = arn.resource.partition(":")
    if (arn.partition, arn.service, kind) != ("aws", "logs", "log-group"):
        raise invalid(f"`{given[:512]}` is not the ARN of a log group")
    return GroupRef(
        account=arn.account,
        region=arn.region,
        name=group_name(name.removesuffix(":*")),
    )


def here(ref: GroupRef, scope: Scope) -> GroupRef:
    """Hold a reference to the caller's account and region.  Raises NotFound."""
    if (ref.account, ref.region) != (scope.account, scope.region):
        raise no_group()
    return ref


def of_group(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of what is done to a group."""
    return f"{named(parameters, scope).arn}:log-stream:"


def of_stream(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of what is done to a stream."""
    stream = stream_name(needed(parameters, "logStreamName"))
    return f"{named(parameters, scope).arn}:log-stream:{stream}"


def of_all(_parameters: Parameters, scope: Scope) -> str:
    """Name the resource of what looks over all groups."""
    return f"arn:aws:logs:{scope.region}:{scope.account}:log-group::log-stream:"


def of_arn(parameters: Parameters, _scope: Scope) -> str:
    """Name the resource of what is done to a group's tags."""
    return by_arn(needed(parameters, "resourceArn")).arn
