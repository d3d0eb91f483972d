"""
URI templates, and the tree that finds the one a path fits.

A path is split at its slashes first and each segment decoded once afterwards,
so an encoded slash is data of its label (durable executions' ARNs have them)
and never a boundary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from casemate.wire.form import Pairs, decode_percent, read_pairs
from casemate.wire.model import OperationModel
from casemate.wire.trouble import UnreadableError

SEGMENTS = 64
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_PLAIN = re.compile(r"(?:/[!-$&-\-0-~][!-$&-.0-~]*)+/?\Z")
"""Segments of printable ASCII without escapes, none of which starts with a dot."""
_LABEL = re.compile(r"\{([^{}+]+)(\+?)\}\Z")


def segments_of(path: str) -> list[str]:
    """
    Split a path as it came on the wire into decoded segments.

    One slash at the end is dropped.  Refused: no slash in front, empty
    segments, `.` and `..` (encoded too, and beside encoded slashes), controls,
    broken escapes, bytes that are not UTF-8.
    """
    if not path.startswith("/") or path.count("/") > SEGMENTS:
        raise UnreadableError("the path is not one of this service")
    if path == "/":
        return []
    raw = path[1:].removesuffix("/").split("/")
    if _PLAIN.match(path):
        return raw
    decoded = list(map(decode_percent, raw))
    for segment in decoded:
        if not segment or _CONTROL.search(segment) or _climbs(segment):
            raise UnreadableError("the path is not in canonical form")
    return decoded


def _climbs(segment: str) -> bool:
    if segment[0] != "." and "/" not in segment:
        return False
    return any(part in (".", "..") for part in segment.split("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    An operation at a template.

    static: pairs that the query string must hold.  query, headers: names that
    must be there, because the model requires their members.  labels: in order.
    """

    operation: str
    labels: tuple[str, ...]
    static: Pairs
    query: tuple[str, ...]
    headers: tuple[str, ...]
    deprecated: bool


@dataclass(slots=True)
class Node:
    """A step of a template: literals first, then a label, then the rest."""

    literals: dict[str, Node] = field(default_factory=dict)
    label: Node | None = None
    rest: dict[str, list[Candidate]] = field(default_factory=dict)
    here: dict[str, list[Candidate]] = field(default_factory=dict)


def plant(root: Node, operation: OperationModel) -> None:
    """Add an operation's template to the tree."""
    template, _, query = operation.uri.partition("?")
    labels: list[str] = []
    node, place = root, None
    for segment in template.strip("/").split("/") if template.strip("/") else []:
        label = _LABEL.match(segment)
        if label is None:
            node = node.literals.setdefault(segment, Node())
            continue
        labels.append(label[1])
        if label[2]:
            place = node.rest
        else:
            node.label = node.label or Node()
            node = node.label
    place = node.here if place is None else place
    candidates = place.setdefault(operation.method, [])
    candidates.append(_candidate(operation, tuple(labels), read_pairs(query)))
    candidates.sort(key=_rank)


def _candidate(
    operation: OperationModel, labels: tuple[str, ...], static: Pairs
) -> Candidate:
    query: list[str] = []
    headers: list[str] = []
    shape = operation.input
    for name in shape.names("required") if shape else ():
        member = shape.members[name] if shape else None
        wire = (member.wire_name if member else None) or name
        if member and member.location == "querystring":
            query.append(wire)
        elif member and member.location == "header":
            headers.append(wire.lower())
    return Candidate(
        operation=operation.name,
        labels=labels,
        static=static,
        query=tuple(query),
        headers=tuple(headers),
        deprecated=operation.deprecated,
    )


def _rank(candidate: Candidate) -> tuple[int, int, bool, str]:
    demands = len(candidate.query) + len(candidate.headers)
    return (
        -len(candidate.static),
        -demands,
        candidate.deprecated,
        candidate.operation,
    )


Found = tuple[list[Candidate], list[str]]


def find(root: Node, method: str, segments: list[str]) -> Found | None:
    """Give the candidates of a path and the values of its labels, in order."""
    node = root
    values: list[str] = []
    for at, segment in enumerate(segments):
        literal = node.literals.get(segment)
        ways = (literal is not None) + (node.label is not None) + bool(node.rest)
        if ways != 1 or node.rest:
            found = _search(node, method, segments, at)
            return (found[0], values + found[1]) if found else None
        if literal is None:
            values.append(segment)
        node = literal or node.label or node
    here = node.here.get(method)
    return (here, values) if here else None


def _search(node: Node, method: str, segments: list[str], at: int) -> Found | None:
    """Go on where there is more than one way: literals, then a label, then the rest."""
    if at == len(segments):
        here = node.here.get(method)
        return (here, []) if here else None
    below = node.literals.get(segments[at])
    if below is not None:
        found = _search(below, method, segments, at + 1)
        if found is not None:
            return found
    if node.label is not None:
        found = _search(node.label, method, segments, at + 1)
        if found is not None:
            return found[0], [segments[at], *found[1]]
    rest = node.rest.get(method)
    return (rest, ["/".join(segments[at:])]) if rest else None


def choose(
    candidates: list[Candidate], query: Mapping[str, str], headers: frozenset[str]
) -> Candidate | None:
    """Pick the most demanding candidate whose demands the request meets."""
    fitting = [c for c in candidates if all(query.get(n) == v for n, v in c.static)]
    for candidate in fitting:
        wanted = all(name in query for name in candidate.query)
        if wanted and all(name in headers for name in candidate.headers):
            return candidate
    # None is whole: the least demanding is taken, and `check` names what is missing.
    return fitting[-1] if fitting else None
