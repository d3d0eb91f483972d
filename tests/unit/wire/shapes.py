"""Values that fit a botocore shape, made by hypothesis."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

SIMPLE = string.ascii_letters + string.digits
# What XML 1.0 can carry, but for CR, which botocore writes unescaped; with quotes,
# percent, slashes, and letters beyond latin.
TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=("Cs", "Cc"),
        exclude_characters="\ufffe\uffff",
    )
    | st.sampled_from("\t\n &<>\"'%+/=.:;,{}\\"),
    max_size=12,
)
LABEL = st.text(SIMPLE + "-_~$:/@é%+ &=", min_size=1, max_size=12).filter(
    lambda t: not {"", ".", ".."} & set(t.split("/"))
)
HEADER = st.text(
    SIMPLE + "-_:/=+$", min_size=1, max_size=12
)  # a header's ends are stripped by every parser
MOMENT = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
SECOND = MOMENT.map(lambda t: t.replace(microsecond=0))


def value(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Give values of a shape that travels in a body."""
    kind = shape.type_name
    if kind == "structure":
        return structure(shape, depth)
    if kind == "list":
        # An empty flattened list leaves no trace in XML.
        least = int(bool(shape.serialization.get("flattened")))
        return st.lists(value(shape.member, depth + 1), min_size=least, max_size=2)
    if kind == "map":
        return st.dictionaries(TEXT, value(shape.value, depth + 1), max_size=2)
    return scalar(shape)


def scalar(shape: Any) -> st.SearchStrategy[Any]:
    return {
        "string": TEXT,
        "character": TEXT,
        "boolean": st.booleans(),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "blob": st.binary(max_size=16),
        "timestamp": SECOND
        if shape.serialization.get("timestampFormat") == "rfc822"
        else MOMENT,
    }[kind_of(shape)]


def kind_of(shape: Any) -> str:
    return str(shape.type_name)


def located(shape: Any) -> st.SearchStrategy[Any]:
    """Give values of a member that travels outside of the body."""
    where = shape.serialization["location"]
    if where == "statusCode":
        return st.integers(200, 299)
    text = {"uri": LABEL, "querystring": TEXT, "header": HEADER, "headers": HEADER}
    if where == "headers" or shape.type_name == "map":
        names = st.text(string.ascii_lowercase, min_size=1, max_size=5)
        return st.dictionaries(names, text[where], min_size=1, max_size=2)
    if shape.type_name == "list":
        item = (
            text[where] if shape.member.type_name == "string" else scalar(shape.member)
        )
        return st.lists(item, min_size=1, max_size=3)
    if shape.type_name in ("string", "character"):
        return text[where]
    if shape.type_name == "timestamp":
        return SECOND
    return scalar(shape)


def later(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    """Give the values of a shape, which may be part of itself, when they are drawn."""
    return st.deferred(lambda: value(shape, depth))


def structure(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Give a structure with some of its members; deep ones grow nothing more."""
    if shape.is_document_type:
        return st.just({"a": [1, None, {"b": "c"}]})
    members = {}
    for name, member in shape.members.items():
        if member.serialization.get("eventstream"):
            continue
        if "location" in member.serialization:
            members[name] = located(member)
        elif depth < 4 or member.type_name not in ("structure", "list", "map"):
            members[name] = later(member, depth + 1)
    if shape.is_tagged_union:
        return st.one_of([st.fixed_dictionaries({n: s}) for n, s in members.items()])
    must = {
        name
        for name, member in shape.members.items()
        if member.serialization.get("location") == "uri"
        or (
            member.serialization.get("location") in ("querystring", "header")
            and name in shape.required_members
        )
    }
    return some(members, must)


@st.composite
def some(draw: Any, members: dict[str, Any], must: set[str]) -> dict[str, Any]:
    """Draw a few of the members: all would make each example large."""
    optional = sorted(set(members) - must)
    chosen = (
        draw(st.lists(st.sampled_from(optional), max_size=4, unique=True))
        if optional
        else []
    )
    return {name: draw(members[name]) for name in sorted(must) + chosen}


def pruned(shape: Any, given: Any) -> Any:
    """Take out what the query protocol cannot say: empty structures and maps."""
    if isinstance(given, dict) and shape.type_name == "structure":
        kept = {n: pruned(shape.members[n], v) for n, v in given.items()}
        return {
            n: v
            for n, v in kept.items()
            if not (v == {} and shape.members[n].type_name in ("structure", "map"))
        }
    if isinstance(given, dict):
        kept = {k: pruned(shape.value, v) for k, v in given.items()}
        empty = shape.value.type_name in ("structure", "map")
        return {k: v for k, v in kept.items() if not (v == {} and empty)}
    if isinstance(given, list):
        kept_list = [pruned(shape.member, v) for v in given]
        empty = shape.member.type_name in ("structure", "map")
        return [v for v in kept_list if not (v == {} and empty)]
    return given
