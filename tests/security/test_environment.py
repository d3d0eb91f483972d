"""Secrets of a function: what may be set, and who can read it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from security.local_doors import processes_of
from security.probe import Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

RESERVED = [
    *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
    *("AWS_CA_BUNDLE", "AWS_EXECUTION_ENV", "AWS_LAMBDA_RUNTIME_API"),
    *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
    *("AWS_LAMBDA_INITIALIZATION_TYPE", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
]
ODD = ["1X", "A-B", "A=B", "A B", "A\nB", "", "X\x00", "BASH_FUNC_x%%", "\u0130X"]


@pytest.mark.parametrize("name", RESERVED)
def test_s24_reserved_names_are_refused(tenant: Tenant, name: str) -> None:
    """S24: what the platform sets cannot be set, at the start or by an update."""
    variables = {"Variables": {name: "evil"}}
    refused = tenant.refused(
        lambda: tenant.create("def handler(e, c): pass", "s24", Environment=variables)
    )
    # Names that begin with `_` are none by Lambda's own model.
    if name.startswith("_"):
        assert refused.code == "ValidationException"
    else:
        assert refused.code == "InvalidParameterValueException"
        assert name in refused.message
    assert "evil" not in str(refused.record)
    functions = tenant.client("lambda")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName="s24")


@pytest.mark.parametrize("name", ODD)
def test_s24_odd_names_are_refused(tenant: Tenant, name: str) -> None:
    """S24: a name that is none is refused before anything can trip over it."""
    variables = {"Variables": {name: "evil"}}
    refused = tenant.refused(
        lambda: tenant.create("def handler(e, c): pass", "s24", Environment=variables)
    )
    assert refused.status == 400


def test_s24_an_update_is_held_to_the_same(tenant: Tenant) -> None:
    """S24: a refused update changes nothing."""
    name = tenant.deploy("import os\ndef handler(e, c): return os.environ.get('OWN')\n")
    refused = tenant.refused(
        tenant.client("lambda").update_function_configuration,
        FunctionName=name,
        Environment={"Variables": {"OWN": "1", "AWS_SESSION_TOKEN": "evil"}},
    )
    assert refused.code == "InvalidParameterValueException"
    assert tenant.invoke(name)[0] is None


@pytest.mark.parametrize(
    "variables",
    [
        {"LD_PRELOAD": "/var/task/evil.so", "LD_AUDIT": "/var/task/evil.so"},
        {"PYTHONHOME": "/opt", "PYTHONPATH": "/opt", "PYTHONSTARTUP": "/var/task/x"},
        {"PYTHONHASHSEED": "0", "PYTHONINSPECT": "1"},
        {"GCONV_PATH": "/opt", "LOCPATH": "/opt", "GLIBC_TUNABLES": "x"},
    ],
)
def test_s24_loader_variables_do_not_steer_the_runtime(
    tenant: Tenant, variables: dict[str, str]
) -> None:
    """S24: the function has them, and was under its limits before it did."""
    source = """
import os, sys
def handler(event, context):
    return [all(os.environ[k] == v for k, v in event.items()),
            sys.flags.hash_randomization, sys.prefix, sys.flags.inspect]
"""
    name = tenant.deploy(source, Environment={"Variables": variables})
    assert tenant.invoke(name, variables)[0] == [True, 1, "/usr", 0]


def test_s24_node_options_reach_only_the_cell(tenant: Tenant) -> None:
    """S24: `--require` runs in the function's own cell, under its filter."""
    files: dict[str, str | bytes] = {
        "index.js": "exports.handler = async () => globalThis.early;",
        "early.js": "globalThis.early = require('fs')"
        ".readFileSync('/proc/self/status', 'utf8').match(/Seccomp:\\s+(\\d)/)[1];",
    }
    name = tenant.deploy(
        files,
        Runtime="nodejs20.x",
        Handler="index.handler",
        Environment={"Variables": {"NODE_OPTIONS": "--require /var/task/early.js"}},
    )
    assert tenant.invoke(name)[0] == "2"


@pytest.mark.parametrize("runtime", ["python3.11", "nodejs20.x"])
def test_r10_a_variable_is_in_no_command_line(tenant: Tenant, runtime: str) -> None:
    """R10: no process of the host shows a tenant's variables by its arguments."""
    canary = secrets.token_hex(16)
    files: dict[str, str | bytes] = {
        "handler.py": "import os\ndef handler(e, c): return os.environ['OWN']\n",
        "index.js": "exports.handler = async () => process.env.OWN;",
    }
    handler = "handler.handler" if runtime.startswith("python") else "index.handler"
    name = tenant.deploy(
        files,
        Runtime=runtime,
        Handler=handler,
        Environment={"Variables": {"OWN": canary}},
    )
    assert tenant.invoke(name)[0] == canary
    shown = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes()
                uid = entry.stat().st_uid
                if uid < 1_000_000_000:  # the cell's own is its own
                    text += (entry / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if canary.encode() in text:
                shown.append(entry.name)
    assert shown == []


def test_r10_a_variable_is_not_in_the_record_or_an_error(tenant: Tenant) -> None:
    """R10: neither the audit record nor a refusal repeats a value."""
    canary = secrets.token_hex(16)
    variables = {"Variables": {"OWN": canary, "AWS_REGION": canary}}
    refused = tenant.refused(
        lambda: tenant.create("def handler(e, c): pass", Environment=variables)
    )
    assert canary not in refused.message
    assert canary not in str(refused.record)


def test_r10_one_tenant_does_not_see_another_s(
    tenant: Tenant, other_probe: Probe
) -> None:
    """R10: a second account's code finds the value nowhere that it can read."""
    canary = secrets.token_hex(16)
    held = Probe(tenant, "r10", Environment={"Variables": {"OWN": canary}})
    first = int(held.said("open('/proc/self/uid_map').read().split()[1]"))
    assert held.said("os.environ['OWN']") == canary
    assert processes_of(first)
    found: Any = other_probe.run(
        """
        needle, answer = event["half"].encode(), []
        for top, folders, files in os.walk("/"):
            if top.startswith(("/proc", "/usr", "/dev", "/var/runtime")):
                folders[:] = []
                continue
            for name in files:
                path = os.path.join(top, name)
                if needle in open(path, "rb").read():
                    answer.append(path)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("environ", "cmdline"):
                try:
                    if needle in open(f"/proc/{pid}/{name}", "rb").read():
                        answer.append(pid)
                except OSError:
                    pass
        """,
        half=canary[:16],
    )
    assert found == []
