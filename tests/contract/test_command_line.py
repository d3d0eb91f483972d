"""`casemate`, the operator's words, on a running platform."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from platform_harness import BIN, CASEMATE, Platform

SOURCE = """
import json, sys

def handler(event, context):
    print("said", json.dumps(event))
    if event == "escape":
        print("\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202etxt")
        return "\\x1b[2J\\u202e"
    if event == "fail":
        raise ValueError("as asked")
    return event
"""
PATIENCE = 20.0
ELSEWHERE = "arn:aws:lambda:us-east-1:210987654321:function:said"


@pytest.fixture(name="said", scope="module")
def _said(platform: Platform, role: str) -> str:
    platform.function("said", SOURCE, role=role)
    return "said"


def _refusal(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """A refusal is one line on stderr and a status, and nothing else."""
    assert (status, "") == (done.returncode, done.stdout), done.stderr
    assert done.stderr.startswith("casemate: ")
    assert 1 == done.stderr.count("\n")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_invoke_takes_its_event_from_words_stdin_or_a_file(
    platform: Platform, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"from": "file"}')

    words = platform.casemate("invoke", said, "-d", '{"from": "words"}')
    stdin = platform.casemate("invoke", said, "-d", "-", stdin='{"from": "stdin"}')
    path = platform.casemate("invoke", said, "-d", f"@{file}")

    told = [json.loads(done.stdout)["from"] for done in (words, stdin, path)]
    assert ["words", "stdin", "file"] == told
    request = words.stderr.removeprefix("casemate: request ").strip()
    assert request in platform.casemate("why", request).stdout


def test_invoke_of_a_function_that_fails_shows_it_and_exits_1(
    platform: Platform, said: str
) -> None:
    done = platform.casemate("invoke", said, "-d", '"fail"')

    assert 1 == done.returncode
    assert "ValueError" == json.loads(done.stdout)["errorType"]
    assert "casemate logs" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "tells"),
    [
        (("invoke", "nowhere"), 1, "Function not found"),
        (("invoke", "said", "-d", "{"), 1, "not JSON"),
        (("invoke", "said", "-d", "@/nowhere"), 1, "No such file"),
        (("invoke",), 2, "Missing argument"),
        (("invoke", "said", "--nope"), 2, "No such option"),
        (("nope",), 2, "No such command"),
        (("account",), 2, "Missing command"),
        (("logs", "nowhere"), 1, "no log group"),
        (("why", "0" * 8), 1, "no request"),
        (("why", "a b"), 1, "regular expression"),
        (("logs", ELSEWHERE), 1, "in its account 210987654321"),
        (("logs", "said", "--since", "0"), 2, "--since"),
    ],
)
def test_refusals_are_one_line(
    platform: Platform, said: str, words: tuple[str, ...], status: int, tells: str
) -> None:
    assert said
    assert tells in _refusal(platform.casemate(*words), status)


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (("--account", "1" * 12), "casemate account list"),
        (("--data", "/nowhere"), "casemate up"),
    ],
)
def test_without_a_session_the_shell_s_eval_fails(
    platform: Platform, words: tuple[str, ...], tells: str
) -> None:
    """`false` is all that it evaluates; the reason is one line beside it."""
    done = platform.casemate("env", *words)

    assert (1, "false\n") == (done.returncode, done.stdout)
    assert tells in done.stderr
    assert 1 == done.stderr.count("\n")


def test_an_endpoint_that_does_not_answer_is_one_line(platform: Platform) -> None:
    gone = {**platform.variables, "AWS_ENDPOINT_URL": "https://127.0.0.1:1"}

    line = _refusal(platform.casemate("status", env=gone))

    assert "casemate up" in line


def test_a_session_that_is_not_valid_is_one_line(platform: Platform) -> None:
    spoilt = {**platform.variables, "AWS_SESSION_TOKEN": "x"}

    assert "security token" in _refusal(platform.casemate("status", env=spoilt))


def test_words_without_a_session_make_their_own(platform: Platform) -> None:
    """Root with the folder needs no variables; the folder may be CASEMATE_DATA."""
    done = platform.casemate("status", env={})
    assert "Version" in json.loads(done.stdout)

    done = platform.casemate("aws", "sts", "get-caller-identity", env={})
    assert 0 == done.returncode, done.stderr


def test_what_functions_write_cannot_drive_the_terminal(
    platform: Platform, said: str
) -> None:
    """S34: no control sequence of a tenant reaches the operator's terminal."""
    done = platform.casemate("invoke", said, "-d", '"escape"')
    assert "\x1b[2J\u202e" == json.loads(done.stdout)
    shown = done.stdout
    lines = _logged(platform, said, "txt")
    request = platform.invoke(said, "escape")[1]["ResponseMetadata"]["RequestId"]
    story = platform.casemate("why", request).stdout

    for text in (shown, lines, story):
        assert not set("\x1b\x07\x9b\u202e") & set(text)


def _logged(platform: Platform, name: str, word: str) -> str:
    """The log, once a word is in it."""
    end = time.monotonic() + PATIENCE
    while True:
        done = platform.casemate("logs", name)
        if word in done.stdout:
            return done.stdout
        assert time.monotonic() < end, done


