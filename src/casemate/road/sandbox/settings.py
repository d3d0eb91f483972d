"""What the operator and the composition hand to the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from casemate.road.sandbox.inflow import StreamLimits


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The sandbox's settings.  Times are seconds, sizes as named.

    runtimes: the images that the warden has.  pool: generic cells kept waiting
    per runtime.  memory_mb: what the cells of all functions may be promised
    together.  max_cells: cells alive at once, generic ones included.
    idle: an unused cell is destroyed after this.  life: a cell is not used
    again after this, so that its session's credentials never run out inside an
    invocation; sessions must last `life` and 900 s more.
    init: Lambda's bound on the first run of the module.  claim: how long a call
    may wait for a cell.  waiting_per_account: calls of one account that may,
    those aside that wait in a line of their function's own.
    idle_tenants: tenant ids of one function that idle cells are kept for.
    trees_mb: unpacked packages, kept or being made; the warden's own bound.
    stream: what a streamed answer may take.
    """

    region: str
    runtimes: tuple[str, ...]
    pool: int = 2
    memory_mb: int = 4096
    max_cells: int = 256
    idle: float = 300.0
    freeze: float = 0.05
    life: float = 3 * 3600.0
    init: float = 10.0
    claim: float = 10.0
    waiting_per_account: int = 100
    idle_tenants: int = 64
    trees_mb: int = 2048
    stream: StreamLimits = field(default_factory=StreamLimits)
    endpoint_url: str = "https://api.casemate.internal"
    ca_bundle: str = "/etc/casemate/ca.pem"


def is_managed_python(runtime: str) -> bool:
    """Say whether a runtime waits in Python and speaks frames."""
    return runtime.startswith("python")


def is_node(runtime: str) -> bool:
    """Say whether a runtime is a managed Node.js."""
    return runtime.startswith("nodejs")
