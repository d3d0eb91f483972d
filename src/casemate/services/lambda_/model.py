"""What is kept of a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from casemate.core.function import FunctionVersion
from casemate.services.lambda_.names import LATEST, FunctionRef
from casemate.services.lambda_.state import Life


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """
    How a function runs.

    memory_mb, ephemeral_mb: MiB; timeout: seconds.  role_id: the unique id of
    the role when it was given, so a role re-created under its name is another.
    """

    runtime: str
    handler: str
    role_arn: str
    role_id: str
    description: str
    timeout: int
    memory_mb: int
    ephemeral_mb: int
    environment: Mapping[str, str]
    log_group: str
    log_format: str
    architecture: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """
    A configuration with its code.

    revision: a UUID, new with every change.  sha256: lower-case hex digest of
    the zip; size: its bytes.
    """

    revision: str
    sha256: str
    size: int
    configuration: Configuration


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One statement of a function's resource policy, as AddPermission gave it."""

    sid: str
    action: str
    principal: str
    source_arn: str = ""
    source_account: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """
    A function, with all that goes when it goes.

    wanted: what was last asked for.  serving: what invocations run; None until
    the function was first Active.  They differ while an update is under way,
    and after one that failed.  modified_at: epoch seconds.
    """

    account: str
    region: str
    name: str
    wanted: Build
    serving: Build | None
    life: Life
    modified_at: float
    tags: Mapping[str, str] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    policy_revision: str = ""

    @property
    def ref(self) -> FunctionRef:
        """Give its reference, unqualified."""
        return FunctionRef(account=self.account, region=self.region, name=self.name)

    @property
    def packages(self) -> frozenset[str]:
        """Give the digests of the packages that it holds on to."""
        served = {self.serving.sha256} if self.serving else set()
        return frozenset({self.wanted.sha256} | served)


def version_of(function: Function) -> FunctionVersion | None:
    """Give what a cell needs to run it; None if it was never Active."""
    build = function.serving
    if build is None:
        return None
    configuration = build.configuration
    return FunctionVersion(
        account=function.account,
        region=function.region,
        name=function.name,
        arn=function.ref.arn,
        version=LATEST,
        revision=build.revision,
        runtime=configuration.runtime,
        handler=configuration.handler,
        role_arn=configuration.role_arn,
        role_id=configuration.role_id,
        code_sha256=build.sha256,
        memory_mb=configuration.memory_mb,
        timeout=configuration.timeout,
        ephemeral_mb=configuration.ephemeral_mb,
        environment=configuration.environment,
        log_group=configuration.log_group,
        log_format=configuration.log_format,
    )