def test_logs_follow(platform: Platform, role: str) -> None:
    """It waits for a log that is not there yet, and shows lines as they come, once."""
    with subprocess.Popen(
        [CASEMATE, "logs", "followed", "--follow"],
        env={"PATH": os.environ["PATH"], **platform.variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        try:
            platform.function("followed", SOURCE, role=role)
            platform.invoke("followed", "first")
            first = _until(follower, 'said "first"')
            platform.invoke("followed", "second")
            second = _until(follower, 'said "second"')
            follower.send_signal(signal.SIGINT)
            rest, _ = follower.communicate(timeout=PATIENCE)
        finally:
            follower.kill()

    assert 130 == follower.returncode
    assert 1 == (first + second + rest).count('said "first"')


def _until(process: subprocess.Popen[str], word: str) -> str:
    """What it writes, up to a line with a word; the test's own timeout bounds it."""
    seen = ""
    assert process.stdout
    while word not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_why_tells_of_a_denial_and_its_remedy(
    platform: Platform, said: str, iam: Any
) -> None:
    iam.create_user(UserName="curious")
    key = iam.create_access_key(UserName="curious")["AccessKey"]
    client = platform.client(
        "lambda",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.invoke(FunctionName=said)
    request = refused.value.response["ResponseMetadata"]["RequestId"]

    story = platform.casemate("why", request).stdout

    assert "user/curious" in story
    assert "ended     AccessDeniedException" in story
    assert "remedy    " in story


def test_why_tells_of_an_invocation_with_its_log(platform: Platform, said: str) -> None:
    request = platform.invoke(said, "told")[1]["ResponseMetadata"]["RequestId"]
    end = time.monotonic() + PATIENCE
    while 'said "told"' not in (story := platform.casemate("why", request).stdout):
        assert time.monotonic() < end, story

    assert "ended     ok" in story
    assert "allowed   " in story


def test_accounts_are_made_and_listed(platform: Platform) -> None:
    made = platform.casemate("account", "create", "by hand").stdout.split()

    assert 12 == len(made[0])
    assert f"{made[0]}  by hand" in platform.casemate("account", "list").stdout
    there = platform.session(made[0])
    done = platform.casemate("aws", "sts", "get-caller-identity", env=there)
    assert made[0] == json.loads(done.stdout)["Account"]


def test_the_chain_is_verified(platform: Platform) -> None:
    done = platform.casemate("audit", "verify")

    assert json.loads(done.stdout)["Sound"]
    assert 0 == done.returncode
    offline = platform.casemate("audit", "verify", "--offline", env={})
    assert "leave `--offline` out" in _refusal(offline)


def test_doctor_grades_the_host(platform: Platform) -> None:
    text = platform.casemate("doctor")
    told = json.loads(platform.casemate("doctor", "--json").stdout)

    assert 0 == text.returncode
    assert told["floor"]
    assert {check["id"] for check in told["checks"]} <= {
        line.split()[1].rstrip(":")
        for line in text.stdout.splitlines()
        if not line.startswith(" ")
    }


def test_a_second_start_and_a_taken_port_are_refused_by_name(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = platform.casemate("up", "--listen", "127.0.0.1:0", env={})
    assert 1 == done.returncode
    assert f"already runs on {platform.data}" in done.stderr
    assert 1 == done.stderr.count("\n")

    fresh = tmp_path_factory.mktemp("fresh")
    for folder in (fresh, *fresh.parents[:3]):
        if folder.parts[:2] == ("/", "tmp") and len(folder.parts) > 2:
            folder.chmod(0o711)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = platform.casemate(
            *("up", "--data", str(fresh / "data"), "--listen", f"127.0.0.1:{port}"),
            env={},
        )
    assert 1 == done.returncode
    assert f"127.0.0.1:{port}" in done.stderr
    assert 1 == done.stderr.count("\n")
    assert not (fresh / "data").exists(), "what never began leaves nothing"


def test_start_shows_what_it_does(platform: Platform) -> None:
    """Each image is named before it is built, and readiness is one line."""
    lines = [line.strip() for line in platform.lines]

    assert "casemate: runtime image python3.11" in lines
    assert 1 == sum(line.startswith("casemate is ready: https://") for line in lines)


def test_function_names_are_completed(platform: Platform, said: str) -> None:
    done = platform.casemate(
        env={
            **platform.variables,
            "_CASEMATE_COMPLETE": "complete_bash",
            "COMP_WORDS": "casemate invoke sai",
            "COMP_CWORD": "2",
        }
    )

    assert [said] == done.stdout.split()


def test_the_aws_cli_runs_beneath(platform: Platform) -> None:
    """Its words, output and status are its own."""
    done = platform.casemate("aws", "lambda", "list-functions", "--output", "text")
    assert 0 == done.returncode, done.stderr
    # Version 1 needs the endpoint in its words for sqs.
    done = platform.casemate("aws", "sqs", "list-queues")
    assert 0 == done.returncode, done.stderr
    done = platform.casemate("aws", "lambda", "get-function", "--function-name", "nope")
    assert "ResourceNotFoundException" in done.stderr
    assert 255 == done.returncode


def test_env_is_for_a_shell_to_evaluate(platform: Platform) -> None:
    """`eval "$(casemate env)"` is all that the aws CLI needs."""
    script = (
        f'eval "$({CASEMATE} env --data {platform.data})" && '
        f"{BIN}/aws sts get-caller-identity && {BIN}/aws casemate list-runtimes"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": "/root"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr


def test_an_interrupt_is_quiet(platform: Platform, said: str) -> None:
    """A person's Ctrl-C at a terminal ends the words, with no traceback."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(  # noqa: S606 — our own program, on a terminal of its own
            CASEMATE,
            ["casemate", "logs", said, "--follow"],
            {"PATH": os.environ["PATH"], **platform.variables},
        )
    seen = b""
    while b"START" not in seen:
        seen += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # its end, on a terminal
        while more := os.read(terminal, 65536):
            seen += more
    _, status = os.waitpid(pid, 0)
    os.close(terminal)

    assert 130 == os.waitstatus_to_exitcode(status)
    # The function's own tracebacks are in its log; ours would name our files.
    assert b"casemate/cli" not in seen
