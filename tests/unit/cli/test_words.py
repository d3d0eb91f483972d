"""The words themselves, where no platform is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casemate import __version__
from casemate.cli.session import Session
from casemate.cli.up import warden_command

BIN = Path(sys.executable).parent
NOBODY = 65_534
WORDS = (
    *("up", "doctor", "env", "aws", "status", "invoke", "logs", "why"),
    *("account", "audit"),
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
