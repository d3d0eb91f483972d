"""Laws of what the services of functions, logs and queues declare of themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

from casemate.core.operation import Operation
from unit.services.lambda_world import world as lambda_world
from unit.services.logs_world import world as logs_world
from unit.services.sqs_world import world as sqs_world

COUNTS = {"lambda": 42, "logs": 14, "sqs": 20}


def declared(folder: Path, service: str) -> tuple[Operation, ...]:
    async def collect() -> tuple[Operation, ...]:
        if service == "lambda":
            async with lambda_world(folder) as functions:
                found = functions.service.operations
                return tuple(o for o in found if o.service == service)
        if service == "sqs":
            async with sqs_world(folder) as queues:
                return queues.service.operations
        async with logs_world(folder) as logs:
            return logs.service.operations

    return asyncio.run(collect())


@pytest.mark.parametrize("service", COUNTS)
def test_every_declaration_is_of_awss_model(tmp_path: Path, service: str) -> None:
    """Every operation and every member that is declared exists."""
    model = Session().get_service_model(service)
    operations = declared(tmp_path, service)
    assert len(operations) == COUNTS[service]
    for operation in operations:
        shape = model.operation_model(operation.name)
        assert operation.action.startswith(f"{service}:")
        for path in (*operation.accepts, *operation.only, *operation.loose):
            reached: Shape | None = shape.input_shape
            for step in path.split("."):
                while isinstance(reached, ListShape | MapShape):
                    listed = isinstance(reached, ListShape)
                    reached = reached.member if listed else reached.value
                assert isinstance(reached, StructureShape), path
                assert step in reached.members, f"{operation.name}: {path}"
                reached = reached.members[step]


@pytest.mark.parametrize("service", COUNTS)
def test_every_required_member_can_be_given(tmp_path: Path, service: str) -> None:
    """No operation is declared that its own rules would refuse."""
    model = Session().get_service_model(service)
    for operation in declared(tmp_path, service):
        shape = model.operation_model(operation.name).input_shape
        roots = {path.partition(".")[0] for path in operation.accepts}
        assert set(shape.required_members) <= roots, operation.name
