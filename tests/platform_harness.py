"""
A whole platform for tests: the real command, real processes, real clients.

`casemate up` runs on a fresh folder and a free port.  Nothing of it is mocked
or imported into the test's process; tests speak HTTPS, the `aws` CLI and the
operator's words.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

BIN = Path(sys.executable).parent
CASEMATE = BIN / "casemate"
READY = 120.0

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


class Platform:
    """A running platform."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.arguments = arguments
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        self.variables: dict[str, str] = {}
        self._sessions: dict[str, dict[str, str]] = {}

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = subprocess.Popen(
            [
                *(str(CASEMATE), "up", "--data", str(self.data)),
                *("--listen", "127.0.0.1:0", *self.arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self._sessions.clear()
        self._until_ready(self.process)
        self.variables = self.session()

    def _until_ready(self, process: subprocess.Popen[str]) -> None:
        """Wait for its word; one that ends instead has said why."""
        end = time.monotonic() + READY
        while not any("is ready" in line for line in self.lines):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError("".join(self.lines))
            time.sleep(0.02)

    def _read(self, process: subprocess.Popen[str]) -> None:
        # Of this process: a list that was begun for the next one stays that one's.
        lines = self.lines
        with process.stdout or io.StringIO() as stdout:
            lines.extend(iter(stdout.readline, ""))

    def session(self, account: str | None = None) -> dict[str, str]:
        """Give the variables of an administrator's session."""
        extra = ["--account", account] if account else []
        done = self.casemate("env", "--wait", str(READY), *extra, env={})
        if done.returncode:
            raise AssertionError(f"{done.stderr}\n{''.join(self.lines)}")
        pairs = (
            line.removeprefix("export ").split("=", 1)
            for line in done.stdout.splitlines()
        )
        return {name: shlex.split(value)[0] for name, value in pairs}

    def casemate(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the operator's command line."""
        return subprocess.run(
            [str(CASEMATE), *words],
            env={
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "HOME": "/root",
                "CASEMATE_DATA": str(self.data),
                **(self.variables if env is None else env),
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def aws(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the aws CLI as its users do."""
        return subprocess.run(
            [str(BIN / "aws"), *words],
            env={
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "HOME": "/root",
                **self.variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def client(
        self,
        service: str,
        account: str | None = None,
        *,
        credentials: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> Any:
        """Make a boto3 client, of the administrator or of given credentials."""
        if account and account not in self._sessions:
            self._sessions[account] = self.session(account)
        variables = self._sessions[account] if account else self.variables
        core = botocore.session.Session()
        core.get_component("data_loader").search_paths.append(
            variables["AWS_DATA_PATH"]
        )
        session = boto3.Session(botocore_session=core)
        given = credentials or {
            "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": variables["AWS_SESSION_TOKEN"],
        }
        return session.client(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            verify=variables["AWS_CA_BUNDLE"],
            region_name=variables["AWS_DEFAULT_REGION"],
            config=Config(
                retries={"total_max_attempts": 1 + retries},
                read_timeout=120,
                connect_timeout=10,
            ),
            **given,
        )

    def role(
        self, name: str, *statements: Mapping[str, object], account: str | None = None
    ) -> str:
        """Make a role that Lambda may assume, with an inline policy."""
        iam = self.client("iam", account)
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        if statements:
            iam.put_role_policy(
                RoleName=name,
                PolicyName="inline",
                PolicyDocument=json.dumps(
                    {"Version": "2012-10-17", "Statement": list(statements)}
                ),
            )
        return str(made["Role"]["Arn"])

    def function(
        self,
        name: str,
        files: Mapping[str, str | bytes] | str,
        *,
        role: str,
        account: str | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Make a function and wait until it is active."""
        client = self.client("lambda", account)
        sources = {"handler.py": files} if isinstance(files, str) else files
        made: dict[str, Any] = client.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.11",
                "Handler": "handler.handler",
                "Role": role,
                "Timeout": 10,
                "MemorySize": 256,
                "Code": {"ZipFile": zipped(sources)},
                **settings,
            }
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        return made

    def invoke(
        self, name: str, event: object = None, account: str | None = None, **more: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Invoke; give the function's answer and the response."""
        answer = self.client("lambda", account).invoke(
            FunctionName=name, Payload=json.dumps(event).encode(), **more
        )
        body = answer["Payload"].read()
        return (json.loads(body) if body else None), answer

    def stop(self, seconds: float = 60.0) -> int:
        """Stop as an operator does; give the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Kill the warden without a word; its children must follow."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """Zip files as `zip` does; what is called bootstrap is executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            mode = 0o755 if name == "bootstrap" else 0o644
            info.external_attr = (0o100000 | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


@contextmanager
def running(*arguments: str) -> Iterator[Platform]:
    """Run a platform on a folder of its own, removed at the end."""
    data = Path(tempfile.mkdtemp(prefix="casemate-test-", dir="/var/tmp"))
    platform = Platform(data, *arguments)
    try:
        platform.start()
        yield platform
    finally:
        try:
            platform.stop()
        finally:
            shutil.rmtree(data, ignore_errors=True)


def left_behind(data: Path) -> list[str]:
    """Name what a platform left on the host."""
    instance = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left = [line for line in mounts if instance in line or str(data) in line]
    groups = Path("/sys/fs/cgroup")
    left += [str(p) for at in ("", "*/") for p in groups.glob(f"{at}*{instance}*")]
    run = Path("/run/casemate") / instance
    return left + ([str(run)] if run.exists() else [])
