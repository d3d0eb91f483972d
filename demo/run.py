"""
The main job, shown: start, deploy, invoke, deny, explain, read, verify, stop.

Everything goes through the real `aws` CLI and boto3, on a fresh data folder
that is removed at the end.  Each step is checked; the first one that does not
hold ends the demo with exit 1.
"""

from __future__ import annotations

import argparse
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
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
WAIT = 120.0


class BrokenError(Exception):
    """A step of the demo did not hold."""


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")
    sys.stdout.flush()


def show(text: str) -> None:
    """Print what came back."""
    print(textwrap.indent(text.rstrip(), "   "))
    sys.stdout.flush()


def hold(*, that: bool, why: str) -> None:
    """Go on only if it holds."""
    if not that:
        raise BrokenError(why)


class Shell:
    """Runs commands as a user would type them."""

    def __init__(self, casemate: Path, variables: Mapping[str, str]) -> None:
        path = f"{casemate.parent}:{os.environ.get('PATH', '')}"
        self.variables = {
            "PATH": path,
            "HOME": os.environ.get("HOME", "/"),
            **variables,
        }

    def run(self, *words: str, fails: bool = False) -> str:
        """Run a command; give its output, and its error output if it fails."""
        print(f"   $ {shlex.join(words)[:160]}")
        done = subprocess.run(
            words, env=self.variables, capture_output=True, text=True, check=False
        )
        if (done.returncode != 0) is not fails:
            raise BrokenError(f"`{shlex.join(words)}`: {done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def json(self, *words: str) -> Any:
        """Run a command and read its JSON."""
        return json.loads(self.run(*words))


def package(folder: Path) -> bytes:
    """Zip a folder, as `zip -r` would."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


@contextmanager
def platform(casemate: Path, data: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the platform until the end of the demo."""
    process = subprocess.Popen(
        [str(casemate), "up", "--data", str(data), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def relay() -> None:
        for line in process.stdout or ():
            show(line)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        thread.join(5)


def instance(data: Path) -> str:
    """Name the instance of a data folder, as the platform does."""
    return hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]


def wait_for(process: subprocess.Popen[str], data: Path) -> None:
    """Wait until the platform answers; one that ended will not."""
    ca = Path("/run/casemate") / instance(data) / "ca.pem"
    end = time.monotonic() + WAIT
    while not ca.exists():
        hold(that=process.poll() is None, why="the platform did not start")
        hold(that=time.monotonic() < end, why="the platform did not start in time")
        time.sleep(0.1)


def exports(text: str) -> dict[str, str]:
    """Read `export NAME='value'` lines."""
    pairs = (line.removeprefix("export ").split("=", 1) for line in text.splitlines())
    return {name: shlex.split(value)[0] for name, value in pairs}


def deploy(shell: Shell, scratch: Path) -> str:
    """Make a role and three functions with the aws CLI; give the role's ARN."""
    say("Deploy three functions with the aws CLI")
    role = shell.json(
        *("aws", "iam", "create-role", "--role-name", "demo"),
        *("--assume-role-policy-document", json.dumps(TRUST)),
    )["Role"]["Arn"]
    functions = {
        "hello": ("python3.11", "handler.handler"),
        "orders": ("python3.11", "handler.handler"),
        "node": (node_runtime(shell), "index.handler"),
    }
    for name, (runtime, handler) in functions.items():
        if not runtime:
            show("no Node.js on this machine: the JavaScript example is left out")
            continue
        archive = scratch / f"{name}.zip"
        archive.write_bytes(package(EXAMPLES / name))
        extra = (
            ["--environment", "Variables={GREETER=hello}"] if name == "orders" else []
        )
        made = shell.json(
            *("aws", "lambda", "create-function", "--function-name", name),
            *("--runtime", runtime, "--handler", handler, "--role", role),
            *("--memory-size", "256", "--zip-file", f"fileb://{archive}", *extra),
        )
        show(f"{made['FunctionArn']}  {made['State']}")
        shell.run(
            "aws", "lambda", "wait", "function-active-v2", "--function-name", name
        )
    return str(role)


def node_runtime(shell: Shell) -> str:
    """Name the Node.js runtime of this platform, or nothing."""
    runtimes = [r["Name"] for r in shell.json("casemate", "status")["Runtimes"]]
    return next((r for r in runtimes if r.startswith("nodejs")), "")


def invoke(shell: Shell, scratch: Path) -> None:
    """Invoke through both clients."""
    say("Invoke with the aws CLI")
    out = scratch / "out.json"
    shell.run(
        *("aws", "lambda", "invoke", "--function-name", "hello"),
        *("--payload", '{"name": "fortress"}', str(out)),
    )
    show(out.read_text())
    hold(that="hello, fortress" in out.read_text(), why="hello did not greet")

    say("Invoke with boto3")
    client = boto(shell, "lambda")
    names = [f["FunctionName"] for f in client.list_functions()["Functions"]]
    if "node" in names:
        numbers = [1, 2, 3]
        event = json.dumps({"numbers": numbers})
        answer = client.invoke(FunctionName="node", Payload=event)
        told = json.load(answer["Payload"])
        show(json.dumps(told))
        hold(that=told["sum"] == sum(numbers), why="node did not add")


def boto(shell: Shell, service: str) -> Any:
    """Make a boto3 client in the shell's session."""
    os.environ.update(shell.variables)
    import boto3

    return boto3.Session().client(service)


def denied(shell: Shell) -> None:
    """A function without the right, then with it."""
    say("A function calls another one without the right to: refused, and told why")
    client = boto(shell, "lambda")
    event = b'{"order": 7, "customer": "Ada"}'
    answer = client.invoke(FunctionName="orders", Payload=event)
    told = json.load(answer["Payload"])
    show(told.get("errorMessage", str(told)))
    hold(that="AccessDenied" in str(told), why="the call was not denied")

    say("Give the role that one right, and nothing else")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "GreetOnly",
                "Effect": "Allow",
                "Action": "lambda:InvokeFunction",
                "Resource": "arn:aws:lambda:*:*:function:hello",
            }
        ],
    }
    shell.run(
        *("aws", "iam", "put-role-policy", "--role-name", "demo"),
        *("--policy-name", "greet", "--policy-document", json.dumps(policy)),
    )
    answer = client.invoke(FunctionName="orders", Payload=event)
    told = json.load(answer["Payload"])
    show(json.dumps(told))
    hold(that=told.get("greeting") == "hello, Ada", why="the order was not greeted")


