"""Laws of lists in pages."""

from __future__ import annotations

import pytest

from unit.services.calls import OTHER_ACCOUNT, law, refused
from unit.services.iam_world import TRUST, World


async def world_with_roles(count: int) -> World:
    world = World()
    for number in range(count):
        await world.role(f"r{number:03}", Path="/a/" if number % 2 else "/b/")
    return world


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
@law
async def test_pages_together_are_the_list(size: int) -> None:
    """Every item once, in order, whatever the size of the pages."""
    world = await world_with_roles(7)
    names: list[str] = []
    query: dict[str, object] = {"MaxItems": size}
    while True:
        page = await world.call("ListRoles", **query)
        roles = page["Roles"]
        assert isinstance(roles, list)
        assert len(roles) <= size
        names += [r["RoleName"] for r in roles]
        if not page["IsTruncated"]:
            assert "Marker" not in page
            break
        query["Marker"] = page["Marker"]
    assert names == [f"r{n:03}" for n in range(7)]


@law
async def test_a_marker_is_good_for_its_account_operation_and_query() -> None:
    """Brought anywhere else it is no marker; nor is one that was changed."""
    world = await world_with_roles(3)
    page = await world.call("ListRoles", MaxItems=1, PathPrefix="/b/")
    marker = page["Marker"]
    assert isinstance(marker, str)
    stranger = world.of(OTHER_ACCOUNT)
    await stranger("CreateRole", RoleName="x", AssumeRolePolicyDocument=TRUST)
    for call in (
        stranger("ListRoles", PathPrefix="/b/", Marker=marker),
        world.call("ListRoles", PathPrefix="/a/", Marker=marker),
        world.call("ListRoles", Marker=marker),
        world.call("ListUsers", PathPrefix="/b/", Marker=marker),
        world.call("ListRoles", PathPrefix="/b/", Marker=marker[:-2] + "AA"),
        world.call("ListRoles", PathPrefix="/b/", Marker="r000"),
    ):
        assert (await refused(call)).code == "ValidationError"
    more = await world.call("ListRoles", PathPrefix="/b/", Marker=marker, MaxItems=9)
    roles = more["Roles"]
    assert isinstance(roles, list)
    assert [r["RoleName"] for r in roles] == ["r002"]


@pytest.mark.parametrize(("items", "fits"), [(0, 0), (1, 1), (1000, 1), (1001, 0)])
@law
async def test_a_page_has_one_to_a_thousand_items(items: int, fits: int) -> None:
    """Outside of that, ValidationError."""
    call = World().call("ListUsers", MaxItems=items)
    if fits:
        await call
    else:
        assert (await refused(call)).code == "ValidationError"
