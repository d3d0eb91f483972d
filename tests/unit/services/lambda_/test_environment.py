"""Laws of environment variables."""

from __future__ import annotations

import pytest

from casemate.core.errors import Invalid
from casemate.services.lambda_.environment import LIMIT, RESERVED, check

SECRETS = {
    "AWS": "AKIA" + "ABCDEFGH234567AB",
    "PEM": "-----BEGIN " + "RSA PRIVATE KEY-----\nMII",
    "PKCS8": "-----BEGIN " + "PRIVATE KEY-----",
    "GITHUB": "ghp_" + "a1" * 18,
    "SLACK": "xoxb-" + "1234567890-abcdefghij",
    "STRIPE": "sk_live_" + "a1" * 12,
}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_refused_as_aws_does(name: str) -> None:
    """The platform's own variables cannot be set."""
    with pytest.raises(Invalid, match=f"Reserved keys used in this request: {name}"):
        check({name: "x", "GOOD": "y"})


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "AWS_XRAY_DEBUG_MODE",
        "LANG",
        "Ab",
    ],
)
def test_what_aws_allows_is_allowed(name: str) -> None:
    """It reaches the tenant's own process only."""
    assert {name: "x"} == check({name: "x"})


def test_a_wrapper_is_refused_by_name() -> None:
    """What would be accepted and not run is refused."""
    with pytest.raises(Invalid, match="AWS_LAMBDA_EXEC_WRAPPER"):
        check({"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"})


@pytest.mark.parametrize("name", ["", "A", "1A", "_A", "A-B", "A B", "A\n", "Ä1"])
def test_a_name_has_awss_form(name: str) -> None:
    """A letter, then letters, digits and underscores, at least one."""
    with pytest.raises(Invalid):
        check({name: "x"})


def test_all_together_take_4096_bytes() -> None:
    """Measured as JSON: `{"AB":"…"}`."""
    frame = len('{"AB":""}')
    check({"AB": "x" * (LIMIT - frame)})
    with pytest.raises(Invalid, match="4KB"):
        check({"AB": "x" * (LIMIT - frame + 1)})
    with pytest.raises(Invalid, match="4KB"):
        check({"AB": "ä" * (LIMIT // 2)})


def test_a_value_has_no_nul_and_is_unicode() -> None:
    """A process's environment could not hold it."""
    for value in ("a\0b", "\ud800"):
        with pytest.raises(Invalid):
            check({"AB": value})


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_a_value_that_is_a_secret_by_its_form_is_refused(kind: str) -> None:
    """The refusal names the variable and never the value."""
    value = f"x={SECRETS[kind]};"
    with pytest.raises(Invalid, match="`NAME` looks like") as refused:
        check({"NAME": value})
    assert SECRETS[kind] not in refused.value.reason
    assert {"NAME": value} == check({"NAME": value}, unsafe_secrets=True)


@pytest.mark.parametrize(
    "value",
    [
        "AKIA",
        "xAKIAABCDEFGH234567ABx"[:20].lower(),
        "-----BEGIN CERTIFICATE-----",
        "sk_test_" + "a" * 24,
    ],
)
def test_what_is_no_secret_passes(value: str) -> None:
    """A rule that is often wrong is switched off."""
    assert {"NAME": value} == check({"NAME": value})
