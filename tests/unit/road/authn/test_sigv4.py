"""Signature Version 4: the rules beyond the published suite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials
from botocore.utils import percent_encode_sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.core.call import Request
from casemate.core.errors import Unauthenticated
from casemate.road.authn import sigv4
from casemate.road.authn.sigv4_faults import Dialect, Fault, refusal

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
LAMBDA = sigv4.Expectations(service="lambda", regions=frozenset({"us-east-1"}))
IAM = replace(LAMBDA, service="iam", dialect=Dialect.QUERY)
S3 = sigv4.Expectations(
    service="s3",
    regions=frozenset({"us-east-1"}),
    dialect=Dialect.S3,
    unsigned_payload=True,
    streaming=True,
    literal_path=True,
)


def arrived(request: AWSRequest) -> Request:
    """Give botocore's request as the front would."""
    prepared = request.prepare()
    _, _, rest = prepared.url.partition("://")
    authority, slash, target = rest.partition("/")
    path, _, query = (slash + target or "/").partition("?")
    headers = [
        (name.lower(), text(value).strip()) for name, value in prepared.headers.items()
    ]
    if all(name != "host" for name, _ in headers):
        headers.append(("host", authority))
    body = prepared.body or b""
    return Request(
        method=prepared.method,
        path=path or "/",
        query=query,
        headers=tuple(headers),
        body=body.encode() if isinstance(body, str) else body,
        peer="192.0.2.1",
    )


def text(value: str | bytes) -> str:
    """Give a header as latin-1 for the bytes that botocore would send."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8")
    return raw.decode("latin-1")


def made(
    signer: type = SigV4Auth,
    *,
    expect: sigv4.Expectations = LAMBDA,
    method: str = "POST",
    url: str = "https://127.0.0.1:4443/2015-03-31/functions/hello/invocations",
    token: str | None = None,
    data: bytes = b"{}",
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    **options: Any,
) -> Request:
    request = AWSRequest(method, url, headers, data, params)
    if expect.literal_path:
        request.context["payload_signing_enabled"] = options.pop("signed_body", True)
    signer(
        Credentials(KEY_ID, SECRET, token), expect.service, "us-east-1", **options
    ).add_auth(request)
    return arrived(request)


def verify(
    request: Request, expect: sigv4.Expectations = LAMBDA, *, now: float | None = None
) -> bytes:
    claims = sigv4.parse(request, dialect=expect.dialect)
    key = sigv4.derive(SECRET, claims.date, claims.region, claims.service)
    at = get_current_datetime().timestamp() if now is None else now
    return sigv4.verify(request, claims, key, at, expect)


def refused(
    request: Request, expect: sigv4.Expectations = LAMBDA, *, now: float | None = None
) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        verify(request, expect, now=now)
    return caught.value


def with_headers(request: Request, *extra: tuple[str, str]) -> Request:
    return replace(request, headers=(*request.headers, *extra))


def put(request: Request, name: str, value: str) -> Request:
    return replace(
        request,
        headers=tuple((n, value if n == name else v) for n, v in request.headers),
    )


@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzE//+token=="])
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:4443/",
        "https://127.0.0.1:4443/2015-03-31/functions/arn%3Aaws%3Alambda/policy",
        "https://[::1]:4443/a%20b/%E1%88%B4/~x?b=2&a=1&a=%2F&flag&empty=",
    ],
)
def test_botocore_signs_and_we_verify(url: str, token: str | None) -> None:
    """What SigV4Auth signs verifies, with and without a session token."""
    request = made(url=url, token=token)
    claims = sigv4.parse(request)
    assert (KEY_ID, token) == (claims.access_key_id, token and claims.token)
    assert b"{}" == verify(request)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_botocore_presigns_and_we_verify(token: str | None) -> None:
    """What SigV4QueryAuth presigns verifies."""
    request = made(SigV4QueryAuth, method="GET", data=b"", token=token, expires=60)
    assert b"" == verify(request)
    assert token == sigv4.parse(request).token


@pytest.mark.parametrize("key", ["a/b.txt", "a//b/../c", "ü%20&=+(x)*'", "%2F"])
@pytest.mark.parametrize("signed_body", [True, False])
def test_botocore_signs_for_s3(key: str, *, signed_body: bool) -> None:
    """S3's paths are signed as they are, its bodies signed or not."""
    from urllib.parse import quote  # noqa: PLC0415 — what botocore does to a key

    url = f"https://127.0.0.1:4443/bucket/{quote(key, safe='/~')}"
    request = made(
        S3SigV4Auth,
        expect=S3,
        method="PUT",
        url=url,
        data=b"x",
        headers={"Content-MD5": "nT5GobQRpQ0AGXN+7DtSFA=="},
        signed_body=signed_body,
    )
    declared = request.header("x-amz-content-sha256")
    assert signed_body == (declared != "UNSIGNED-PAYLOAD")
    assert b"x" == verify(request, S3)
    presigned = made(S3SigV4QueryAuth, expect=S3, method="PUT", url=url, data=b"")
    assert b"any" == verify(replace(presigned, body=b"any"), S3)


