"""
The environment variables of a function.

1. Names have AWS's form, and none that the platform itself sets.
2. All together they take at most 4 KB, measured as AWS does: as JSON.
3. A value can be in a process's environment at all: no NUL.
4. No value is a secret by its form, unless the operator allows it.

`PATH`, `LD_LIBRARY_PATH`, `PYTHONPATH`, `NODE_OPTIONS` and `LD_PRELOAD` may be
set, as in AWS: they reach the function's own process in its own cell, after its
limits are in force, and nothing before.  `AWS_LAMBDA_EXEC_WRAPPER` is refused by
name: no wrapper is run here.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from casemate.services.lambda_.disclosure import secret_in
from casemate.services.lambda_.refusals import invalid

LIMIT: Final = 4_096
"""Bytes."""

RESERVED: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_CA_BUNDLE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_LEVEL",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "TZ",
    }
)
"""AWS's list, and the two by which a cell finds the platform's endpoint here."""

WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]+", re.ASCII)


def check(
    variables: Mapping[str, str], *, unsafe_secrets: bool = False
) -> dict[str, str]:
    """Give the variables, or raise Invalid.  A refusal never repeats a value."""
    # (1)
    if reserved := sorted(RESERVED & variables.keys()):
        raise invalid(
            "Lambda was unable to configure your environment variables because the "
            "environment variables you have provided contains reserved keys that are "
            "currently not supported for modification. Reserved keys used in this "
            f"request: {', '.join(reserved)}"
        )
    if WRAPPER in variables:
        raise invalid(
            f"`{WRAPPER}` is not applied by this platform yet, so it is refused; "
            "leave it out"
        )
    for name in variables:
        if not _NAME.fullmatch(name):
            raise invalid(
                f"environment variable `{name[:128]}` does not match "
                "[a-zA-Z]([a-zA-Z0-9_])+"
            )
    # (2)
    if variables and _size(variables) > LIMIT:
        raise invalid(
            "Lambda was unable to configure your environment variables because the "
            "environment variables you have provided exceeded the 4KB limit."
        )
    for name, value in variables.items():
        # (3)
        if "\0" in value:
            raise invalid(f"the value of environment variable `{name}` has a NUL")
        # (4)
        kind = None if unsafe_secrets else secret_in(value)
        if kind:
            raise invalid(
                f"the value of environment variable `{name}` looks like {kind}; keep "
                "it in a secret store and give the function its name, or ask the "
                "operator for `--unsafe-secrets-in-environment`"
            )
    return dict(variables)


def _size(variables: Mapping[str, str]) -> int:
    try:
        return len(orjson.dumps(dict(variables)))
    except orjson.JSONEncodeError as cause:  # a lone surrogate
        raise invalid("an environment variable's value is not Unicode text") from cause
