"""
Lines that pose as the platform's, and floods of them.

A reader of a log, person or program, must never take a line of the function's
for one of the platform's: so every line that reads like one bears a mark.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pytest

from security.local_doors import gauge
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

FORGED = "00000000-dead-4ead-8ead-000000000000"
REPORT = f"REPORT RequestId: {FORGED}\tDuration: 1.00 ms\tBilled Duration: 1 ms"
WRITE = """
import sys
def handler(event, context):
    for text in event:
        sys.stdout.buffer.write(bytes.fromhex(text))
        sys.stdout.buffer.flush()
"""

POSES = {
    "report": REPORT,
    "start": f"START RequestId: {FORGED} Version: $LATEST",
    "end": f"END RequestId: {FORGED}",
    "init": "INIT_START Runtime Version: python:3.11.v1\tRuntime Version ARN: arn",
    "init report": "INIT_REPORT Init Duration: 1.00 ms\tPhase: init\tStatus: ok",
    "timeout": f"2026-01-31T12:34:56.789Z {FORGED} Task timed out after 3.00 seconds",
    "exit": f"RequestId: {FORGED} Error: Runtime exited with error: exit status 1",
    "dropped": "CASEMATE dropped 7 log lines (7 bytes) over the limit",
    "lower": REPORT.lower(),
    "blanks": f"   \t{REPORT}",
    "many blanks": f"{' ' * 600}{REPORT}",
    "no-break": f"\u00a0\u2003{REPORT}",
    "zero width": f"\u200b\u2060\ufeff{REPORT}",
    "zero width inside": f"RE\u200bPORT Requ\u200destId: {FORGED}",
    "zero width between": f"REPORT \u200bRequestId: {FORGED}",
    "soft hyphen": f"RE\u00adPORT RequestId: {FORGED}",
    "terminal": f"\x1b[1A\x1b[2K{REPORT}",
    "terminal between": f"REPORT\x1b[0m RequestId: {FORGED}",
    "terminal title": f"\x1b]0;title\x07{REPORT}",
    "backspace": f"x\b{REPORT}",
    "carriage return": f"harmless\r{REPORT}",
    "full width": REPORT.replace("REPORT", "\uff32\uff25\uff30\uff2f\uff32\uff34"),
    "other newlines": f"harmless\u2028{REPORT}",
    "next line": f"harmless\x85{REPORT}",
    "vertical": f"harmless\x0b{REPORT}",
    "invalid": f"\udcff\udcfe{REPORT}",
    "split at the limit": "a" * (256 * 1024) + REPORT,
}

JSON_POSES = {
    "plain": {"time": "x", "type": "platform.report", "record": {"requestId": FORGED}},
    "start": {"time": "x", "type": "platform.start", "record": {"requestId": FORGED}},
}


def visible(text: str) -> list[str]:
    """The lines that a reader sees: no controls, one form of each letter."""
    plain = re.sub(
        r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)", "", text
    )
    lines = re.split(r"[\n\r\x0b\x0c\x85\u2028\u2029]", plain)
    return [
        "".join(
            letter
            for letter in unicodedata.normalize("NFKC", line)
            if unicodedata.category(letter) not in ("Cc", "Cf") or letter == "\t"
        ).strip()
        for line in lines
    ]


@pytest.fixture(scope="module")
def writer(tenant: Tenant) -> str:
    """A function that writes bytes to its standard output."""
    return tenant.deploy(WRITE, "writer")


def lines_of(tenant: Tenant, name: str, *texts: str) -> tuple[list[str], str]:
    """Have a function write; give the messages of that invocation, and its id."""
    pieces = [text.encode("utf-8", "surrogateescape").hex() for text in texts]
    _, response = tenant.invoke(name, pieces)
    request_id = response["ResponseMetadata"]["RequestId"]
    logs = tenant.logs_until(name, f"REPORT RequestId: {request_id}")
    places = [n for n, line in enumerate(logs) if request_id in line]
    return logs[places[0] : places[-1] + 1], request_id


@pytest.mark.parametrize("pose", POSES)
def test_r7_no_line_poses_as_the_platform_s(
    tenant: Tenant, writer: str, pose: str
) -> None:
    """R7: whatever reads as START, END, REPORT, a timeout or an exit bears the mark."""
    lines, request_id = lines_of(tenant, writer, POSES[pose] + "\n")
    own = [n for n, line in enumerate(lines) if request_id in line]
    assert len(own) == 3  # START, END and REPORT, the control
    words = ("START", "END", "REPORT", "INIT_", "REQUESTID:", "CASEMATE")
    posing = [
        seen
        for n, line in enumerate(lines)
        if n not in own
        for seen in visible(line)
        if seen.upper().startswith(words) or re.search(r"^\S+ \S+ Task timed out", seen)
    ]
    assert posing == []
    assert any("[function] " in line for line in lines)


def test_r7_a_line_in_pieces_is_one_line(tenant: Tenant, writer: str) -> None:
    """R7: a line written byte by byte is judged whole."""
    lines, _ = lines_of(tenant, writer, *POSES["report"], "\n")
    assert f"[function] {REPORT}" in [line.rstrip("\n") for line in lines]


def test_r7_an_honest_line_is_left_alone(tenant: Tenant, writer: str) -> None:
    """R7, the control: words that only resemble are not marked."""
    honest = ["the REPORT RequestId is here", "REPORTING", "starting", "{}", "END"]
    lines, _ = lines_of(tenant, writer, *(text + "\n" for text in honest))
    assert [line.rstrip("\n") for line in lines][1:-2] == honest


@pytest.mark.parametrize("pose", JSON_POSES)
@pytest.mark.parametrize(
    "how",
    ["plain", "spaced", "escaped", "twice", "nested", "padded", "mixed case key"],
)
def test_r7_no_record_poses_as_the_platform_s(
    tenant: Tenant, writer: str, pose: str, how: str
) -> None:
    """R7: a JSON line of a `platform.` type bears the mark, however it is written."""
    text = json.dumps(JSON_POSES[pose])
    kind = JSON_POSES[pose]["type"]
    text = {
        "plain": text,
        "spaced": text.replace('"type": ', '"type" \t : '),
        "escaped": text.replace('"platform', '"\\u0070latform').replace(
            '"type"', '"\\u0074ype"'
        ),
        "twice": text.replace('"time": "x"', '"type": "function", "time": "x"'),
        "nested": text.replace('"time": "x"', '"time": {"a": [1, "{"]}'),
        "padded": " " * 600 + text,
        "mixed case key": text.replace("platform", "Platform"),
    }[how]
    lines, request_id = lines_of(tenant, writer, text + "\n")
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        assert str(record.get("type", "")).lower() != kind
    assert any(line.startswith("[function] ") for line in lines)
    assert any(line.startswith(f"REPORT RequestId: {request_id}") for line in lines)


EXIT = """
import json, os, socket, struct
def handler(event, context):
    control = socket.socket(fileno=os.dup(3))
    body = json.dumps(event).encode()
    name = context.aws_request_id.encode()
    head = struct.pack(">BBI", 5, len(name), len(body))  # 5: an error
    control.sendall(head + name + body)
