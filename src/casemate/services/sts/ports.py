"""What STS needs of its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Role(Protocol):
    """A role.  max_session: seconds."""

    @property
    def account(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def max_session(self) -> int: ...


class AccessKey(Protocol):
    """Whose an access key is."""

    @property
    def account(self) -> str: ...


class Directory(Protocol):
    """Knows roles, access keys and managed policies."""

    def role(self, arn: str, /) -> Role | None: ...
    def access_key(self, access_key_id: str, /) -> AccessKey | None: ...

    def managed_policy(self, account: str, arn: str, /) -> str | None:
        """Give the document in force of a policy that the account can use."""
        ...


class Credentials(Protocol):
    """A session's credentials.  expires_at: seconds since the epoch."""

    @property
    def access_key_id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def expires_at(self) -> float: ...


class Sessions(Protocol):
    """Seals claims into credentials: the keyholder."""

    async def session_new(
        self, claims: Mapping[str, object], seconds: int, /
    ) -> Credentials: ...
