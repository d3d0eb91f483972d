"""
A function's configuration, from what the caller sent and what there was.

AWS's model allows more than Lambda does (memory, timeout); the numbers here are
Lambda's.  Whatever is not set keeps its value, or takes Lambda's default.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.errors import Denied
from casemate.core.operation import Parameters
from casemate.services.lambda_ import environment
from casemate.services.lambda_.layer_model import (
    LayerRef,
    LayerVersion,
    refer_version,
)
from casemate.services.lambda_.model import Configuration, Layered
from casemate.services.lambda_.parameters import (
    integer,
    structure,
    text,
    text_map,
    texts,
)
from casemate.services.lambda_.ports import Roles, Runtimes
from casemate.services.lambda_.refusals import invalid
from casemate.services.lambda_.settings import LAYERS, FunctionSettings
from casemate.services.lambda_.targets import Targets

PRINCIPAL: Final = "lambda.amazonaws.com"

PER_TENANT: Final = "PER_TENANT"

MEMORY: Final = (128, 10_240)
EPHEMERAL: Final = (512, 10_240)
TIMEOUT: Final = (1, 900)
_HANDLER: Final = 128
_DESCRIPTION: Final = 256
_LOG_GROUP: Final = 512
_LOG_GROUP_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Composes configurations under the settings and registries of this node."""

    settings: FunctionSettings
    runtimes: Runtimes
    roles: Roles
    layers: Callable[[LayerRef], LayerVersion | None]
    targets: Targets

    def first(
        self, parameters: Parameters, *, account: str, region: str, name: str
    ) -> Configuration:
        """Compose the configuration of a new function.  Raises Invalid, Denied."""
        runtime, handler = text(parameters, "Runtime"), text(parameters, "Handler")
        if not runtime or not handler:
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created "
                "with deployment packages."
            )
        self.architecture(parameters)
        role_arn, role_id = self._role(text(parameters, "Role") or "", account)
        blank = Configuration(
            runtime=runtime,
            handler=handler,
            role_arn=role_arn,
            role_id=role_id,
            description="",
            timeout=3,
            memory_mb=128,
            ephemeral_mb=512,
            environment={},
            log_group=f"/aws/lambda/{name}",
            log_format="Text",
            architecture=self.settings.architecture,
            per_tenant=_per_tenant(parameters),
        )
        return self._changed(
            parameters, blank, role_arn=role_arn, role_id=role_id, region=region
        )

    def next(
        self,
        parameters: Parameters,
        before: Configuration,
        *,
        account: str,
        region: str,
    ) -> Configuration:
        """Compose the configuration that follows another.  Raises Invalid, Denied."""
        role_arn, role_id = before.role_arn, before.role_id
        if given := text(parameters, "Role"):
            role_arn, role_id = self._role(given, account)
        return self._changed(
            parameters, before, role_arn=role_arn, role_id=role_id, region=region
        )

    def architecture(self, parameters: Parameters) -> None:
        """Refuse an architecture that this host has not."""
        given = texts(parameters, "Architectures")
        own = self.settings.architecture
        if given is not None and given != (own,):
            raise invalid(
                f"`Architectures` can only be [`{own}`] here: it is this host's"
            )

    def _changed(
        self,
        parameters: Parameters,
        before: Configuration,
        *,
        role_arn: str,
        role_id: str,
        region: str,
    ) -> Configuration:
        log_group, log_format = _logging(parameters, before)
        return Configuration(
            runtime=self._runtime(text(parameters, "Runtime") or before.runtime),
            handler=_handler(text(parameters, "Handler") or before.handler),
            role_arn=role_arn,
            role_id=role_id,
            description=_description(text(parameters, "Description"), before),
            timeout=_between(
                "Timeout", integer(parameters, "Timeout"), TIMEOUT, before.timeout
            ),
            memory_mb=_between(
                "MemorySize",
                integer(parameters, "MemorySize"),
                MEMORY,
                before.memory_mb,
            ),
            ephemeral_mb=_ephemeral(parameters, before),
            environment=self._environment(parameters, before),
            log_group=log_group,
            log_format=log_format,
            architecture=before.architecture,
            layers=self._layers(parameters, before),
            per_tenant=before.per_tenant,
            dead_letter=self._dead_letter(parameters, before, role_arn, region),
        )

    def _layers(
        self, parameters: Parameters, before: Configuration
    ) -> tuple[Layered, ...]:
        """Give the layers; that the caller may use them was asked before."""
        given = texts(parameters, "Layers")
        if given is None:
            return before.layers
        if len(given) > LAYERS:
            raise invalid(f"a function can have at most {LAYERS} layers")
        found = [self._layer(arn, before) for arn in given]
        names = {layer.arn.rpartition(":")[0] for layer in found}
        if len(names) < len(found):
            raise invalid("Two different versions of the same layer are not allowed.")
        return tuple(found)

    def _layer(self, arn: str, before: Configuration) -> Layered:
        """Find one; what the function has already may be gone as a version."""
        ref = refer_version(arn)
        version = self.layers(ref) if ref else None
        if version is None:
            for layer in before.layers:
                if layer.arn == arn:
                    return layer
            raise invalid(f"Layer version {arn[:256]} does not exist.")
        return Layered(
            arn=version.ref.arn,
            sha256=version.sha256,
            size=version.size,
            unpacked=version.unpacked,
        )

    def _dead_letter(
        self, parameters: Parameters, before: Configuration, role_arn: str, region: str
    ) -> str:
        """Give the queue; another role is held to the one that is there already."""
        given = structure(parameters, "DeadLetterConfig")
        target = before.dead_letter
        if given is not None:
            target = text(given, "TargetArn") or ""
        elif role_arn == before.role_arn:
            return target
        if not target:
            return ""
        return self.targets.dead_letter(target, role_arn=role_arn, region=region)

    def _runtime(self, runtime: str) -> str:
        available = self.runtimes.runtimes()
        if runtime not in available:
            raise invalid(
                f"Value {runtime[:128]} at 'runtime' failed to satisfy constraint: "
                f"Member must satisfy enum value set: {_listed(available)}; these are "
                "the runtimes that this node has"
            )
        return runtime

    def _role(self, role_arn: str, account: str) -> tuple[str, str]:
        try:
            arn = Arn.parse(role_arn)
        except NotAnArnError as cause:
            raise invalid(f"`Role` is not the ARN of a role: {cause}") from cause
        if arn.account != account:
            raise Denied("Cross-account pass role is not allowed.")
        view = self.roles.trusts(role_arn, PRINCIPAL)
        if view is None:
            raise invalid(
                "The role defined for the function cannot be assumed by Lambda."
            )
        return view.arn, view.id

    def _environment(
        self, parameters: Parameters, before: Configuration
    ) -> dict[str, str]:
        given = structure(parameters, "Environment")
        if given is None:
            return dict(before.environment)
        return environment.check(
            text_map(given, "Variables") or {},
            unsafe_secrets=self.settings.unsafe_secrets_in_environment,
        )


