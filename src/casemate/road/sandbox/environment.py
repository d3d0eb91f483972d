"""The environment of a function's process, as Lambda documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from casemate.core.function import FunctionVersion
from casemate.road.sandbox.settings import Settings, is_managed_python, is_node
from casemate.road.sandbox.shell import API_ADDRESS

TASK_ROOT: Final = "/var/task"
RUNTIME_DIR: Final = "/var/runtime"
_LIBRARIES: Final = (
    "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
)


def environment(
    function: FunctionVersion,
    credentials: Mapping[str, str],
    log_stream: str,
    settings: Settings,
) -> dict[str, str]:
    """
    Join the defaults, the function's own variables and the platform's, in this order.

    A function may replace a default (PATH, TZ, ...); it can never replace what
    the platform says, whatever was stored.
    """
    return {
        **_defaults(function),
        **function.environment,
        **_platform(function, log_stream, settings),
        **credentials,
    }


def _defaults(function: FunctionVersion) -> dict[str, str]:
    defaults = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": _LIBRARIES,
    }
    if is_node(function.runtime):
        major = function.runtime.removeprefix("nodejs").partition(".")[0]
        defaults["NODE_PATH"] = (
            f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
            f"{RUNTIME_DIR}/node_modules"
        )
    return defaults


def _platform(
    function: FunctionVersion, log_stream: str, settings: Settings
) -> dict[str, str]:
    facts = {
        "_HANDLER": function.handler,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ENDPOINT_URL": settings.endpoint_url,
        "AWS_CA_BUNDLE": settings.ca_bundle,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "LAMBDA_TASK_ROOT": TASK_ROOT,
        "LAMBDA_RUNTIME_DIR": RUNTIME_DIR,
    }
    if is_managed_python(function.runtime) or is_node(function.runtime):
        facts["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{function.runtime}"
    if not is_managed_python(function.runtime):
        facts["AWS_LAMBDA_RUNTIME_API"] = API_ADDRESS
    return facts