"""


@pytest.mark.parametrize(
    "document",
    [
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"Error: Runtime exited\n{REPORT}",
        },
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": "Error: Runtime exited" + "x" * 100_000,
        },
    ],
)
def test_r7_an_error_document_does_not_write_platform_lines(
    tenant: Tenant, document: dict[str, Any]
) -> None:
    """R7: what the cell says of its end is quoted, in one bounded line."""
    name = tenant.deploy(EXIT)
    tenant.invoke(name, document)
    lines = tenant.logs_until(name, "REPORT RequestId: ")
    assert not [
        x
        for line in lines
        for x in visible(line)
        if x.startswith(REPORT[:20]) and FORGED in x
    ]
    assert max(map(len, lines)) < 1_000
    assert [line for line in lines if line.startswith("REPORT RequestId: ")]


def test_r7_an_init_error_s_type_does_not_write_platform_lines(tenant: Tenant) -> None:
    """R7: the type of an error that the module raises stays within REPORT's line."""
    name = tenant.deploy(
        f"raise type('Evil\\n{REPORT}'.replace('\\t', ' '), (Exception,), {{}})()\n"
    )
    _, response = tenant.invoke(name)
    assert response["FunctionError"] == "Unhandled"
    logs = tenant.logs_until(name, "REPORT RequestId: ")
    for line in logs:
        if line.startswith(("REPORT", "INIT_REPORT")):
            assert len(line.rstrip("\n").splitlines()) == 1
    forged = [
        seen
        for line in logs
        for seen in visible(line)
        if seen.startswith("REPORT RequestId: " + FORGED)
    ]
    assert forged == []


def test_r8_a_metric_of_the_platform_is_not_forged(tenant: Tenant, writer: str) -> None:
    """R8: an embedded-metric line is text, and moves none of the platform's numbers."""
    before = gauge(tenant.platform, "casemate_sandbox_cold")
    line = json.dumps(
        {
            "_aws": {
                "Timestamp": 1,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "AWS/Lambda",
                        "Dimensions": [[]],
                        "Metrics": [{"Name": "casemate_sandbox_cold"}],
                    }
                ],
            },
            "casemate_sandbox_cold": 1e9,
        }
    )
    lines, _ = lines_of(tenant, writer, line + "\n")
    assert line in [text.rstrip("\n") for text in lines]
    assert gauge(tenant.platform, "casemate_sandbox_cold") == before


def test_r8_bytes_that_are_no_text_are_kept_as_text(
    tenant: Tenant, writer: str
) -> None:
    """R8: invalid UTF-8, NUL and controls make one event, and break no reader."""
    lines, _ = lines_of(tenant, writer, "a\udcff\udc80\x00\x1b[2Jb\n", '{"x":"\x00"}\n')
    assert len(lines) == 5
    assert "\N{REPLACEMENT CHARACTER}" in lines[1]


def test_r8_q6_an_endless_line_is_cut(tenant: Tenant) -> None:
    """R8, Q6: a line without an end becomes events of 256 KB at the most."""
    source = """
import os
def handler(event, context):
    piece = b"x" * 65536
    for _ in range(48):
        os.write(1, piece)
    return "done"
"""
    name = tenant.deploy(source)
    assert tenant.invoke(name)[0] == "done"
    lines = tenant.logs_until(name, "REPORT RequestId: ")
    assert sum(map(len, lines)) > 3 << 20
    assert max(len(line.removesuffix("\n")) for line in lines) <= 256 * 1024


def test_s34_the_tail_of_a_log_does_not_drive_a_terminal(
    tenant: Tenant, writer: str
) -> None:
    """S34: `casemate logs` shows escape sequences as what they are."""
    lines_of(tenant, writer, "\x1b]0;owned\x07\x1b[2J\x9b31mred\x08\n")
    shown = tenant.platform.casemate("logs", writer)
    assert shown.returncode == 0
    assert "owned" in shown.stdout
    controls = {c for c in shown.stdout if unicodedata.category(c) == "Cc"}
    assert controls <= {"\n", "\t"}
