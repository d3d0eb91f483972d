"""The public table of operations is what the code serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.app import table
from casemate.app.compose import MODELS
from casemate.app.declared import declared_operations
from casemate.core.operation import Operation
from casemate.wire.model import load_model

READS = ("Describe", "Explain", "Filter", "Get", "List", "Simulate", "Verify")
"""The verbs of operations after which nothing is different."""
DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module", name="operations")
def _operations() -> Iterator[list[Operation]]:
    with asyncio.Runner() as runner:
        listing = declared_operations()
        yield runner.run(listing.__aenter__())
        runner.run(listing.__aexit__(None, None, None))


def test_the_committed_page_is_what_the_code_generates(
    operations: list[Operation],
) -> None:
    """`scripts/operations-table` writes it anew."""
    assert table.write(operations) == (DOCS / "operations.md").read_text()


def test_every_operation_names_its_errors(operations: list[Operation]) -> None:
    """Its own, or those of AWS's model; only what AWS says cannot fail has none."""
    silent = {
        operation.name
        for operation in operations
        if not operation.errors
        and not load_model(operation.service, MODELS).operations[operation.name].errors
    }

    assert {"GetCallerIdentity"} == silent


def test_a4_what_is_no_read_says_that_it_changes_or_runs_something(
    operations: list[Operation],
) -> None:
    """A4: a captured call of it is not taken twice where the operator wants that."""
    reads = {o.name for o in operations if o.reads}

    assert {o.name for o in operations if o.name.startswith(READS)} == reads


def test_every_member_of_the_model_stands_in_the_table(
    operations: list[Operation],
) -> None:
    """No member is neither enforced, nor restricted, nor refused."""
    for operation in operations:
        model = load_model(operation.service, MODELS).operations[operation.name]
        taken, refused = table.members(operation, model)
        told = [*taken, *refused, *operation.only]
        heads = {path.partition(".")[0] for path in told}

        assert set(model.input.members if model.input else ()) == heads


def test_no_accepted_member_is_told_as_refused(operations: list[Operation]) -> None:
    for operation in operations:
        model = load_model(operation.service, MODELS).operations[operation.name]
        taken, refused = table.members(operation, model)

        assert not {*operation.accepts, *taken} & set(refused)
