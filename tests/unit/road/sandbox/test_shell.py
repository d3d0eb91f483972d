"""The script that a waiting shell reads, run by a real shell."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.road.sandbox.environment import environment
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.shell import UnfitEnvironmentError, command, script
from unit.road.sandbox.function_version import FUNCTION

NAMES = st.from_regex(r"X[A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
TELL = "import os,json;print(json.dumps({k:v for k,v in os.environ.items()}))"
SETTINGS = Settings(region="us-east-1", runtimes=("python3.11",))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_values_arrive_as_they_are(variables: dict[str, str]) -> None:
    """No value ends its quotes, starts a command or loses a character (R10)."""
    text = script(variables, f"exec {sys.executable} -IX utf8 -c '{TELL}'\n")
    done = subprocess.run(
        ["/bin/sh", "-s"], input=text, capture_output=True, check=True, env={}
    )
    told = json.loads(done.stdout)
    assert {name: told[name] for name in variables} == variables


@pytest.mark.parametrize("name", ["a b", "x;y", "", "1x", "a\nb", "x=", "$(id)"])
def test_names_that_are_no_names(name: str) -> None:
    """A name that could be a command is refused."""
    with pytest.raises(UnfitEnvironmentError):
        script({name: "v"}, "")


def test_nul_has_no_place() -> None:
    """Nor has a value that no environment can hold."""
    with pytest.raises(UnfitEnvironmentError):
        script({"A": "a\0b"}, "")


def test_commands_take_the_shells_place() -> None:
    """The runtime is exec'd with no input of the node's."""
    assert command("nodejs20.x", 1000) == (
        "cd /var/task\nexec /usr/bin/node --max-old-space-size=900 "
        "/var/runtime/casemate_cell/node/index.mjs </dev/null\n"
    )
    assert "exec /var/task/bootstrap </dev/null" in command("provided.al2023", 128)


def test_function_cannot_replace_what_the_platform_says() -> None:
    """Defaults may be replaced; facts and credentials never (S24)."""
    mine = {"PATH": "/mine", "AWS_REGION": "x", "AWS_ACCESS_KEY_ID": "x"}
    function = replace(FUNCTION, environment={**mine, "_HANDLER": "x"})
    credentials = {"AWS_ACCESS_KEY_ID": "ASIA"}
    made = environment(function, credentials, "stream", SETTINGS)
    assert made["PATH"] == "/mine"
    assert made["AWS_REGION"] == "us-east-1"
    assert made["AWS_ACCESS_KEY_ID"] == "ASIA"
    assert made["_HANDLER"] == "app.handler"


def test_environment_by_runtime() -> None:
    """Each runtime is told what Lambda tells it."""
    provided = replace(FUNCTION, runtime="provided.al2023")
    node = replace(FUNCTION, runtime="nodejs20.x")
    assert "AWS_EXECUTION_ENV" not in environment(provided, {}, "s", SETTINGS)
    assert "AWS_LAMBDA_RUNTIME_API" not in environment(FUNCTION, {}, "s", SETTINGS)
    assert "node20" in environment(node, {}, "s", SETTINGS)["NODE_PATH"]
