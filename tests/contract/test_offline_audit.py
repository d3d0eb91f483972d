"""The audit chain of a folder whose platform is down."""

from __future__ import annotations

import json
from pathlib import Path

from platform_harness import Platform, running


def _verify(platform: Platform) -> tuple[int, str, str]:
    done = platform.casemate("audit", "verify", "--offline", env={})
    return done.returncode, done.stdout, done.stderr


def test_the_chain_is_verified_without_the_platform(tmp_path: Path) -> None:
    """Sound after a stop; and the platform starts again on what was only read."""
    with running() as platform:
        platform.client("sts").get_caller_identity()
        assert 0 == platform.stop()

        status, out, err = _verify(platform)

        assert 0 == status, err
        verdict = json.loads(out)
        assert verdict["Sound"]
        assert verdict["Checkpointed"] == verdict["Count"] > 0
        platform.lines.clear()
        platform.start()
        again = platform.casemate("audit", "verify")
        assert json.loads(again.stdout)["Sound"]

    nothing = Platform(tmp_path)
    status, out, err = _verify(nothing)
    assert (1, "") == (status, out)
    assert "no data folder" in err
