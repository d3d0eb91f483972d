"""A caller who leaves does not undo what it asked for."""

from __future__ import annotations

import time

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from platform_harness import Platform

SOURCE = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    print("finished", event["name"])
"""
PATIENCE = 15.0


def test_the_function_ends_its_work(platform: Platform) -> None:
    """A function whose caller hangs up runs to its end and is reported, as on AWS."""
    role = platform.role("leaver")
    platform.function("leaver", SOURCE, role=role)
    platform.invoke("leaver", {"seconds": 0, "name": "warm"})
    variables = platform.variables
    hasty = botocore.session.Session().create_client(
        "lambda",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        verify=variables["AWS_CA_BUNDLE"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
        config=Config(read_timeout=1, retries={"total_max_attempts": 1}),
    )

    with pytest.raises(ReadTimeoutError):
        hasty.invoke(
            FunctionName="leaver", Payload=b'{"seconds": 1.5, "name": "alone"}'
        )

    end = time.monotonic() + PATIENCE
    while "finished alone" not in (told := platform.casemate("logs", "leaver").stdout):
        assert time.monotonic() < end, told
    assert 2 == told.count("REPORT RequestId")
