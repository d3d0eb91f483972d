"""What is kept of a function, of its versions and of its aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from casemate.core.function import FunctionVersion, Residue
from casemate.services.lambda_.idempotency.policy import Policy
from casemate.services.lambda_.names import LATEST, FunctionRef
from casemate.services.lambda_.state import Life, State

_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """
    A layer version as a function uses it: kept even when the version is deleted.

    size: bytes of the zip; unpacked: of its content.
    """

    arn: str
    sha256: str
    size: int
    unpacked: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """
    How a function runs.

    memory_mb, ephemeral_mb: MiB; timeout: seconds.  role_id: the unique id of
    the role when it was given, so a role re-created under its name is another.
    per_tenant: it was made with tenant isolation, which nothing changes.
    layers: in the order in which they lie on each other.
    dead_letter: the ARN of a queue for events that failed; empty for none.
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
    layers: tuple[Layered, ...] = ()
    per_tenant: bool = False
    dead_letter: str = ""


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

    @property
    def packages(self) -> frozenset[str]:
        """Give the digests of the packages that it needs: code and layers."""
        return frozenset({self.sha256, *self.layers})

    @property
    def layers(self) -> tuple[str, ...]:
        """Give the digests of its layers."""
        return tuple(layer.sha256 for layer in self.configuration.layers)


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
class Version:
    """
    A published version: a build that no operation changes.

    number: counts from 1 within the function, and is given once only.
    build: as `$LATEST` had it, under a revision of its own.  description: what
    is shown in place of the configuration's, or None.  modified_at: epoch
    seconds, of what was published.
    """

    account: str
    region: str
    name: str
    number: str
    build: Build
    life: Life
    modified_at: float
    description: str | None = None
    grants: tuple[Grant, ...] = ()
    policy_revision: str = ""

    @property
    def ref(self) -> FunctionRef:
        """Give its reference."""
        return FunctionRef(
            account=self.account,
            region=self.region,
            name=self.name,
            qualifier=self.number,
        )

    @property
    def revision(self) -> str:
        """Give what a change of it is conditional on."""
        return self.build.revision


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """
    A name for a version, or for two.

    version: a number, or `$LATEST`.  second: another version, which gets
    `weight` of the invocations (0 to 1); empty for none.  revision: a UUID, new
    with every change.
    """

    account: str
    region: str
    name: str
    alias: str
    version: str
    revision: str
    description: str = ""
    second: str = ""
    weight: float = 0.0
    grants: tuple[Grant, ...] = ()
    policy_revision: str = ""

    @property
    def ref(self) -> FunctionRef:
        """Give its reference."""
        return FunctionRef(
            account=self.account,
            region=self.region,
            name=self.name,
            qualifier=self.alias,
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """Name the versions that it leads to."""
        return (self.version, self.second) if self.second else (self.version,)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The concurrency that is set aside for a function, all its versions together."""

    account: str
    region: str
    name: str
    most: int

    @property
    def ref(self) -> FunctionRef:
        """Give the reference of its function."""
        return FunctionRef(account=self.account, region=self.region, name=self.name)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What events of a function may leave for each other, in all its versions."""

    account: str
    region: str
    name: str
    residue: Residue

    @property
    def ref(self) -> FunctionRef:
        """Give the reference of its function."""
        return FunctionRef(account=self.account, region=self.region, name=self.name)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """
    A function, with all that goes when it goes.

    wanted: what was last asked for.  serving: what invocations run; None until
    the function was first Active.  They differ while an update is under way,
    and after one that failed.  modified_at: epoch seconds.  published: the
    number of the version that was published last, whether or not it is still
    there; 0 for none.  born: a mark of its own, which one that is made anew under
    its name has not.  idempotency: the policy that was put on it, None for none.
    recursive: whether it may be invoked past the hops of a lineage.
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
    published: int = 0
    born: str = ""
    idempotency: Policy | None = None
    recursive: bool = False

    @property
    def ref(self) -> FunctionRef:
        """Give its reference, unqualified."""
        return FunctionRef(account=self.account, region=self.region, name=self.name)

    @property
    def revision(self) -> str:
        """Give what a change of it is conditional on."""
        return self.wanted.revision

    @property
    def packages(self) -> frozenset[str]:
        """Give the digests of the packages that it holds on to, versions aside."""
        served = self.serving.packages if self.serving else frozenset()
        return self.wanted.packages | served


Holder = Function | Version | Alias
"""What a resource policy can be on."""


def is_number(qualifier: str) -> bool:
    """Tell whether a qualifier can be the number of a version, as versions spell it."""
    return _NUMBER.fullmatch(qualifier) is not None


def runnable(
    shown: Function | Version, *, line: str = "", residue: Residue = Residue.KEEP
) -> FunctionVersion | None:
    """
    Give what a cell needs to run it; None if it is not Active.

    line, residue: as `FunctionVersion` has them.
    """
    build = shown.build if isinstance(shown, Version) else shown.serving
    if build is None or shown.life.state is not State.ACTIVE:
        return None
    configuration = build.configuration
    ref = shown.ref
    return FunctionVersion(
        account=ref.account,
        region=ref.region,
        name=ref.name,
        arn=ref.arn,
        version=ref.qualifier or LATEST,
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
        line=line,
        layers=build.layers,
        residue=residue,
        per_tenant=configuration.per_tenant,
    )