def _per_tenant(parameters: Parameters) -> bool:
    given = structure(parameters, "TenancyConfig")
    if given is None:
        return False
    mode = text(given, "TenantIsolationMode")
    if mode != PER_TENANT:
        raise invalid(f"`TenancyConfig.TenantIsolationMode` can only be `{PER_TENANT}`")
    return True


def _handler(handler: str) -> str:
    # Printable, beyond AWS's pattern: it becomes an environment variable.
    if (
        len(handler) > _HANDLER
        or not handler.isprintable()
        or any(c.isspace() for c in handler)
    ):
        raise invalid(
            f"`Handler` must have at most {_HANDLER} characters and no white space"
        )
    return handler


def _description(given: str | None, before: Configuration) -> str:
    if given is None:
        return before.description
    if len(given) > _DESCRIPTION:
        raise invalid(f"`Description` must have at most {_DESCRIPTION} characters")
    return given


def _between(name: str, given: int | None, bounds: tuple[int, int], before: int) -> int:
    if given is None:
        return before
    low, high = bounds
    if not low <= given <= high:
        raise invalid(f"`{name}` must be from {low} to {high}, and is {given}")
    return given


def _ephemeral(parameters: Parameters, before: Configuration) -> int:
    given = structure(parameters, "EphemeralStorage")
    if given is None:
        return before.ephemeral_mb
    return _between(
        "EphemeralStorage.Size", integer(given, "Size"), EPHEMERAL, before.ephemeral_mb
    )


def _logging(parameters: Parameters, before: Configuration) -> tuple[str, str]:
    given = structure(parameters, "LoggingConfig")
    if given is None:
        return before.log_group, before.log_format
    group = text(given, "LogGroup") or before.log_group
    if len(group) > _LOG_GROUP or not _LOG_GROUP_CHARACTERS.issuperset(group):
        raise invalid("`LoggingConfig.LogGroup` is not the name of a log group")
    form = text(given, "LogFormat") or before.log_format
    if form not in ("Text", "JSON"):
        raise invalid("`LoggingConfig.LogFormat` must be `Text` or `JSON`")
    return group, form


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"
