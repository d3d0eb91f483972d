"""DNS for cells: total on any bytes, true to the protocol, silent to the outside."""

from __future__ import annotations

import ipaddress

import pytest
from dnslib import EDNS0, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.egress.dns import LARGEST_QUERY, Reply, answer

ADDRESS = ipaddress.IPv4Address("198.18.0.1")
NAME = b"api.casemate.internal"


def zone(name: bytes) -> ipaddress.IPv4Address | None:
    return ADDRESS if name == NAME else None


def ask(name: str, qtype: int = 1, **header: int) -> Reply:
    query = DNSRecord(DNSHeader(id=77, rd=1, **header), q=DNSQuestion(name, qtype))
    return answer(query.pack(), zone)


def parsed(reply: Reply) -> DNSRecord:
    assert reply.data is not None
    return DNSRecord.parse(reply.data)


def test_the_issued_name_has_its_address() -> None:
    """A of the platform's name: one answer, the question echoed, id kept."""
    reply = parsed(ask("api.casemate.internal"))

    assert (77, "NOERROR", 1) == (reply.header.id, rcode(reply), len(reply.rr))
    assert (1, 1, 1) == (reply.header.qr, reply.header.aa, reply.header.ra)
    assert str(ADDRESS) == str(reply.rr[0].rdata)
    assert "api.casemate.internal." == str(reply.rr[0].rname)
    assert reply.rr[0].ttl > 0


def rcode(reply: DNSRecord) -> str:
    codes = {0: "NOERROR", 1: "FORMERR", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
    return codes[reply.header.rcode]


@given(upper=st.lists(st.booleans(), min_size=len(NAME), max_size=len(NAME)))
def test_letter_case_is_echoed_and_makes_no_difference(upper: list[bool]) -> None:
    """0x20: any case is the same name, and comes back as it was sent."""
    name = "".join(
        c.upper() if up else c for c, up in zip(NAME.decode(), upper, strict=True)
    )
    query = DNSRecord(q=DNSQuestion(name)).pack()
    reply = answer(query, zone)

    assert reply.data is not None
    assert query[12:] == reply.data[12 : len(query)]
    assert 1 == len(parsed(reply).rr)


@pytest.mark.parametrize("qtype", [28, 5, 15, 16, 33, 64, 65, 255, 10, 65_535])
def test_other_types_of_the_name_are_empty(qtype: int) -> None:
    """No data, which is not the same as no such name: resolvers go on with A."""
    reply = ask("api.casemate.internal", qtype)

    assert ("NOERROR", 0) == (rcode(parsed(reply)), len(parsed(reply).rr))
    assert reply.refused is None


@pytest.mark.parametrize(
    "name",
    ["casemate.internal", "x.api.casemate.internal", "internal", "example.com", ".",
     "api.casemate.internal.example.com", "secret-data.attacker.example",
     "metadata.google.internal", "localhost", "1.0.18.198.in-addr.arpa"],
)  # fmt: skip
@pytest.mark.parametrize("qtype", [1, 28, 16, 10])
def test_every_other_name_does_not_exist(name: str, qtype: int) -> None:
    """N8: NXDOMAIN, whatever the type, and the name is told for the record."""
    reply = ask(name, qtype)

    assert "NXDOMAIN" == rcode(parsed(reply))
    assert name == reply.refused
    assert not parsed(reply).rr + parsed(reply).auth + parsed(reply).ar


def test_a_dot_within_a_label_is_not_a_separator() -> None:
    """The labels `api.casemate` and `internal` are another name."""
    query = header() + b"\x0capi.casemate\x08internal\0" + b"\0\1\0\1"

    reply = answer(query, zone)
    assert "NXDOMAIN" == rcode(parsed(reply))
    assert "api\\046casemate.internal" == reply.refused


def test_a_name_is_told_without_its_control_characters() -> None:
    """Hostile bytes in a name cannot forge a line of the record."""
    query = header() + b'\x06\n{"\x00\xff\x1b\0' + b"\0\1\0\1"

    assert "\\010\\123\\034\\000\\255\\027" == answer(query, zone).refused


def header(
    number: int = 1, flags: int = 0x0100, counts: tuple[int, ...] = (1, 0, 0, 0)
) -> bytes:
    return b"".join(n.to_bytes(2, "big") for n in (number, flags, *counts))


QUESTION = b"\3api\10casemate\10internal\0\0\1\0\1"


@pytest.mark.parametrize(
    "query",
    [
        header(counts=(0, 0, 0, 0)),
        header(counts=(2, 0, 0, 0)) + QUESTION * 2,
        header(counts=(1, 1, 0, 0)) + QUESTION,
        header(counts=(1, 0, 1, 0)) + QUESTION,
        header(counts=(1, 0, 0, 2)) + QUESTION,
        header(counts=(1, 0, 0, 1)) + QUESTION,
        header() + QUESTION + b"\0",
        header() + QUESTION[:-1],
        header() + QUESTION[:10],
        header(),
        header() + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        header() + b"\3api\xc0\x0c\0\1\0\1",  # a loop
        header() + b"\xc0\xff\0\1\0\1",  # beyond the end
        header() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        header() + b"\x3f" + b"a" * 63 + b"\x80\0\0\1\0\1",
        header() + (b"\x01a" * 128) + b"\0\0\1\0\1",  # 257 bytes of name
        header(counts=(1, 0, 0, 1)) + QUESTION + b"\1\0\x29" + bytes(8),
        header(counts=(1, 0, 0, 1)) + QUESTION + b"\0\0\1" + bytes(8),
        header(counts=(1, 0, 0, 1)) + QUESTION + b"\0\0\x29" + bytes(6) + b"\0\5",
    ],
)
def test_what_is_not_one_question_is_a_format_error(query: bytes) -> None:
    """Bombs, loops, many questions, things behind: FORMERR, with nothing echoed."""
    reply = answer(query, zone)

    assert ("FORMERR", 12) == (rcode(parsed(reply)), len(reply.data or b""))


def test_answers_and_fragments_and_giants_are_dropped() -> None:
    """Nobody is answered who has not asked."""
    for query in (
        b"",
        b"\0" * 11,
        header(flags=0x8180) + QUESTION,
        header() + QUESTION + b"\0" * LARGEST_QUERY,
    ):
        assert Reply(data=None) == answer(query, zone)


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6])
def test_other_operations_are_not_implemented(opcode: int) -> None:
    """Updates and notifications are told so."""
    assert "NOTIMP" == rcode(parsed(ask("api.casemate.internal", 1, opcode=opcode)))


