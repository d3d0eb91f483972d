"""Routing of both REST protocols: path, then static query and required members."""

from __future__ import annotations

from casemate.core.call import Request
from casemate.wire.form import Pairs, read_pairs
from casemate.wire.model import ServiceModel
from casemate.wire.path import Candidate, Node, choose, find, plant, segments_of
from casemate.wire.reply import Route
from casemate.wire.trouble import UnreadableError


class RestRouter:
    """The tree of a service's templates."""

    def __init__(self, model: ServiceModel) -> None:
        self._root = Node()
        for operation in model.operations.values():
            plant(self._root, operation)

    def route(self, request: Request) -> Route | None:
        """Find the operation of a request, or None.  Raises UnreadableError."""
        segments = segments_of(request.path)
        fields = read_pairs(request.query)
        found = find(self._root, request.method, segments)
        if found is None:
            return None
        candidates, values = found
        candidate = _pick(candidates, fields, request)
        if candidate is None:
            return None
        return Route(
            operation=candidate.operation,
            path_parameters=dict(zip(candidate.labels, values, strict=True)),
            fields=fields,
        )

    def foresee(self, method: str, path: str) -> str | None:
        """Name the operation of a path, where the path alone decides."""
        try:
            found = find(self._root, method, segments_of(path))
        except UnreadableError:
            return None
        if found is None or len(found[0]) != 1:
            return None
        return found[0][0].operation


def _pick(
    candidates: list[Candidate], fields: Pairs, request: Request
) -> Candidate | None:
    if len(candidates) == 1 and not candidates[0].static:
        return candidates[0]
    names = frozenset(name for name, _ in request.headers)
    return choose(candidates, dict(fields), names)
