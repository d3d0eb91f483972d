"""The node's settings: one frozen value, read once, from the warden alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, final

import msgspec

_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 — compared, not bound


@final
class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the warden tells the node at its start.

    data: the node's own folder.  pool: generic cells kept waiting per runtime.
    grace: seconds that running calls have at a drain.  memory_mb: MiB of the
    host.  trees_mb: MiB that the warden sets aside for unpacked packages.
    ca: the public root, PEM.  names: of the endpoint, beside loopback.
    accepted: checks of the host's floor that the operator lowers; lowered: those
    of them that this host fails, and how.  unsafe:
    what the operator loosened by name.  replay: whether a signature is taken
    again while its time holds.  An unknown key is an error.
    """

    data: str
    region: str
    host: str
    port: int
    instance: str
    pool: int
    grace: float
    cores: int
    memory_mb: int
    trees_mb: int
    runtimes: tuple[str, ...]
    ca: str
    names: tuple[str, ...]
    accepted: tuple[str, ...]
    lowered: dict[str, str]
    unsafe: tuple[str, ...]
    replay: Literal["allow", "refuse"]

    @property
    def folder(self) -> Path:
        return Path(self.data)

    @property
    def endpoint(self) -> str:
        """The address that clients use: a name of the certificate's."""
        host = self.host
        if host in _ANYWHERE:
            host = self.names[0] if self.names else "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}:{self.port}"