def explained(shell: Shell) -> None:
    """A user without rights is refused; `why` tells the story."""
    say("A user with no policy: refused, and `casemate why` tells the story")
    shell.run("aws", "iam", "create-user", "--user-name", "mallory")
    key = shell.json("aws", "iam", "create-access-key", "--user-name", "mallory")
    key = key["AccessKey"]
    import boto3

    client = boto3.Session().client(
        "lambda",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token="",
    )
    try:
        client.invoke(FunctionName="hello", Payload=b"{}")
    except client.exceptions.ClientError as error:
        show(str(error))
        request = error.response["ResponseMetadata"]["RequestId"]
    else:
        raise BrokenError("mallory was served")
    story = shell.run("casemate", "why", request)
    show(story)
    hold(that="remedy" in story, why="the story has no remedy")


def read(shell: Shell) -> None:
    """Show the logs and verify the record."""
    say("The logs")
    lines = shell.run("casemate", "logs", "hello")
    show(lines)
    hold(that="greeting fortress" in lines, why="the log line is missing")
    hold(that="REPORT RequestId" in lines, why="the REPORT line is missing")

    say("The audit chain")
    verdict = shell.run("casemate", "audit", "verify")
    show(verdict)


def left_behind(data: Path) -> list[str]:
    """Name what the platform left on the host."""
    name = instance(data)
    mounts = Path("/proc/mounts").read_text().splitlines()
    left = [line for line in mounts if name in line or str(data) in line]
    groups = Path("/sys/fs/cgroup")
    left += [str(p) for at in ("", "*/") for p in groups.glob(f"{at}*{name}*")]
    run = Path("/run/casemate") / name
    return left + ([str(run)] if run.exists() else [])


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--casemate", type=Path, required=True)
    casemate = parser.parse_args().casemate
    if os.geteuid() != 0:
        print("casemate: the demo needs root; run `sudo make demo`", file=sys.stderr)
        return 1
    data = Path(tempfile.mkdtemp(prefix="casemate-demo-", dir="/var/tmp"))
    scratch = Path(tempfile.mkdtemp(prefix="casemate-demo-files-"))
    started = time.monotonic()
    try:
        say("Start the platform on a fresh data folder")
        with platform(casemate, data) as process:
            wait_for(process, data)
            told = Shell(casemate, {}).run(
                *("casemate", "env", "--data", str(data), "--wait", "30")
            )
            shell = Shell(casemate, exports(told))
            show(shell.run("aws", "sts", "get-caller-identity"))
            deploy(shell, scratch)
            invoke(shell, scratch)
            denied(shell)
            explained(shell)
            read(shell)
            say("Stop")
            process.send_signal(signal.SIGTERM)
            hold(that=process.wait(60) == 0, why="it did not stop cleanly")
        left = left_behind(data)
        hold(that=not left, why=f"left behind: {left}")
        show(f"nothing left behind; {time.monotonic() - started:.0f} s in all")
    except BrokenError as error:
        print(f"casemate: the demo broke: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
