"""How functions look to those who ask, in the shape of AWS's answers."""

from __future__ import annotations

import base64
import datetime

from casemate.services.lambda_.configuration import PER_TENANT
from casemate.services.lambda_.model import Alias, Build, Function, Version
from casemate.services.lambda_.names import LATEST
from casemate.services.lambda_.state import Life


def describe(
    function: Function,
    *,
    qualifier: str = "",
    build: Build | None = None,
    published: Version | None = None,
) -> dict[str, object]:
    """
    Describe a function.

    qualifier: as the caller gave it; the ARN then carries it.  build: what to
    show in place of what was last asked for (a dry run's).  published: the
    version to show in place of `$LATEST`.  Members of features that are not
    here are left out, not made up.
    """
    one = published or function
    shown = published.build if published else build or function.wanted
    configuration = shown.configuration
    description = published.description if published else None
    arn = function.ref.arn
    described: dict[str, object] = {
        "FunctionName": function.name,
        "FunctionArn": f"{arn}:{qualifier}" if qualifier else arn,
        "Runtime": configuration.runtime,
        "Role": configuration.role_arn,
        "Handler": configuration.handler,
        "CodeSize": shown.size,
        "Description": configuration.description
        if description is None
        else description,
        "Timeout": configuration.timeout,
        "MemorySize": configuration.memory_mb,
        "LastModified": moment(one.modified_at),
        "CodeSha256": digest(shown.sha256),
        "Version": published.number if published else LATEST,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": shown.revision,
        "PackageType": "Zip",
        "Architectures": [configuration.architecture],
        "EphemeralStorage": {"Size": configuration.ephemeral_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {
            "LogFormat": configuration.log_format,
            "LogGroup": configuration.log_group,
        },
    }
    if configuration.per_tenant:
        described["TenancyConfig"] = {"TenantIsolationMode": PER_TENANT}
    if configuration.layers:
        described["Layers"] = [
            {"Arn": layer.arn, "CodeSize": layer.size} for layer in configuration.layers
        ]
    if configuration.dead_letter:
        described["DeadLetterConfig"] = {"TargetArn": configuration.dead_letter}
    if configuration.environment:
        described["Environment"] = {"Variables": dict(configuration.environment)}
    return described | _life(one.life)


def describe_alias(alias: Alias) -> dict[str, object]:
    """Describe an alias; without a second version there is no routing."""
    described: dict[str, object] = {
        "AliasArn": alias.ref.qualified,
        "Name": alias.alias,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    }
    if alias.second:
        described["RoutingConfig"] = {
            "AdditionalVersionWeights": {alias.second: alias.weight}
        }
    return described


def digest(sha256: str) -> str:
    """Write a hex digest as Lambda does: in base64."""
    return base64.b64encode(bytes.fromhex(sha256)).decode("ascii")


def _life(life: Life) -> dict[str, object]:
    members = {
        "State": life.state.value,
        "StateReason": life.state_reason,
        "StateReasonCode": life.state_code,
        "LastUpdateStatus": life.update.value if life.update else "",
        "LastUpdateStatusReason": life.update_reason,
        "LastUpdateStatusReasonCode": life.update_code,
    }
    return {name: value for name, value in members.items() if value}


def moment(at: float) -> str:
    """Write epoch seconds as Lambda does: `2026-01-01T00:00:00.000+0000`."""
    time = datetime.datetime.fromtimestamp(at, tz=datetime.UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"
