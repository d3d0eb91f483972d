"""How functions look to those who ask, in the shape of AWS's answers."""

from __future__ import annotations

import base64
import datetime

from casemate.services.lambda_.model import Build, Function
from casemate.services.lambda_.names import LATEST


def describe(
    function: Function, *, qualifier: str = "", build: Build | None = None
) -> dict[str, object]:
    """
    Describe a function.

    qualifier: as the caller gave it; the ARN then carries it.  build: what to
    show in place of what was last asked for (a dry run's).  Members of features
    that are not here are left out, not made up.
    """
    shown = build or function.wanted
    configuration = shown.configuration
    arn = function.ref.arn
    described: dict[str, object] = {
        "FunctionName": function.name,
        "FunctionArn": f"{arn}:{qualifier}" if qualifier else arn,
        "Runtime": configuration.runtime,
        "Role": configuration.role_arn,
        "Handler": configuration.handler,
        "CodeSize": shown.size,
        "Description": configuration.description,
        "Timeout": configuration.timeout,
        "MemorySize": configuration.memory_mb,
        "LastModified": moment(function.modified_at),
        "CodeSha256": base64.b64encode(bytes.fromhex(shown.sha256)).decode("ascii"),
        "Version": LATEST,
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
    if configuration.environment:
        described["Environment"] = {"Variables": dict(configuration.environment)}
    return described | _life(function)


def _life(function: Function) -> dict[str, object]:
    life = function.life
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
