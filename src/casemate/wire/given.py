"""The members that a caller gave, as dotted paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from casemate.wire.model import Shape

Walk = Callable[[object, str], Iterator[tuple[str, object]]]


def walker(shape: Shape) -> Walk:
    """
    Make the walk over what is given of a structure.

    It yields the path and value of each leaf: `Code.ZipFile`, `Tags.Key` (once
    per element; lists have no number in a path), `Environment.Variables` (a map
    is a leaf, its keys being the caller's data, unless its values are
    structures).  An empty structure or list is a leaf.
    """
    leaves = {
        name for name, member in shape.members.items() if _structure_in(member) is None
    }

    def walk(value: object, prefix: str) -> Iterator[tuple[str, object]]:
        if not isinstance(value, Mapping):
            return
        for name, item in value.items():
            if item is None:
                continue
            if name in leaves:
                yield prefix + name, item
            else:
                yield from _below(shape.members[name], item, prefix + name)

    return walk


def _members(shape: Shape, value: object, prefix: str) -> Iterator[tuple[str, object]]:
    """Walk over a structure inside another."""
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if item is not None:
            yield from _below(shape.members[name], item, prefix + name)


def _below(shape: Shape, value: object, path: str) -> Iterator[tuple[str, object]]:
    inner = _structure_in(shape)
    if inner is None or not value:
        yield path, value
        return
    if shape.type == "structure":
        yield from _members(shape, value, f"{path}.")
        return
    elements = value.values() if isinstance(value, Mapping) else value
    below = shape.value if shape.type == "map" else shape.member
    if isinstance(elements, str | bytes) or not hasattr(elements, "__iter__"):
        yield path, value
        return
    for element in elements:
        yield from _below(below, element, path)


def _structure_in(shape: Shape) -> Shape | None:
    """Give the structure that a shape is, or is made of, or None."""
    while shape.type in ("list", "map"):
        shape = shape.member if shape.type == "list" else shape.value
    return shape if shape.type == "structure" and not shape.document else None


def has_path(shape: Shape | None, path: str) -> bool:
    """Tell whether the model has a member of that dotted path."""
    for name in path.split("."):
        inner = _structure_in(shape) if shape is not None else None
        if inner is None or name not in inner.members:
            return False
        shape = inner.members[name]
    return True
