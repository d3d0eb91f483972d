"""
Where the platform is, and a session there.

A session comes from the environment, as for every AWS client, or from the
operator's socket of a data folder, which answers only to root.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import casemate

RUN: Final = Path("/run/casemate")
DATA: Final = Path("/var/lib/casemate")
_REPLY: Final = 65_536
_PAUSE: Final = 0.05
_TIMEOUT: Final = 35.0

ENDPOINT: Final = "AWS_ENDPOINT_URL"
FOLDER: Final = "CASEMATE_DATA"


class NobodyThereError(Exception):
    """No platform answers for a data folder; the text says what to do."""


class NotRunningError(NobodyThereError):
    """No platform runs on the data folder."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that an AWS client needs, as its environment variables."""

    variables: Mapping[str, str]

    def exports(self) -> str:
        """Write the lines that a POSIX shell evaluates."""
        return "\n".join(
            f"export {name}={_quoted(value)}" for name, value in self.variables.items()
        )


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def folder(data: Path | None) -> Path:
    """Give the data folder: the one that is named, the environment's, the default."""
    return data or Path(os.environ.get(FOLDER) or DATA)


def run_folder(data: Path) -> Path:
    """Give the folder of an instance's sockets."""
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    return RUN / digest[:12]


def ask(data: Path, account: str | None, wait: float) -> Session:
    """
    Ask a running platform for a session of its administrator role.

    wait: seconds to wait for it to come up; a platform that ends meanwhile is
    waited for no longer.  Raises NobodyThereError.
    """
    end = time.monotonic() + wait
    waiting = _Waiting(data, wait)
    while True:
        try:
            return _session(_exchange(run_folder(data) / "operator.sock", account))
        except PermissionError as error:
            raise NobodyThereError(
                f"the operator's socket of `{data}` is root's: run this as root"
            ) from error
        except OSError as error:
            if time.monotonic() >= end:
                raise NotRunningError(
                    f"nothing is running on `{data}`: start it with "
                    f"`casemate up --data {data}`"
                ) from error
        waiting.go_on()
        time.sleep(_PAUSE)


class _Waiting:
    """Waiting for a platform that is about to start."""

    def __init__(self, data: Path, seconds: float) -> None:
        self._data = data
        self._seconds = seconds
        self._told = False
        self._seen = False

    def go_on(self) -> None:
        """Say once that this waits.  Raises NotRunningError once it is in vain."""
        if not self._told:
            self._told = True
            sys.stderr.write(
                f"casemate: waiting up to {self._seconds:g} s for the platform on "
                f"`{self._data}`\n"
            )
        runs = _is_held(self._data)
        if self._seen and not runs:
            raise NotRunningError(
                f"the platform on `{self._data}` ended before it served; "
                "it says itself why"
            )
        self._seen = runs


def _is_held(data: Path) -> bool:
    """
    Tell whether the process that last locked a data folder lives.

    The lock itself is not tried: that would be in the way of one who starts.
    """
    try:
        owner = (data / "lock").read_text("ascii").strip()
    except (OSError, ValueError):
        return False
    return owner.isdigit() and Path("/proc", owner).exists()


def _exchange(path: Path, account: str | None) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_TIMEOUT)
        line.connect(str(path))
        question = json.dumps({"verb": "session", "account": account})
        line.sendall(question.encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n") and len(reply) < _REPLY:
            more = line.recv(_REPLY)
            if not more:
                raise ConnectionResetError("no answer")
            reply += more
    answer: dict[str, object] = json.loads(reply)
    return answer


def _session(answer: dict[str, object]) -> Session:
    if "error" in answer:
        raise NobodyThereError(str(answer["error"]))
    told = answer["ok"]
    if not isinstance(told, dict):
        raise NobodyThereError("the platform's answer is not understood")
    return Session(variables={str(name): str(value) for name, value in told.items()})


def adopt(data: Path | None, account: str | None, wait: float = 0.0) -> str:
    """
    Put a session into this process's environment, and give the endpoint.

    One that is already there is kept, unless the words name a folder or an
    account; the folder of the environment is only where to look otherwise.
    """
    endpoint = os.environ.get(ENDPOINT)
    if not endpoint or data is not None or account is not None:
        session = ask(folder(data), account, wait)
        os.environ.update(session.variables)
        os.environ.pop("AWS_PROFILE", None)
        endpoint = session.variables[ENDPOINT]
    os.environ["AWS_DATA_PATH"] = _with_own_models(os.environ.get("AWS_DATA_PATH"))
    return endpoint


def _with_own_models(path: str | None) -> str:
    """Add the folder of the platform's own service to where AWS's clients look."""
    own = str(Path(casemate.__file__).parent / "data")
    folders = path.split(os.pathsep) if path else []
    return os.pathsep.join(folders if own in folders else [*folders, own])


def environment() -> dict[str, str]:
    """Give this process's environment, for a program that it becomes."""
    return dict(os.environ)
