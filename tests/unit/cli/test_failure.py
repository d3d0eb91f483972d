"""Every failure in one line that says what to do."""

from __future__ import annotations

import botocore.exceptions
import pytest

from casemate.cli.failure import told


def _refusal(code: str, message: str) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "RequestId": "the-id",
                "HTTPStatusCode": 400,
                "HTTPHeaders": {},
                "RetryAttempts": 0,
                "HostId": "",
            },
        },
        "Invoke",
    )


def test_a_refusal_is_its_code_and_reason() -> None:
    assert "NotFound: no `x`" == told(_refusal("NotFound", "no `x`"))
    assert "NotFound" == told(_refusal("NotFound", ""))


def test_a_denial_says_how_to_learn_more() -> None:
    assert "`casemate why the-id`" in told(_refusal("AccessDeniedException", "no"))


def test_a_session_that_has_ended_says_how_to_get_another() -> None:
    assert "casemate env" in told(_refusal("ExpiredTokenException", "expired"))


def test_what_a_tenant_named_cannot_pose_as_another_line() -> None:
    line = told(_refusal("NotFound", "a\nb\x1b[2Jc"))

    assert "NotFound: a b\ufffd[2Jc" == line


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"),
        botocore.exceptions.SSLError(endpoint_url="https://x", error="e"),
        botocore.exceptions.NoCredentialsError(),
        botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"),
    ],
)
def test_what_goes_wrong_on_the_way_says_what_to_do(error: Exception) -> None:
    line = told(error)

    assert "`" in line.partition(";")[2]
    assert "\n" not in line


def test_an_error_without_words_has_a_name() -> None:
    assert "ValueError" == told(ValueError())