@pytest.mark.parametrize(("qtype", "klass"), [(252, 1), (251, 1), (1, 3), (16, 255)])
def test_transfers_and_other_classes_are_refused(qtype: int, klass: int) -> None:
    """The zone is not given away, and CHAOS tells no version."""
    query = header() + QUESTION[:-4] + qtype.to_bytes(2, "big") + klass.to_bytes(2)

    assert "REFUSED" == rcode(parsed(answer(query, zone)))


def test_a_resolver_with_extensions_is_answered() -> None:
    """A query with an OPT record is answered as by a server without EDNS."""
    query = DNSRecord(q=DNSQuestion("api.casemate.internal"))
    query.add_ar(EDNS0(flags="do", udp_len=1232))

    assert 1 == len(parsed(answer(query.pack(), zone)).rr)


@given(query=st.binary(max_size=600))
def test_any_bytes_are_answered_small_or_dropped(query: bytes) -> None:
    """Total; an answer is never more than the question and one record."""
    reply = answer(query, zone)

    if reply.data is not None:
        assert len(reply.data) <= max(12, len(query)) + 16
        assert query[:2] == reply.data[:2]
        assert reply.data[2] & 0x80


@given(
    flags=st.integers(0, 0xFFFF),
    counts=st.tuples(*[st.integers(0, 3)] * 4),
    name=st.lists(st.binary(min_size=1, max_size=63), max_size=6),
    tail=st.binary(max_size=30),
)
def test_an_answer_is_one_that_another_library_reads(
    flags: int, counts: tuple[int, int, int, int], name: list[bytes], tail: bytes
) -> None:
    """Near-queries: whatever is answered is well formed, and no name leaks in."""
    labels = b"".join(bytes([len(label)]) + label for label in name) + b"\0"
    reply = answer(header(9, flags, counts) + labels + tail, zone)

    if reply.data is not None:
        assert 9 == parsed(reply).header.id
        assert not parsed(reply).rr
    assert reply.refused is None or reply.refused.isprintable()
