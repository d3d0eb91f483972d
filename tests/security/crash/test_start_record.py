"""C-5: what an operator chose at a start is on record, and not only said."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from security.crash.insider import recorded
from security.crash.stand import Stand

pytestmark = [pytest.mark.root, pytest.mark.platform]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A data folder on which everybody has a right: below the floor."""
    data = Path(tempfile.mkdtemp(prefix="casemate-test-", dir="/var/tmp"))
    data.chmod(0o777)
    yield data
    shutil.rmtree(data)


def test_a_lowered_check_is_on_record(open_folder: Path) -> None:
    """Refused without its name; with it, said at the start and put on record."""
    with pytest.raises(AssertionError, match="below the floor"):
        Stand(open_folder).start()

    names = ("--accept-floor", "data-mode", "--accept-floor", "overlay")
    stand = Stand(open_folder, *names, "--replay", "refuse")
    stand.start()
    assert any("fail data-mode" in line for line in stand.lines)
    assert stand.stop() == 0
    records = recorded(open_folder)
    (lowered,) = [r for r in records if r["eventName"] == "FloorLowered"]
    assert lowered["requestParameters"]["check"] == "data-mode"
    assert lowered["requestParameters"]["found"]
    assert lowered["recipientAccountId"]
    (started,) = [r for r in records if r["eventName"] == "PlatformStarted"]
    assert started["requestParameters"]["accepted"] == ["data-mode", "overlay"]
    assert started["requestParameters"]["replay"] == "refuse"

    # A folder that is well again has nothing to put on record.
    stand.again()
    assert stand.stop() == 0
    names_of = [r["eventName"] for r in recorded(open_folder)]
    assert names_of.count("FloorLowered") == 1
    assert names_of.count("PlatformStarted") == 2
