"""Amazon Resource Names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_FIELDS = 6
_ACCOUNT = re.compile(r"[0-9]{12}\Z")


class NotAnArnError(ValueError):
    """The text has not the form of an ARN."""


@dataclass(frozen=True, slots=True)
class Arn:
    """
    `arn:partition:service:region:account:resource`.

    The resource keeps its own colons and slashes.  Account is twelve digits or
    empty (services whose names are global).

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """

    service: str
    region: str
    account: str
    resource: str
    partition: str = "aws"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read an ARN.

        Raises NotAnArnError.  Wildcards are not looked at: this is a name, not
        a pattern.
        """
        fields = text.split(":", _FIELDS - 1)
        if len(fields) != _FIELDS or fields[0] != "arn" or not fields[5]:
            raise NotAnArnError(f"`{text[:256]}` is not an ARN")
        _, partition, service, region, account, resource = fields
        if not partition or not service:
            raise NotAnArnError(f"`{text[:256]}` is not an ARN")
        return cls(
            partition=partition,
            service=service,
            region=region,
            account=account,
            resource=resource,
        )

    def __str__(self) -> str:
        return (
            f"arn:{self.partition}:{self.service}:{self.region}"
            f":{self.account}:{self.resource}"
        )


def is_account(text: str) -> bool:
    """Tell whether the text is an AWS account id: twelve ASCII digits."""
    return _ACCOUNT.match(text) is not None
