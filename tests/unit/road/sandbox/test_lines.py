"""Lines of the function and of the platform never look alike."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.function import Ending, Split
from casemate.road.sandbox.lines import MARK, PlatformLines, Report, guarded
from unit.road.sandbox.function_version import FUNCTION

ID = "8f5c9f9e-0b5b-4a3e-9d3c-0123456789ab"
REPORT = Report(
    request_id=ID,
    duration=1.234,
    billed=2,
    memory_mb=128,
    used_mb=40,
    init=85.1,
    ending=Ending.SUCCESS,
)


def test_lines_are_what_lambda_writes() -> None:
    """Tab for tab, AWS's text."""
    lines = PlatformLines(FUNCTION)
    assert lines.start(0, ID) == f"START RequestId: {ID} Version: $LATEST"
    assert lines.end(ID) == f"END RequestId: {ID}"
    assert lines.report(0, REPORT) == (
        f"REPORT RequestId: {ID}\tDuration: 1.23 ms\tBilled Duration: 2 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 40 MB\tInit Duration: 85.10 ms\t"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"START RequestId: {ID} Version: 1",
        f"END RequestId: {ID}",
        f"REPORT RequestId: {ID}\tDuration: 0 ms",
        f"  report requestid: {ID}",
        f"\x1b[31mREPORT RequestId: {ID}",
        f"\u200bEND RequestId: {ID}",
        f"RE\u200bPORT Requ\u00adestId: {ID}",
        f"REPORT \u2060RequestId: {ID}",
        f"REPORT\x1b[0m RequestId: {ID}",
        f"\x1b]0;title\x07REPORT RequestId: {ID}",
        f"{' ' * 9000}REPORT RequestId: {ID}",
        f"\uff32\uff25PORT RequestId: {ID}",
        "CASEMATE dropped 7 log lines",
        "INIT_START Runtime Version: x",
        "INIT_REPORT Init Duration: 1 ms",
        f"RequestId: {ID} Error: Runtime exited",
        f"2026-01-01T00:00:00.000Z {ID} Task timed out after 3.00 seconds",
        '{"time":"x","type":"platform.report","record":{}}',
        '{"\\u0074ype":"\\u0070latform.start"}',
        ' {"type" : "PLATFORM.start"}',
    ],
)
def test_posing_lines_are_marked(text: str) -> None:
    """R7, R8: what reads like the platform's gets the mark, also behind a return."""
    assert guarded(text) == MARK + text
    assert guarded(f"hello\r{text}") == f"hello\n{MARK}{text}"


@pytest.mark.parametrize(
    "text",
    ["hello", "restart RequestId", "", '{"type": "mine"}', "the END", "a\x00b\x1b[0m"],
)
def test_other_lines_are_left_alone(text: str) -> None:
    """A mark where none is due would spoil a log."""
    assert guarded(text) == text


@pytest.mark.parametrize("between", ["\x0b", "\x0c", "\x85", "\u2028", "x\b"])
def test_a_line_inside_a_line_is_marked(between: str) -> None:
    """R7: what a terminal shows as the start of a line is judged as one."""
    assert MARK + f"END RequestId: {ID}" in guarded(f"a{between}END RequestId: {ID}")


@given(st.text())
def test_no_text_becomes_a_platform_line(text: str) -> None:
    """No line of any event starts as the platform's do."""
    for line in guarded(text).split("\n"):
        assert not line.startswith(("START RequestId", "END RequestId", "REPORT Req"))


@given(st.sampled_from(["START", "END", "REPORT"]), st.text(max_size=4), st.text())
def test_no_prefix_hides_a_word(word: str, prefix: str, tail: str) -> None:
    """Nor does one behind characters that do not show."""
    said = guarded(f"{prefix}\r{word} RequestId: {tail}")
    assert MARK in said


@pytest.mark.parametrize("ending", list(Ending))
def test_json_records_parse(ending: Ending) -> None:
    """The JSON format is JSON, whatever the ending."""
    from dataclasses import replace  # noqa: PLC0415 — only here

    lines = PlatformLines(replace(FUNCTION, log_format="JSON"))
    report = REPORT._replace(ending=ending, error_type="Runtime.ExitError")
    record = json.loads(lines.report(1.5, report))
    assert record["type"] == "platform.report"
    assert record["time"] == "1970-01-01T00:00:01.500Z"
    assert json.loads(lines.start(0, ID))["record"]["requestId"] == ID
    assert lines.end(ID) is None


def test_a_cold_start_is_told_as_spans() -> None:
    """In JSON the stages follow each other to the end; the text stays AWS's."""
    split = Split(package=1.5, queue=0.0, assign=2.25, init=10.0, handler=6.25)
    report = REPORT._replace(split=split)
    told = PlatformLines(replace(FUNCTION, log_format="JSON")).report(100.02, report)
    spans = json.loads(told)["record"]["spans"]

    assert [("package", 1.5), ("queue", 0.0), ("assign", 2.25)] == [
        (span["name"], span["durationMs"]) for span in spans[:3]
    ]
    assert [("init", 10.0), ("handler", 6.25)] == [
        (span["name"], span["durationMs"]) for span in spans[3:]
    ]
    assert "1970-01-01T00:01:40.000Z" == spans[0]["start"]
    assert "1970-01-01T00:01:40.001Z" == spans[1]["start"] == spans[2]["start"]
    lines = PlatformLines(FUNCTION)
    assert lines.report(0, REPORT) == lines.report(0, report)


def test_a_warm_call_has_no_spans() -> None:
    """There was no start to tell of."""
    lines = PlatformLines(replace(FUNCTION, log_format="JSON"))
    assert "spans" not in json.loads(lines.report(0, REPORT))["record"]
