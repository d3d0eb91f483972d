"""Where the time of a cold start went, told by a running platform."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from platform_harness import Platform
from security.local_doors import scraped

STAGES = ["package", "queue", "assign", "init", "handler"]
SOURCE = """
import time
time.sleep(0.05)

def handler(event, context):
    time.sleep(0.02)
"""
COUNT = re.compile(r'casemate_start_seconds_count\{stage="(\w+)"\} (\d+)')


def _counts(platform: Platform) -> dict[str, int]:
    return {stage: int(n) for stage, n in COUNT.findall(scraped(platform))}


def _house(own: Any, request: str) -> dict[str, Any]:
    record = json.loads(own.explain_request(RequestId=request)["Record"])
    house: dict[str, Any] = record["additionalEventData"]
    return house


def test_the_split_is_in_the_record_the_metrics_and_the_story(
    platform: Platform, own: Any, role: str
) -> None:
    """Of the cold call; the warm one after it has none, and counts nothing."""
    platform.function("chilly", SOURCE, role=role)
    before = _counts(platform)
    cold = platform.invoke("chilly")[1]["ResponseMetadata"]["RequestId"]
    counted = _counts(platform)
    warm = platform.invoke("chilly")[1]["ResponseMetadata"]["RequestId"]

    assert {stage: before.get(stage, 0) + 1 for stage in STAGES} == counted
    assert counted == _counts(platform)
    house = _house(own, cold)
    start = house["notes"]["start"]
    assert set(STAGES) == set(start)
    assert start["init"] >= 50
    assert start["handler"] >= 20
    assert sum(start.values()) * 1000 <= house["rooms"]["dispatch"]
    assert "notes" not in _house(own, warm)
    story = platform.casemate("why", cold).stdout
    assert STAGES == re.findall(r"^cold +(\w+) +\d+\.\d\d ms$", story, re.MULTILINE)
    assert "cold " not in platform.casemate("why", warm).stdout


def test_the_json_report_has_spans(platform: Platform, role: str) -> None:
    """In AWS's form; the text format's REPORT stays AWS's own."""
    json_format = {"LogFormat": "JSON"}
    platform.function("frosty", SOURCE, role=role, LoggingConfig=json_format)
    told = platform.invoke("frosty", LogType="Tail")[1]["LogResult"]
    lines = [json.loads(line) for line in base64.b64decode(told).splitlines()]
    [report] = [line["record"] for line in lines if line["type"] == "platform.report"]
    spans = {span["name"]: span["durationMs"] for span in report["spans"]}

    assert STAGES == list(spans)
    assert spans["init"] == report["metrics"]["initDurationMs"]
    assert spans["handler"] == report["metrics"]["durationMs"]
