"""A function as the sandbox sees it: what to run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Protocol, final

from casemate.core.call import Trace


class Residue(StrEnum):
    """
    What one event of a function may leave in a cell for the next.

    KEEP: all of it, as on AWS.  WIPE: nothing in `/tmp`, and no process but the
    runtime's own.  FRESH: nothing, for each event has a cell of its own.
    """

    KEEP = "keep"
    WIPE = "wipe"
    FRESH = "fresh"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersion:
    """
    Everything that makes one cell fit for one function version and no other.

    arn: unqualified.  code_sha256: lower-case hex digest of the zip.
    revision: changes with every update of code or configuration, so a cell of
    an older revision is never used for a newer one.
    memory_mb: MiB; ephemeral_mb: MiB; timeout: seconds.
    log_group: its name in CloudWatch Logs.  layers: the digests of the packages
    that are /opt together, the last on top.  line: in which of its account's
    lines its calls wait for a cell; empty for the one that most share.
    per_tenant: a cell serves one tenant id of the application's only, that of its
    first event; then `tenant` is that id, and never empty where it is run.
    """

    account: str
    region: str
    name: str
    arn: str
    version: str
    revision: str
    runtime: str
    handler: str
    role_arn: str
    role_id: str
    code_sha256: str
    memory_mb: int
    timeout: int
    ephemeral_mb: int
    environment: Mapping[str, str]
    log_group: str
    log_format: str = "Text"
    line: str = ""
    layers: tuple[str, ...] = ()
    residue: Residue = Residue.KEEP
    per_tenant: bool = False
    tenant: str = ""


class Sink(Protocol):
    """Where a function's streamed answer goes while it is made."""

    def begin(self) -> None:
        """Hear that the function answers with a stream."""
        ...

    def put(self, data: bytes, /) -> None:
        """Take bytes, at once."""
        ...

    @property
    def full(self) -> bool:
        """Whether the function is to be held back."""
        ...

    def when_room(self, resume: Callable[[], None], /) -> None:
        """Call back once, when it need not be any more."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """
    One event for one function version.

    invoked_arn: as the caller named it, with its qualifier.
    deadline: monotonic seconds by which the caller must have an answer,
    waiting for a cell included.
    sink: where a streamed answer goes; None: into the result, whole.
    """

    id: str
    function: FunctionVersion
    invoked_arn: str
    payload: bytes
    trace: Trace
    deadline: float
    client_context: str | None = None
    want_log_tail: bool = False
    sink: Sink | None = None


class Ending(StrEnum):
    """How an invocation ended; the word in the REPORT line and the metrics."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    EXITED = "exited"
    INIT_ERROR = "init_error"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """
    Where the time of a cold start went: milliseconds, in the order of the stages.

    package: it was read and unpacked, if it was not there.  queue: no cell was
    free.  assign: the cell got code, `/tmp`, limits and credentials, while its
    process became the function's.  init: the module was imported, or a runtime
    began, up to its first `next`.  handler: the event ran.
    """

    package: float
    queue: float
    assign: float
    init: float
    handler: float = 0.0

    def stages(self) -> tuple[tuple[str, float], ...]:
        """Give each stage and its milliseconds, in order."""
        return tuple((one.name, getattr(self, one.name)) for one in fields(self))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationResult:
    """
    What came of an invocation.

    payload: the function's JSON, or the error document; empty if the answer went
    to the sink.  error: AWS's word for X-Amz-Function-Error (`Unhandled`), or
    None.  log_tail: at most 4,096 bytes, if asked for.  duration_ms, init_ms (None
    on a warm cell): milliseconds.  max_memory_mb: MiB.  split: of a cold start;
    None on a warm cell.
    """

    payload: bytes
    ending: Ending
    error: str | None = None
    log_tail: bytes = b""
    duration_ms: float = 0.0
    billed_ms: int = 0
    init_ms: float | None = None
    split: Split | None = None
    max_memory_mb: int = 0
    log_stream: str = ""
    notes: Mapping[str, object] = field(default_factory=dict)
