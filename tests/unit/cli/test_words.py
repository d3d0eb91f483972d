"""The words themselves, where no platform is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from casemate import __version__
from casemate.cli.session import Session
from casemate.cli.up import warden_command

BIN = Path(sys.executable).parent
NOBODY = 65_534
WORDS = (
    *("up", "doctor", "env", "aws", "status", "invoke", "logs", "why"),
    "rollback",
    *("account", "audit", "quarantine"),
)


def _casemate(
    *words: str, user: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "casemate", *words],
        env={"PATH": os.environ["PATH"], **variables},
        user=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_the_version_is_said() -> None:
    assert f"casemate {__version__}\n" == _casemate("--version").stdout


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_names_every_word(words: tuple[str, ...]) -> None:
    done = _casemate(*words)

    assert 0 == done.returncode
    assert all(f"  {word} " in done.stdout for word in WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_help_without_root(word: str) -> None:
    done = _casemate(word, "--help", user=NOBODY)

    assert 0 == done.returncode, done.stderr
    assert done.stdout


def test_up_without_root_is_one_line() -> None:
    done = _casemate("up", user=NOBODY)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("casemate: `up` needs root")
    assert 1 == done.stderr.count("\n")


def test_what_is_not_understood_is_one_line_and_exit_2() -> None:
    done = _casemate("logs", "--nope")

    assert (2, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("\n")
    assert "casemate logs --help" in done.stderr


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (("--region", "Europe"), "`Europe` is not the name of a region"),
        (("--region", "us-east-1; id"), "is not the name of a region"),
        (("--grace", "soon"), "`soon` is not a whole number"),
        (("--nope",), "--nope"),
        (("doctor",), "doctor"),
    ],
)
def test_a_start_that_is_not_understood_is_one_line(
    words: tuple[str, ...], tells: str
) -> None:
    done = _casemate("up", *words)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("casemate: ")
    assert done.stderr.endswith("`casemate up --help` tells the words\n")
    assert 1 == done.stderr.count("\n")
    assert tells in done.stderr


def test_the_help_of_up_tells_the_defaults() -> None:
    told = " ".join(_casemate("up", "--help", user=NOBODY).stdout.split())

    for default in ("CASEMATE_DATA, or /var/lib/casemate", "us-east-1", "30", "2"):
        assert f"(default: {default})" in told


def test_a_root_key_that_cannot_be_one_is_all_that_is_said() -> None:
    """Before the host is graded, and before anything is made."""
    done = _casemate("up", "--data", "/nowhere", "--root-key-file", "/nowhere/key")

    assert (1, "") == (done.returncode, done.stdout)
    assert "casemate: --root-key-file /nowhere/key: No such file" in done.stderr
    assert 1 == done.stderr.count("\n")
    assert not Path("/nowhere").exists()


def test_a_shell_does_not_go_on_where_no_platform_is() -> None:
    """Without the variables, the next words would reach the real AWS."""
    for words in ("--data /nowhere", "--nope"):
        script = f'eval "$({BIN}/casemate env {words})" && echo went on'
        done = subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=False
        )

        assert (1, "") == (done.returncode, done.stdout)
        assert 1 == done.stderr.count("\n")


def test_a_platform_that_ended_is_waited_for_no_longer(tmp_path: Path) -> None:
    """Seen by the process that holds the folder; that it waits is said once."""
    with subprocess.Popen(["/bin/sleep", "60"]) as holder:
        (tmp_path / "lock").write_text(f"{holder.pid}\n")
        with subprocess.Popen(
            [BIN / "casemate", "env", "--data", str(tmp_path), "--wait", "60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting:
            assert waiting.stderr
            said = waiting.stderr.readline()
            time.sleep(0.2)  # it looks every 50 ms; nothing tells that it has
            holder.kill()
            holder.wait()
            printed, rest = waiting.communicate(timeout=10)

    assert said.startswith("casemate: waiting up to 60 s")
    assert "ended before it served" in rest
    assert 1 == rest.count("\n")
    assert (1, "false\n") == (waiting.returncode, printed)


def test_logs_of_no_time_are_refused() -> None:
    for minutes in ("0", "-5"):
        done = _casemate("logs", "x", "--since", minutes)

        assert (2, "") == (done.returncode, done.stdout)
        assert "--since" in done.stderr


def test_a_stopped_platform_s_record_is_verified_offline() -> None:
    gone = {
        "AWS_ENDPOINT_URL": "https://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for variables in (gone, {"CASEMATE_DATA": "/nowhere"}):
        done = _casemate("audit", "verify", user=None, **variables)

        assert (1, "") == (done.returncode, done.stdout)
        assert "casemate audit verify --offline" in done.stderr
        assert 1 == done.stderr.count("\n")


def test_help_of_the_words_loads_no_client() -> None:
    """What makes help slow is boto3: only words that call the platform load it."""
    script = (
        "import sys; from casemate.cli.words import run\n"
        "try: run(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'boto3', 'botocore', 'uvloop', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False
    )

    assert 0 == done.returncode


def test_the_folder_of_the_environment_is_kept_by_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`casemate up` and `casemate env` mean the same folder."""
    monkeypatch.setenv("CASEMATE_DATA", "/srv/casemate")

    assert ["--data", "/srv/casemate"] == warden_command("up", [])[-2:]
    assert ["--data", "/x"] == warden_command("up", ["--data", "/x"])[-2:]
    assert "/srv/casemate" not in warden_command("up", ["--data=/x"])


def test_exports_survive_a_shell() -> None:
    """No value ends its quotes."""
    hostile = "'; touch /tmp/x; echo '$(id)`id`\\"
    lines = Session(variables={"NAME": hostile}).exports()

    done = subprocess.run(
        ["/bin/sh", "-c", f'{lines}\nprintf %s "$NAME"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert hostile == done.stdout
