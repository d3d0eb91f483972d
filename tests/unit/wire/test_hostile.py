"""What strangers send: refused by name, cheaply, with AWS's code."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate import wire
from casemate.core.call import Request
from casemate.core.errors import Malformed, Refusal, Unimplemented
from effort import bounded
from unit.wire.written import form, request, target

LAMBDA = wire.load("lambda")
LOGS = wire.load("logs")
IAM = wire.load("iam")
STS = wire.load("sts")
S3 = wire.load("s3")


def read(codec: wire.Codec, given_: Request) -> dict[str, object]:
    return codec.decode(codec.route(given_), given_)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"logGroupName":"a","logGroupName":"b"}',
        b'{"logGroupName":"a","logGroup\\u004eame":"b"}',
        b'{"tags":{"a":"1","a":"2"}}',
        b'{"limit":NaN}',
        b'{"limit":Infinity}',
        b'{"limit":1e999}',
        b'{"limit":' + b"9" * 1_000_000 + b"}",
        b'{"limit":1.5}',
        b'{"limit":2147483648}',
        b'{"limit":true}',
        b'{"limit":"1"}',
        b'{"logGroupName":"\\ud800"}',
        b'{"logGroupName":"\xed\xa0\x80"}',
        b'{"logGroupName":"\xff"}',
        b'\xef\xbb\xbf{"logGroupName":"a"}',
        b'{"logGroupName":"a"} x',
        b'{"logGroupName":"a"}{}',
        b'{"nobodyKnows":1}',
        b'{"__type":"x"}',
        b'{"logGroupName":1}',
        b"[]",
        b"1",
        b'{"logGroupName":"a",}',
        b"{'logGroupName':'a'}",
    ],
    ids=lambda b: repr(b[:32]),
)
@bounded()
def test_h8_json_is_held_to_the_letter(body: bytes) -> None:
    """H8: what is not exactly one well-formed document is refused cheaply."""
    with pytest.raises(Malformed) as refused:
        read(LOGS, target("DescribeLogGroups", body))

    assert "SerializationException" == refused.value.code


def test_colons_and_quotes_in_texts_are_no_members() -> None:
    """The search for doubled members is not misled by what texts hold."""
    for text in (b'a\\":b', b"\\\\", b'\\\\\\":', b":", b'x\\"', b"\\u003a:"):
        body = b'{"logGroupNamePrefix":"' + text + b'"}'
        assert 1 == len(read(LOGS, target("DescribeLogGroups", body)))


def test_null_is_absent() -> None:
    """A member that is null was not given."""
    assert {} == read(LOGS, target("DescribeLogGroups", b'{"limit":null}'))


@pytest.mark.parametrize(
    "body",
    [
        "&".join(f"Tags.member.{i}.Key=x" for i in range(100_000)),
        "Tags.member.999999999.Key=x",
        "Tags.member.2.Key=x",
        "Tags.member.0.Key=x",
        "Tags.member.-1.Key=x",
        "Tags.member.1.Key=x&Tags.member.01.Key=y",
        "Tags.member.1.Key=x&Tags.member.1.Key=y",
        "Tags.member.1=x&Tags.member.1.Key=y",
        "Tags.member.1.Key.x=y",
        "Tags.member.\u00b2.Key=x",
        "Tags=x",
        "Nobody=1",
        "RoleName=%zz",
        "RoleName=%ff",
        "RoleName=%00",
        "RoleName=a&RoleName=b",
        "RoleName.a=b",
        "a." * 1000 + "b=1",
        "MaxSessionDuration=" + "9" * 1_000_000,
        "MaxSessionDuration=1e3",
        "MaxSessionDuration= 1",
    ],
    ids=lambda b: b[:32],
)
@bounded()
def test_h9_a_form_is_bounded(body: str) -> None:
    """H9: an index allocates nothing, and counts are bounded."""
    tracemalloc.start()
    with pytest.raises(Malformed) as refused:
        read(IAM, form("Action=CreateRole&Version=2010-05-08&" + body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "MalformedQueryString" == refused.value.code
    assert 20_000_000 > peak


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (form("Version=2011-06-15"), "MissingAction"),
        (form("Action=Nothing&Version=2011-06-15"), "InvalidAction"),
        (form("Action=GetCallerIdentity&Version=2010-01-01"), "InvalidAction"),
        (form("Action=GetCallerIdentity"), "InvalidAction"),
        (
            form("Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15"),
            "MalformedQueryString",
        ),
        (
            request(
                query="Action=GetCallerIdentity",
                body=b"Action=AssumeRole&Version=2011-06-15",
                content_type="application/x-www-form-urlencoded",
            ),
            "MalformedQueryString",
        ),
        (
            request("GET", query="Action=GetCallerIdentity", body=b"Action=AssumeRole"),
            "MalformedQueryString",
        ),
        (request("PUT", query="Action=GetCallerIdentity"), "MalformedQueryString"),
        (
            request(body=b"Action=GetCallerIdentity&Version=2011-06-15"),
            "MalformedQueryString",
        ),
    ],
)
def test_an_action_stands_in_one_place(sent: Request, code: str) -> None:
    """H9: Action is in the form of a POST or the query of a GET, once."""
    with pytest.raises(Malformed) as refused:
        STS.route(sent)

    assert code == refused.value.code


def test_a_presigned_call_is_read() -> None:
    """The signature's own parameters are not the operation's."""
    sent = request(
        "GET",
        query="Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=A"
        "&X-Amz-Credential=a%2Fb&X-Amz-Signature=00&X-Amz-SignedHeaders=host",
    )

    assert {} == read(STS, sent)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Delete/>',
        b"<!DOCTYPE Delete><Delete/>",
        b"<Delete>&undefined;</Delete>",
        b"<?xml-stylesheet href='x'?><Delete/>",
        b"<a>" * 100_000,
        b"<Delete>" + b"<Object/>" * 100_000 + b"</Delete>",
        b"<Delete><Quiet>true</Quiet><Quiet>false</Quiet></Delete>",
        b"<Delete><Nobody/></Delete>",
        b"<Delete>text<Quiet>true</Quiet></Delete>",
        b"<Other/>",
        b"<Delete>",
        b"<Delete/><Delete/>",
        '<?xml version="1.0" encoding="UTF-16"?><Delete/>'.encode("utf-16"),
        b"<Delete><Quiet>maybe</Quiet></Delete>",
        b"",
    ],
    ids=lambda b: repr(b[:40]),
)
@bounded()
def test_h10_xml_has_no_document_type(body: bytes) -> None:
    """H10: no entity, no nesting, no fetching; refused cheaply."""
    if body:
        with pytest.raises(Malformed) as refused:
            read(S3, request("POST", "/b", "delete", body))
        assert "MalformedXML" == refused.value.code
    else:
        assert {"Bucket": "b"} == read(S3, request("POST", "/b", "delete", body))


@pytest.mark.parametrize(
    "path",
    [
        "//2015-03-31/functions/f",
        "/2015-03-31//functions/f",
        "/2015-03-31/functions/..%2f..%2fx",
        "/2015-03-31/functions/%2e%2e",
        "/2015-03-31/functions/..",
        "/2015-03-31/functions/.",
        "/2015-03-31/functions/a%2f%2e%2e",
        "/2015-03-31/functions/f%00",
        "/2015-03-31/functions/f%0a",
        "/2015-03-31/functions/%c0%ae",
        "/2015-03-31/functions/%ff",
        "/2015-03-31/functions/%e9x",
        "/2015-03-31/functions/%4",
        "/2015-03-31/functions/%u0041",
        "/2015-03-31/functions/\u00e9",
        "2015-03-31/functions/f",
        "https://127.0.0.1/2015-03-31/functions/f",
        "",
        "*",
        "/" * 10_000,
    ],
)
def test_h5_a_path_has_one_form(path: str) -> None:
    """H5: no climbing, no empty segment, nothing that is not UTF-8."""
    with pytest.raises(Refusal) as refused:
        LAMBDA.route(request("GET", path))

    assert refused.value.http_status in (400, 404)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/2015-03-31/functions/f", "f"),
        ("/2015-03-31/functions/f/", "f"),
        ("/2015-03-31/f%75nctions/f", "f"),
        ("/2015-03-31/functions/%2566", "%66"),
        ("/2015-03-31/functions/f;a=b", "f;a=b"),
        ("/2015-03-31/functions/arn%3Aaws%3Alambda", "arn:aws:lambda"),
        ("/2015-03-31/functions/arn:aws:lambda", "arn:aws:lambda"),
        ("/2015-03-31/functions/a%2Fb", "a/b"),
    ],
)
def test_h5_a_label_is_decoded_once(path: str, name: str) -> None:
    """H5: an encoded slash is data of its label, a doubled escape stays one."""
    route = LAMBDA.route(request("GET", path))

    assert ("GetFunction", {"FunctionName": name}) == (
        route.operation,
        route.path_parameters,
    )


@pytest.mark.parametrize(
    ("query", "body", "headers"),
    [
        ("Nobody=1", b"", {}),
        ("Qualifier=1&Qualifier=2", b"", {}),
        ("Qualifier=%ff", b"", {}),
        ("", b'{"a":1}', {}),
    ],
)
def test_what_is_not_the_operations_is_refused(
    query: str, body: bytes, headers: dict[str, str]
) -> None:
    """A parameter that would be ignored is refused by name."""
    with pytest.raises(Malformed):
        read(LAMBDA, request("GET", "/2015-03-31/functions/f", query, body, **headers))


def test_h16_a_json_body_says_so() -> None:
    """H16: a structured body under another type is refused."""
    body = b'{"FunctionName":"f"}'
    path = "/2015-03-31/functions"
    with pytest.raises(Malformed):
        read(LAMBDA, request("POST", path, "", body, content_type="text/plain"))

    assert {"FunctionName": "f"} == read(LAMBDA, request("POST", path, "", body))


def test_a_doubled_header_is_refused() -> None:
    """H4: two values of one parameter are two readings."""
    sent = Request(
        method="POST",
        path="/2015-03-31/functions/f/invocations",
        query="",
        headers=(("x-amz-log-type", "None"), ("x-amz-log-type", "Tail")),
        body=b"",
        peer="",
    )
    with pytest.raises(Malformed):
        read(LAMBDA, sent)


def test_an_event_stream_is_refused_by_name() -> None:
    """An operation of AWS's that is not spoken here is no unknown one."""
    headers = (("x-amz-target", "Logs_20140328.StartLiveTail"),)
    sent = Request(
        method="POST", path="/", query="", headers=headers, body=b"{}", peer=""
    )
    with pytest.raises(Unimplemented) as refused:
        wire.load("logs").route(sent)

    assert "StartLiveTail" in refused.value.reason


