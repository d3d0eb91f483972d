"""
The documents say what is so: promises name tests, links lead somewhere.

What a document says in words is read by people; what it names is checked here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ROOT / "tests"
PAGE: Final = ROOT / "SPECIFICATION.md"
THREATS: Final = ROOT / "docs" / "threat-model.md"

PROMISE: Final = re.compile(r"- \*\*([A-Z])-([0-9]+)\*\* \S")
ROW: Final = re.compile(r"\| ([A-Z][0-9]{1,2}) \| ([^|]+) \| ([^|]+) \|")
NAMED: Final = re.compile(r"`([a-z_/0-9]+\.py)::([A-Za-z_0-9]+)`")
LINK: Final = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TABLE: Final = re.compile(r"^\| ([a-z ]+) \| .*? \| +([0-9]+) \| +([0-9]+) \|")
TOLERANCE: Final = 0.10

# The attacks that are answered for today; each later stretch adds its own.
OURS: Final = (
    *(f"P{n}" for n in range(1, 11)),
    *(f"H{n}" for n in (1, 2, 3, 4, 5, 6, 8, 9, 15, 21, 22)),
    *(f"A{n}" for n in (*range(1, 10), 15, 18)),
    *(f"Z{n}" for n in (1, 2, 3, 4, 7, 14, 18)),
    *(f"S{n}" for n in range(1, 33)),
    *(f"R{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 16)),
    *(f"Q{n}" for n in (*range(1, 10), 11, 12, 14, 16)),
    *("E2", "L1", "L4", "O7", "O9"),
)


def promises() -> dict[str, str]:
    """Give each promise with all of its text; a number that is there twice fails."""
    found: dict[str, str] = {}
    number = ""
    for line in PAGE.read_text().splitlines():
        if begins := PROMISE.match(line):
            number = f"{begins[1]}-{begins[2]}"
            assert number not in found, f"{number} is there twice"
            found[number] = line
        elif line.startswith("  ") and number:
            found[number] += f"\n{line}"
        else:
            assert not line.startswith("- **"), f"no promise: {line}"
            number = ""
    return found


def attacks() -> dict[str, str]:
    """Give what stands beside each attack."""
    rows = [row for line in PAGE.read_text().splitlines() if (row := ROW.match(line))]
    return {row[1]: row[3] for row in rows}


@cache
def named_in(path: Path) -> frozenset[str]:
    """Name the tests of a file."""
    return frozenset(
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


def absent(text: str) -> list[str]:
    """List the tests that a text names and that are not there."""
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if not (TESTS / path).is_file() or name not in named_in(TESTS / path)
    ]


def pages() -> list[Path]:
    """List every page that people read."""
    folders = (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"))
    examples = (ROOT / "examples").rglob("*.md")
    found = {path for folder in (*folders, examples) for path in folder}
    return sorted(path for path in found if "_build" not in path.parts)


def title(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_promises_are_found() -> None:
    """The page is read at all, and each section counts from 1 without a gap."""
    sections: dict[str, list[int]] = {}
    for number in promises():
        section, _, count = number.partition("-")
        sections.setdefault(section, []).append(int(count))

    assert sections
    for section, counts in sections.items():
        assert counts == list(range(1, len(counts) + 1)), section


@pytest.mark.parametrize("number", promises())
def test_a_promise_names_tests_that_exist_or_says_pending(number: str) -> None:
    """A promise without a test that would break is a wish, and has to say so."""
    text = promises()[number]
    lines = [line.strip() for line in text.splitlines()]
    tests = [line for line in lines if line.startswith("Tests: ")]
    pending = [line for line in lines if line.startswith("Pending: ")]

    assert tests or pending
    assert all(NAMED.search(line) for line in tests)
    assert [] == absent(text)


def test_every_attack_is_listed_once() -> None:
    """No attack that is answered for today is forgotten, and none is listed twice."""
    listed = [
        row[1] for line in PAGE.read_text().splitlines() if (row := ROW.match(line))
    ]

    assert sorted(OURS) == sorted(listed)


@pytest.mark.parametrize("attack", attacks())
def test_an_attack_names_tests_that_exist_or_says_pending(attack: str) -> None:
    """An attack that nobody tries is pending, in plain sight."""
    says = attacks()[attack]

    assert NAMED.search(says) or says.startswith("pending")
    assert [] == absent(says)


@pytest.mark.parametrize("page", pages(), ids=title)
def test_links_lead_to_what_is_there(page: Path) -> None:
    """A link to a file of the repository finds that file."""
    prose = FENCE.sub("", page.read_text())
    targets = {
        unquote(link.partition("#")[0])
        for link in LINK.findall(prose)
        if "://" not in link and not link.startswith(("#", "mailto:"))
    }

    assert [] == [link for link in targets if not (page.parent / link).exists()]


def test_the_lines_of_trusted_code_are_what_they_are() -> None:
    """The threat model's figures are those of the sources, to within a tenth."""
    counted = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "trusted-lines")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    now = {row[1]: row for row in map(TABLE.match, counted.splitlines()) if row}
    said = {
        row[1]: row
        for row in map(TABLE.match, THREATS.read_text().splitlines())
        if row and row[1] in now
    }

    assert now.keys() == said.keys()
    for zone, row in now.items():
        for column in (2, 3):
            is_now, is_said = int(row[column]), int(said[zone][column])
            assert abs(is_now - is_said) <= TOLERANCE * is_now + 1, (
                f"{zone} has {is_now}, the page says {is_said}: "
                "run scripts/trusted-lines --write"
            )
