"""Users of an account, with policies of their own, for the tests of authorization."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from security.tenant import Tenant

Statement = Mapping[str, object]


def allow(*actions: str, on: str | list[str] = "*", **more: object) -> Statement:
    """Write a statement that allows."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | list[str] = "*", **more: object) -> Statement:
    """Write a statement that denies."""
    return {"Effect": "Deny", "Action": list(actions), "Resource": on, **more}


@dataclass(slots=True)
class Person:
    """A user and clients under a long-lived key of theirs."""

    tenant: Tenant
    name: str
    given: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def born(cls, tenant: Tenant, *statements: Statement, name: str = "") -> Person:
        """Make a user who may do what the statements say."""
        person = cls(tenant, name or f"p-{secrets.token_hex(4)}")
        iam = tenant.client("iam")
        iam.create_user(UserName=person.name)
        made = iam.create_access_key(UserName=person.name)["AccessKey"]
        person.given = {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
        }
        if statements:
            person.may(*statements)
        return person

    @property
    def arn(self) -> str:
        """The user's ARN."""
        return f"arn:aws:iam::{self.tenant.account}:user/{self.name}"

    def may(self, *statements: Statement, version: str | None = "2012-10-17") -> None:
        """Set the one inline policy."""
        document: dict[str, object] = {"Statement": list(statements)}
        if version:
            document["Version"] = version
        self.tenant.client("iam").put_user_policy(
            UserName=self.name,
            PolicyName="only",
            PolicyDocument=json.dumps(document),
        )

    def client(self, service: str) -> Any:
        """Give a client of this user."""
        if service not in self.clients:
            platform = self.tenant.platform
            self.clients[service] = platform.client(service, credentials=self.given)
        return self.clients[service]