@pytest.mark.parametrize("service", ["ec2", "route53domains/..", "../x", "", "nobody"])
def test_a_service_that_cannot_be_spoken_is_refused_by_name(service: str) -> None:
    """No model, no protocol, no codec; and a name is never a path."""
    with pytest.raises((wire.UnknownServiceError, wire.UnsupportedProtocolError)):
        wire.load(service)


def test_a_header_cannot_split_an_answer() -> None:
    """H13: CR, LF and NUL never leave in a header."""
    for evil in ("a\r\nSet-Cookie: b", "a\nb", "a\x00b", "\u2028"):
        with pytest.raises(wire.WrongOutputError):
            LAMBDA.encode("Invoke", {"FunctionError": evil}, "id")
        reply = LAMBDA.encode_error(None, evil, evil, 400, evil)
        assert not any("\r" in v or "\n" in v or "\x00" in v for _, v in reply.headers)


def test_what_the_output_does_not_have_is_our_bug() -> None:
    """A service cannot answer with what its model does not know."""
    for codec, operation in ((LAMBDA, "GetFunction"), (IAM, "GetRole")):
        with pytest.raises(wire.WrongOutputError):
            codec.encode(operation, {"Nobody": 1}, "id")


REQUESTS = st.builds(
    request,
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]),
    st.text("/%.abf2015-3functions{}+;:é\x00", max_size=40).map(lambda t: "/" + t),
    st.text("&=%+.;a1X-é\x00", max_size=40),
    st.binary(max_size=60)
    | st.from_regex(rb'\{"[a-zA-Z]{1,9}":.{0,20}\}', fullmatch=True),
    x_amz_target=st.sampled_from(["Logs_20140328.PutLogEvents", "x", ""]),
    content_type=st.sampled_from(
        ["application/x-amz-json-1.1", "application/x-www-form-urlencoded", ""]
    ),
)


@settings(max_examples=600, deadline=None)
@given(REQUESTS, st.sampled_from([LAMBDA, LOGS, IAM, STS, S3]))
def test_any_bytes_are_read_or_refused(sent: Request, codec: wire.Codec) -> None:
    """The codec is total: parameters, or a refusal, and nothing else."""
    try:
        route = codec.route(sent)
        params = codec.decode(route, sent)
        codec.check(route.operation, params)
        list(codec.paths(route.operation, params))
    except Refusal:
        return


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([LAMBDA, LOGS, IAM, S3]),
    st.text(),
    st.text(),
    st.integers(400, 599),
)
def test_any_refusal_can_be_written(
    codec: wire.Codec, code: str, message: str, status: int
) -> None:
    """Whatever code and message a refusal has, the answer is well formed."""
    reply = codec.encode_error("X", code, message, status, "id", {"x": object()})

    assert status == reply.status
    assert reply.body
