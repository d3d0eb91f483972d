"""
What each operation takes, member by member.

`ACCEPTS` lists what is enforced.  `ONLY` lists members that clients send with
AWS's own default, which asks for nothing: that value is taken, any other is
refused by name, because the feature is not here.

Members of AWS's model that stand in neither are refused by name:
S3 and image packages, VPC, file systems, code signing, SnapStart, customer keys,
capacity providers, durable executions, accelerators, log levels.
"""

from __future__ import annotations

from typing import Final

from casemate.core.operation import Need, Parameters, Scope, condition_tags
from casemate.services.lambda_.configuration import PRINCIPAL
from casemate.services.lambda_.layer_model import layer_context
from casemate.services.lambda_.names import refer
from casemate.services.lambda_.parameters import text, text_map

Context = dict[str, str | tuple[str, ...]]

NAMED: Final = ("FunctionName",)
QUALIFIED: Final = ("FunctionName", "Qualifier")

_CONFIGURATION: Final = (
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "Environment.Variables",
    "Runtime",
    "EphemeralStorage.Size",
    "Layers",
    "LoggingConfig.LogFormat",
    "LoggingConfig.LogGroup",
    "DeadLetterConfig.TargetArn",
)

_ABSENT: Final[dict[str, tuple[object, ...]]] = {
    "FileSystemConfigs": ([],),
    "KMSKeyArn": ("",),
    "SnapStart.ApplyOn": ("None",),
    "TracingConfig.Mode": ("PassThrough",),
    "VpcConfig.Ipv6AllowedForDualStack": (False,),
    "VpcConfig.SecurityGroupIds": ([],),
    "VpcConfig.SubnetIds": ([],),
}
"""What says that a feature is not wanted."""

CREATE_ONLY: Final = _ABSENT | {"PackageType": ("Zip",)}
CREATE: Final = (
    *NAMED,
    *_CONFIGURATION,
    "Code.ZipFile",
    "Publish",
    "Architectures",
    "Tags",
    "TenancyConfig.TenantIsolationMode",
    *CREATE_ONLY,
)

UPDATE_CONFIGURATION_ONLY: Final = _ABSENT
UPDATE_CONFIGURATION: Final = (*NAMED, *_CONFIGURATION, "RevisionId", *_ABSENT)

UPDATE_CODE: Final = (
    *NAMED,
    "ZipFile",
    "Architectures",
    "DryRun",
    "Publish",
    "RevisionId",
)

INVOKE_ONLY: Final[dict[str, tuple[object, ...]]] = {
    "InvocationType": ("RequestResponse", "Event", "DryRun"),
    "LogType": ("None", "Tail"),
}
INVOKE: Final = (*QUALIFIED, "Payload", "ClientContext", "TenantId", *INVOKE_ONLY)

STREAM_ONLY: Final[dict[str, tuple[object, ...]]] = {
    "InvocationType": ("RequestResponse", "DryRun"),
    "LogType": ("None", "Tail"),
}
STREAM: Final = (*QUALIFIED, "Payload", "ClientContext", "TenantId", *STREAM_ONLY)


def passes_role(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """
    Need `iam:PassRole` for the role that is given.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
    """
    role = text(parameters, "Role")
    if not role:
        return ()
    return (
        Need(
            action="iam:PassRole",
            resource=role,
            context={
                "iam:PassedToService": PRINCIPAL,
                "iam:AssociatedResourceArn": refer(parameters, scope).arn,
            },
        ),
    )


def configures(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need to pass the role that is given, and to read the layers."""
    layers = layer_context(parameters).get("lambda:Layer", ())
    reading = (Need(action="lambda:GetLayerVersion", resource=arn) for arn in layers)
    return (*passes_role(parameters, scope), *reading)


def creates(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need what a creation needs: to pass the role, and to tag if there are tags."""
    if not text_map(parameters, "Tags"):
        return configures(parameters, scope)
    tagging = Need(
        action="lambda:TagResource",
        resource=refer(parameters, scope).arn,
        context=tag_context(parameters, scope),
    )
    return (*configures(parameters, scope), tagging)


def tag_context(parameters: Parameters, _scope: Scope) -> Context:
    """Fill `aws:RequestTag/…` and `aws:TagKeys`."""
    return condition_tags(text_map(parameters, "Tags") or {})


def create_context(parameters: Parameters, scope: Scope) -> Context:
    """Fill the condition keys of CreateFunction."""
    own: Context = {"lambda:FunctionArn": refer(parameters, scope).arn}
    return own | tag_context(parameters, scope) | layer_context(parameters)


def configure_context(parameters: Parameters, scope: Scope) -> Context:
    """Fill the condition keys of UpdateFunctionConfiguration."""
    own: Context = {"lambda:FunctionArn": refer(parameters, scope).arn}
    return own | layer_context(parameters)


def permission_context(parameters: Parameters, scope: Scope) -> Context:
    """Fill the condition keys of AddPermission."""
    return {
        "lambda:FunctionArn": refer(parameters, scope).arn,
        "lambda:Principal": text(parameters, "Principal") or "",
    }