@given(
    params=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5),
    body=st.binary(max_size=64),
)
@settings(max_examples=60, deadline=None)
def test_any_query_and_body_round_trips(params: dict[str, str], body: bytes) -> None:
    """Whatever a client puts into query and body, its signature verifies."""
    surrogate = any(
        "\ud800" <= c <= "\udfff" for kv in params.items() for c in "".join(kv)
    )
    if surrogate or any(not key for key in params):
        return
    url = f"https://h/?{percent_encode_sequence(params)}"
    assert body == verify(made(url=url, data=body))


def test_the_date_header_stands_in_for_amazon_s() -> None:
    """Without `X-Amz-Date`, HTTP's own date is the time, if it is signed."""
    request = made(headers={"Date": "now"})
    assert request.header("x-amz-date") is None
    assert b"{}" == verify(request)
    unsigned = (request.header("authorization") or "").replace("date;", "")
    assert "date" in refused(put(request, "authorization", unsigned)).reason


@pytest.mark.parametrize(
    "value",
    ["", "now", "Sun, 06 Nov 1994 08:49:37 +0100", "Sun, 31 Feb 2026 08:49:37 GMT"],
)
def test_the_date_header_is_read_in_one_way(value: str) -> None:
    """No other form of a date is guessed at."""
    request = put(made(headers={"Date": "now"}), "date", value)
    assert "the date must be written" in refused(request).reason


def test_utf8_in_a_signed_header_survives() -> None:
    """A header is signed byte by byte, also where a byte looks like a space."""
    request = made(headers={"x-amz-meta-name": "à la carte"})
    assert b"{}" == verify(request)


@pytest.mark.parametrize(
    ("late", "fine"), [(0, 1), (300, 1), (301, 0), (-300, 1), (-301, 0)]
)
def test_a3_clock_skew_is_five_minutes_either_way(late: int, fine: int) -> None:
    """A3: 300 seconds pass, 301 do not."""
    request = made()
    at = sigv4.parse(request).at
    if fine:
        verify(request, now=at + late)
    else:
        assert "InvalidSignatureException" == refused(request, now=at + late).code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"service": "iam"}, "InvalidSignatureException"),
        ({"regions": frozenset({"eu-west-1"})}, "InvalidSignatureException"),
        ({"regions": frozenset()}, "InvalidSignatureException"),
    ],
)
def test_a3_scope_of_another_service_or_region(change: Any, code: str) -> None:
    """A3: a credential is good for its service and region only."""
    assert code == refused(made(), replace(LAMBDA, **change)).code


def test_a3_scope_of_another_day() -> None:
    """A3: the scope's date is the request's, though the signature may be right."""
    request = made()
    value = request.header("authorization") or ""
    day = sigv4.parse(request).date
    other = put(request, "authorization", value.replace(f"/{day}/", "/20200101/"))
    assert "scoped to `20200101`" in refused(other).reason


@pytest.mark.parametrize(
    "name",
    ["x-amz-target", "x-amz-security-token", "x-amz-content-sha256", "x-amz-meta-a"],
)
def test_a1_amazon_headers_must_be_signed(name: str) -> None:
    """A1: no `x-amz-…` header may be added after signing."""
    assert (
        f"`{name}` must be signed"
        in refused(with_headers(made(), (name, "0" * 64))).reason
    )


