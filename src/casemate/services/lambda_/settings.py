"""What the operator may set for functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from casemate.services.lambda_.idempotency.once import OnceLimits

PAYLOAD: Final = 6_291_456
"""Bytes of a synchronous request's payload."""

EVENT_PAYLOAD: Final = 1_048_576
"""Bytes of an asynchronous request's payload."""

PACKAGE: Final = 52_428_800
"""Bytes of a zip that is sent in the request itself."""

PACKAGE_BODY: Final = 70_167_211
"""Bytes of a request that carries such a zip in base64; AWS's own number."""

UNPACKED: Final = 262_144_000
"""Bytes of a package once it is unpacked."""

CLIENT_CONTEXT: Final = 3_583
"""Bytes of the base64 text of a client context."""

ONCE_EVENT: Final = 1_048_576
"""Bytes of an event that is read for its idempotency key; reading more of them
would hold up the calls of others."""

LAYERS: Final = 5
"""Layers of a function."""

UNRESERVED: Final = 100
"""Places of an account that no function can have for itself."""

# Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """
    Limits and permissions that hold for every account of this node.

    architecture: the host's.  total_code_bytes: of all the packages of an
    account.  functions, versions: of an account; AWS bounds them by their bytes
    alone.  aliases: of a function.  layer_versions: of a layer.

    pending_seconds: how long an invocation waits for a function that is being
    created.  start_seconds: what a caller waits for a cell and its
    initialization, beyond the timeout.

    unsafe_secrets_in_environment: environment values that look like secrets
    are taken.  unsafe_public_policies: a resource policy may allow everybody,
    without a condition on the source.

    once: of what is kept for idempotency.
    """

    architecture: str = "x86_64"
    concurrent_executions: int = 1_000
    total_code_bytes: int = 80_530_636_800
    functions: int = 5_000
    versions: int = 20_000
    aliases: int = 1_000
    layer_versions: int = 1_000
    pending_seconds: float = 10.0
    start_seconds: float = 30.0
    unsafe_secrets_in_environment: bool = False
    unsafe_public_policies: bool = False
    once: OnceLimits = field(default_factory=OnceLimits)