def test_h3_gateway_headers_do_not_matter_to_the_signature() -> None:
    """H3: `X-Amzn-…` is not `X-Amz-…`; it is neither believed nor in the way."""
    assert b"{}" == verify(with_headers(made(), ("x-amzn-trace-id", "Root=1")))


@pytest.mark.parametrize("expect", [LAMBDA, IAM])
def test_a2_unsigned_payload_is_for_s3(expect: sigv4.Expectations) -> None:
    """A2: a body may not go unsigned where the service does not take it."""
    request = made(expect=expect, headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    assert "is not taken here" in refused(request, expect).reason


def test_a2_a_tampered_body_is_refused() -> None:
    """A2: the body is held against the hash, declared or not."""
    refused(replace(made(), body=b"[]"))
    declared = made(S3SigV4Auth, expect=S3, method="PUT", data=b"x")
    changed = refused(replace(declared, body=b"y"), S3)
    assert ("XAmzContentSHA256Mismatch", 400) == (changed.code, changed.http_status)


@pytest.mark.parametrize(
    "hash_",
    ["", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "A" * 64, "0" * 63, "x" * 65],
)
def test_a2_a_payload_hash_is_a_hash(hash_: str) -> None:
    """Only 64 lower-case digits, or a name that this service takes."""
    request = made(headers={"x-amz-content-sha256": "0" * 64})
    refused(put(request, "x-amz-content-sha256", hash_))


def test_a5_two_authorizations_are_refused() -> None:
    """A5: a second `Authorization` header makes the request nobody's."""
    request = made()
    again = ("authorization", request.header("authorization") or "")
    assert "there twice" in refused(with_headers(request, again)).reason


def test_a5_header_and_query_together_are_refused() -> None:
    """A5: signed in both forms is signed in neither."""
    presigned = made(SigV4QueryAuth, method="GET", data=b"")
    both = with_headers(
        presigned, ("authorization", made().header("authorization") or "")
    )
    assert "both" in refused(both).reason


@pytest.mark.parametrize(
    "extra",
    [
        "&X-Amz-Signature=0",
        "&x-amz-signature=0",
        "&X%2DAmz-Signature=0",
        "&X-Amz-Expires=1",
        "&X-Amz-Algorithm=none",
        "&X-Amz-Credential=x",
    ],
)
def test_a5_authentication_parameters_are_there_once(extra: str) -> None:
    """A5: no second reading of a presigned request."""
    request = made(SigV4QueryAuth, method="GET", data=b"")
    assert "once" in refused(replace(request, query=request.query + extra)).reason


@pytest.mark.parametrize("extra", ["&x=1", "&a", "&=", "&X-Amz-Meta=1", "&+"])
def test_a4_an_unsigned_query_parameter_is_refused(extra: str) -> None:
    """A4: every parameter of a presigned request is signed."""
    request = made(SigV4QueryAuth, method="GET", data=b"")
    refused(replace(request, query=request.query + extra))


def test_a4_presigned_requests_expire() -> None:
    """A4: good to the last second, and not from before the clock's skew."""
    request = made(SigV4QueryAuth, method="GET", data=b"", expires=900)
    at = sigv4.parse(request).at
    verify(request, now=at + 900)
    verify(request, now=at - 300)
    assert "RequestExpired" == refused(request, now=at + 901).code
    assert "not yet current" in refused(request, now=at - 301).reason


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "", "1e3", "9999999"])
def test_a4_presigned_life_is_bounded(expires: str) -> None:
    """A4: one second to seven days."""
    request = made(SigV4QueryAuth, method="GET", data=b"", expires=77)
    query = request.query.replace("X-Amz-Expires=77", f"X-Amz-Expires={expires}")
    assert "604800" in refused(replace(request, query=query)).reason


def test_a4_method_swap_is_refused() -> None:
    """A4: a link to read is no link to delete."""
    request = made(SigV4QueryAuth, method="GET", data=b"")
    refused(replace(request, method="DELETE"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "4A is not supported"),
        ("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo==", "not supported"),
        ("Bearer eyJhbGciOiJub25lIn0", "not supported"),
        ("aws4-hmac-sha256 Credential=a", "not supported"),
        ("AWS4-HMAC-SHA256", "each once"),
        ("AWS4-HMAC-SHA256 Credential=a,SignedHeaders=host", "requires `Signature`"),
        ("", "not supported"),
    ],
)
def test_a9_other_algorithms_get_a_clean_error(value: str, words: str) -> None:
    """A9: what is not ours is named, and nothing breaks."""
    assert words in refused(put(made(), "authorization", value)).reason


def test_no_signature_at_all() -> None:
    """An unsigned request is told so."""
    bare = Request(
        method="GET", path="/", query="", headers=(("host", "x"),), body=b"", peer="::1"
    )
    assert "MissingAuthenticationTokenException" == refused(bare).code
    assert "MissingAuthenticationToken" == refused(bare, IAM).code


@pytest.mark.parametrize(
    "stamp",
    ["", "20260230T000000Z", "2026-01-01T00:00:00Z", "20260101T000000", "٢" * 15 + "Z"],
)
def test_a_date_is_a_date(stamp: str) -> None:
    """A date that is none is refused, not guessed at."""
    assert "date" in refused(put(made(), "x-amz-date", stamp)).reason


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "a",
        "a/b/c/d/e",
        f"{KEY_ID}/20260101/us-east-1/lambda",
        f"{KEY_ID}/20260101/../lambda/aws4_request",
    ],
)
def test_a_credential_has_five_parts(credential: str) -> None:
    """The scope is read in one way."""
    request = made()
    value = (request.header("authorization") or "").split("Credential=")
    rest = value[1].partition(",")[2]
    changed = put(request, "authorization", f"{value[0]}Credential={credential},{rest}")
    assert refused(changed).code in {
        "IncompleteSignatureException",
        "InvalidSignatureException",
    }


@given(value=st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_authorization_is_refused_cleanly(value: str) -> None:
    """No bytes of an `Authorization` header do more than get a refusal."""
    refused(put(made(), "authorization", f"AWS4-HMAC-SHA256 {value}"))


@given(query=st.text(alphabet=st.characters(max_codepoint=255), max_size=120))
@settings(max_examples=300, deadline=None)
def test_any_query_is_refused_cleanly(query: str) -> None:
    """No bytes of a query do more than get a refusal."""
    request = made(SigV4QueryAuth, method="GET", data=b"")
    refused(replace(request, query=f"X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}"))


def test_h5_one_signature_covers_one_query() -> None:
    """H5: `+`, `%20` and `%2B` are three things."""
    url = "https://h/?a=b%2Bc"
    request = made(url=url)
    verify(request)
    refused(replace(request, query="a=b+c"))
    refused(replace(request, query="a=b%20c"))


def test_h5_an_encoded_slash_is_no_slash() -> None:
    """H5: S3's path is signed with its encoded slashes apart."""
    request = made(S3SigV4Auth, expect=S3, method="GET", url="https://h/b/k", data=b"")
    verify(request, S3)
    refused(replace(request, path="/b%2Fk"), S3)


def test_a7_no_message_tells_a_secret() -> None:
    """A7: neither key nor computed signature is in what is told or recorded."""
    request = put(made(), "x-amz-date", sigv4.parse(made()).stamp)
    claims = sigv4.parse(request)
    error = refused(replace(request, body=b"?"))
    told = f"{error.reason}{dict(error.evidence)}{error.args}"
    assert SECRET not in told
    assert claims.signature not in told
    assert sigv4.derive(SECRET, claims.date, "us-east-1", "lambda").hex() not in told


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("dialect", list(Dialect))
def test_each_fault_has_a_code_in_each_dialect(fault: Fault, dialect: Dialect) -> None:
    """Nothing is refused without a code that AWS's clients know."""
    error = refusal(fault, "because", dialect)
    assert error.code
    assert error.http_status in {400, 403}


def test_what_needs_no_key_is_checked_without_one() -> None:
    """A stranger's scope or date costs the keyholder nothing."""
    claims = sigv4.parse(made())
    sigv4.precheck(claims, claims.at, LAMBDA)
    for now, expect in (
        (claims.at + 301, LAMBDA),
        (claims.at, replace(LAMBDA, service="iam")),
        (claims.at, replace(LAMBDA, regions=frozenset({"eu-west-1"}))),
    ):
        with pytest.raises(Unauthenticated):
            sigv4.precheck(claims, now, expect)
