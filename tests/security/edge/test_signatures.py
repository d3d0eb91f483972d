"""Who sends a request: bent, replayed, forged and foreign proofs, on the real door."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import Platform
from security.edge.attacker import Attacker, Watch
from security.edge.signing import (
    ALGORITHM,
    Ask,
    Keys,
    identity_call,
    json_call,
    presign,
    sign,
    stamp,
)
from security.edge.witness import Refused, must_refuse
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

WHO = "Action=GetCallerIdentity&Version=2011-06-15"
LIST = json_call("logs", "Logs_20140328.DescribeLogGroups", {})


@pytest.fixture(scope="module")
def user(alice: Tenant) -> Keys:
    """A user with a long-lived key, who may do anything with logs."""
    return make_user(alice, "signer", "logs:*")


def make_user(tenant: Tenant, name: str, *actions: str) -> Keys:
    iam = tenant.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    iam.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Keys(id=made["AccessKeyId"], secret=made["SecretAccessKey"])


def _nobody(refused: Refused) -> None:
    """The refusal is 403, and the record knows of nobody."""
    assert refused.answer.status == 403, refused
    if refused.record:
        assert refused.record["userIdentity"] == {"type": "Unknown"}


def test_what_is_signed_rightly_passes(
    attacker: Attacker, keys: Keys, user: Keys
) -> None:
    """The attacks below fail for what they bend, and for nothing else."""
    for who in (keys, user):
        assert attacker.ask(identity_call(), who).status == 200
        assert attacker.ask(LIST, who).status == 200
    got = presign(
        attacker.placed(Ask(service="sts", method="GET", query=WHO)), keys, expires=60
    )
    assert attacker.ask(got).status == 200


@pytest.mark.parametrize(
    "name", ["host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"]
)
def test_a1_what_must_be_signed(
    name: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A1: a header that decides, sent outside of the signature, is refused."""
    body = b"{}"
    ask = replace(
        LIST,
        body=body,
        declared=hashlib.sha256(body).hexdigest(),
        unsigned=frozenset({name}),
    )
    refused = must_refuse(attacker, watch, ask, keys)
    _nobody(refused)
    assert refused.answer.code == "IncompleteSignatureException"


def test_a1_a_header_added_on_the_way(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A1: nor can an `x-amz-` header be added to what was signed."""
    ask = replace(LIST, extra_after=(("x-amz-mfa", "arn 123456"),))
    _nobody(must_refuse(attacker, watch, ask, keys))


@pytest.mark.parametrize(
    "declared",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "0" * 64,
        hashlib.sha256(b"another").hexdigest(),
    ],
)
def test_a2_an_unsigned_body(
    declared: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A2: a body that the signature does not cover is refused."""
    for ask in (LIST, identity_call()):
        _nobody(must_refuse(attacker, watch, replace(ask, declared=declared), keys))


def test_a2_a_body_changed_on_the_way(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A2: one letter of the body is enough."""
    data = attacker.written(json_call("logs", LIST.headers[1][1], {"limit": 1}), keys)
    _nobody(must_refuse(attacker, watch, data.replace(b'"limit": 1', b'"limit": 2')))


@pytest.mark.parametrize("seconds", [-301, 302, -86_400, 86_400])
def test_a3_skew(seconds: int, attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """A3: more than five minutes off, either way."""
    ask = replace(LIST, at=time.time() + seconds)
    refused = must_refuse(attacker, watch, ask, keys)
    _nobody(refused)
    assert refused.answer.code == "InvalidSignatureException"


def test_a3_within_five_minutes(attacker: Attacker, keys: Keys) -> None:
    """A3: an honest clock that is four minutes off passes."""
    for seconds in (-240, 240):
        ask = replace(LIST, at=time.time() + seconds)
        assert attacker.ask(ask, keys).status == 200


def test_a3_scope(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """A3: a credential scoped to another region, day or service."""
    yesterday = stamp(time.time() - 86_400)[:8]
    _nobody(must_refuse(attacker, watch, replace(LIST, region="eu-west-1"), keys))
    _nobody(must_refuse(attacker, watch, replace(LIST, scope_date=yesterday), keys))
    # Signed for lambda, and shaped as a call of logs: lambda has no such path.
    must_refuse(attacker, watch, replace(LIST, service="lambda"), keys)
    must_refuse(attacker, watch, replace(LIST, service="s3"), keys)


def test_a4_a_captured_change(
    attacker: Attacker, watch: Watch, alice: Tenant, keys: Keys
) -> None:
    """A4: sent again at once it changes nothing more; later it is too late."""
    name = f"/replayed/{secrets.token_hex(4)}"
    ask = json_call("logs", "Logs_20140328.CreateLogGroup", {"logGroupName": name})
    data = attacker.written(ask, keys)
    assert attacker.send(data).status == 200
    again = must_refuse(attacker, watch, data)
    assert again.answer.code == "ResourceAlreadyExistsException"
    found = alice.client("logs").describe_log_groups(logGroupNamePrefix=name)
    assert len(found["logGroups"]) == 1
    late = sign(attacker.placed(replace(ask, at=time.time() - 301)), keys)
    _nobody(must_refuse(attacker, watch, late))


def test_a4_presigned(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """A4: no other method, no added parameter, not later, not for weeks."""
    ask = attacker.placed(Ask(service="sts", method="GET", query=WHO))
    good = presign(ask, keys, expires=60)
    assert attacker.ask(good).status == 200
    bent = {
        "method": replace(good, method="POST"),
        "parameter": replace(good, query=f"{good.query}&Extra=1"),
        "parameter before": replace(good, query=f"Extra=1&{good.query}"),
        "body": replace(good, body=b"Action=GetCallerIdentity"),
        "expired": presign(replace(ask, at=time.time() - 62), keys, expires=60),
        "eight days": presign(ask, keys, expires=604_801),
        "for ever": presign(ask, keys, expires=10**9),
        "never": presign(ask, keys, expires=0),
        "from the future": presign(replace(ask, at=time.time() + 400), keys, expires=9),
        "longer than signed": replace(
            good, query=good.query.replace("Expires=60", "Expires=600")
        ),
    }
    for what, form in bent.items():
        answer = must_refuse(attacker, watch, form).answer
        assert answer.status in (400, 403), (what, answer)


def test_a5_two_proofs(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """A5: two proofs could be read as either, so they are none."""
    ask = attacker.placed(identity_call())
    once = sign(ask, keys)
    line = next(
        line for line in once.split(b"\r\n") if line.startswith(b"authorization:")
    )
    must_refuse(attacker, watch, once.replace(line, line + b"\r\n" + line))
    must_refuse(attacker, watch, once.replace(line, line + b"\r\n" + line.title()))
    got = presign(replace(ask, method="GET", query=WHO, body=b""), keys, expires=60)
    must_refuse(attacker, watch, sign(got, keys))
    signature = got.query.rpartition("&")[2]
    for more in (signature, signature.lower(), "X-Amz-Signature=00", "x-amz-date=1"):
        must_refuse(attacker, watch, replace(got, query=f"{got.query}&{more}"))


def test_a6_chunks_where_none_are_taken(
    attacker: Attacker, watch: Watch, keys: Keys, alice: Tenant
) -> None:
    """A6: a body in signed chunks is not read by services that take none."""
    name = f"/chunked/{secrets.token_hex(4)}"
    body = json.dumps({"logGroupName": name}).encode()
    chunk = b"%x;chunk-signature=%b\r\n%b\r\n0;chunk-signature=%b\r\n\r\n" % (
        *(len(body), b"0" * 64, body, b"0" * 64),
    )
    ask = json_call("logs", "Logs_20140328.CreateLogGroup", chunk)
    for declared in (
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    ):
        headers = (
            *ask.headers,
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", str(len(body))),
        )
        bent = replace(ask, declared=declared, headers=headers)
        must_refuse(attacker, watch, bent, keys)
    found = alice.client("logs").describe_log_groups(logGroupNamePrefix=name)
    assert found["logGroups"] == []


def test_a7_a_refusal_tells_no_secret(
    attacker: Attacker, watch: Watch, user: Keys
) -> None:
    """A7: neither the answer nor the record has a secret, or the right signature."""
    ask = attacker.placed(replace(LIST, at=time.time()))
    right = sign(ask, user).partition(b"Signature=")[2][:64].decode()
    wrong = sign(ask, replace(user, secret="x" * 40))
    refused = must_refuse(attacker, watch, wrong)
    _nobody(refused)
    for told in (refused.answer.body.decode(), json.dumps(refused.record)):
        assert user.secret not in told
        assert right not in told
        assert ALGORITHM not in told


def test_a8_a_session_and_its_token(
    attacker: Attacker, watch: Watch, keys: Keys, user: Keys, bob: Tenant
) -> None:
    """A8: a session's key without its token, or with another's, is nobody's."""
    platform = attacker.platform
    other = Keys.of(platform.session(bob.account))
    forms = {
        "no token": replace(keys, token=""),
        "another's token": replace(keys, token=other.token),
        "another's id": replace(keys, id=other.id),
        "a user's id with a token": replace(user, token=keys.token),
        "a token of nothing": replace(keys, token="A" * 400),
        "short": replace(keys, token=keys.token[:-1]),
        "twice": replace(keys, token=keys.token * 2),
        "no such key": replace(user, id="AKIA" + "A" * 16),
        "a session of nobody": replace(keys, id="ASIA" + "A" * 16),
    }
    for what, form in forms.items():
        refused = must_refuse(attacker, watch, LIST, form)
        _nobody(refused)
        assert refused.answer.code in (
            "UnrecognizedClientException",
            "InvalidSignatureException",
        ), (what, refused)


def test_a8_thousands_of_bent_tokens(
    platform: Platform, watch: Watch, keys: Keys
) -> None:
    """A8: no cut or flipped token is a session, in however many tries."""
    raw = keys.token.encode()
    before = watch.counted("casemate_calls_total", ending="Unauthenticated")
    codes: dict[str, int] = {}
    tries = 0
    # Few enough that the record of strangers has room for the other tests' too.
    for _ in range(10):
        attacker = Attacker(platform)
        with attacker.line() as line:
            bent = [_bent(raw) for _ in range(100)]
            asks = [
                attacker.written(identity_call(), replace(keys, token=token))
                for token in bent
            ]
            line.say(b"".join(asks))
            for _ in asks:
                code = line.hear().code
                codes[code] = codes.get(code, 0) + 1
                tries += 1
    assert set(codes) <= {"InvalidClientTokenId", "Throttling", "ExpiredToken"}, codes
    assert codes["InvalidClientTokenId"] > tries / 2, codes
    refused = watch.counted("casemate_calls_total", ending="Unauthenticated") - before
    assert refused == tries - codes.get("Throttling", 0)


def _bent(token: bytes) -> str:
    place = secrets.randbelow(len(token))
    if secrets.randbelow(4) == 0:
        return token[:place].decode() or "A"
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    other = bytes([secrets.choice(letters.replace(token[place : place + 1], b""))])
    return (token[:place] + other + token[place + 1 :]).decode()


def test_a8_a_role_that_is_gone(
    attacker: Attacker, watch: Watch, alice: Tenant
) -> None:
    """A8: sessions end with their role, and one of the same name revives none."""
    iam, sts = alice.client("iam"), alice.client("sts")
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": alice.account},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
    arn = iam.create_role(RoleName="gone", AssumeRolePolicyDocument=trust)["Role"][
        "Arn"
    ]
    given = sts.assume_role(RoleArn=arn, RoleSessionName="soon-gone")["Credentials"]
    session = Keys(
        id=given["AccessKeyId"],
        secret=given["SecretAccessKey"],
        token=given["SessionToken"],
    )
    assert attacker.ask(identity_call(), session).status == 200
    iam.delete_role(RoleName="gone")
    _nobody(must_refuse(attacker, watch, identity_call(), session))
    iam.create_role(RoleName="gone", AssumeRolePolicyDocument=trust)
    refused = must_refuse(attacker, watch, identity_call(), session)
    _nobody(refused)
    assert refused.answer.code == "InvalidClientTokenId"
    iam.delete_role(RoleName="gone")


def test_a8_a_key_that_is_off(attacker: Attacker, watch: Watch, alice: Tenant) -> None:
    """A8: an inactive key, a deleted key, a deleted user: refused at once."""
    iam = alice.client("iam")
    user = make_user(alice, "leaver", "logs:*")
    assert attacker.ask(LIST, user).status == 200
    told = {"UserName": "leaver", "AccessKeyId": user.id}
    iam.update_access_key(**told, Status="Inactive")
    refused = must_refuse(attacker, watch, LIST, user)
    assert refused.evidence["cause"] == "the access key is inactive"
    iam.update_access_key(**told, Status="Active")
    assert attacker.ask(LIST, user).status == 200
    iam.delete_access_key(**told)
    again = must_refuse(attacker, watch, LIST, user)
    # One answer for both: which of them it was is the record's to know.
    assert again.answer.body == refused.answer.body


@pytest.mark.parametrize(
    "algorithm",
    [
        "AWS4-ECDSA-P256-SHA256",
        "AWS4-HMAC-SHA512",
        "Bearer",
        "none",
    ],
)
def test_a9_other_algorithms(
    algorithm: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A9: a clean error, which says what to sign with."""
    refused = must_refuse(attacker, watch, replace(LIST, algorithm=algorithm), keys)
    assert refused.answer.status in (400, 403)
    assert "Signature Version 4" in refused.answer.body.decode() or (
        ALGORITHM in refused.answer.body.decode()
    )


def test_a15_nothing_unsigned_is_answered(attacker: Attacker, watch: Watch) -> None:
    """A15: there is no caller that needs no proof, and no secret to guess."""
    for auth in ("", "Basic YWRtaW46YWRtaW4=", "Bearer x", "AWS admin:admin"):
        for path in ("/", "/metrics", "/debug/pprof/", "/healthz", "/console", "/env"):
            headers = (("authorization", auth),) if auth else ()
            ask = Ask(service="", method="GET", path=path, headers=headers)
            answer = must_refuse(attacker, watch, attacker.placed(ask)).answer
            assert answer.status == 403
            assert answer.code == "MissingAuthenticationToken"


def test_a15_guessing_is_throttled(
    platform: Platform, watch: Watch, user: Keys, alice: Tenant
) -> None:
    """
    A15: who fails too often waits.

    Whoever shares the address and proves a key that is known does not, nor does
    anybody elsewhere; a key that the keyholder would have to be asked for waits.
    """
    guesser, other = Attacker(platform), Attacker(platform)
    wrong, fresh = replace(user, secret="x" * 40), make_user(alice, "fresh", "logs:*")
    before = watch.counted("casemate_calls_total", ending="Throttled")
    with guesser.line() as line:
        # All on one line, so that no time passes in which a guess is earned.
        data = guesser.written(LIST, wrong)
        line.say(data * 260)
        line.say(guesser.written(LIST, fresh) + guesser.written(LIST, user))
        statuses = [line.hear().status for _ in range(260)]
        unknown, known = line.hear(), line.hear()
    assert statuses[:200] == [403] * 200
    assert statuses[-1] == 429
    assert (unknown.status, unknown.code) == (429, "ThrottlingException")
    assert int(unknown.headers["retry-after"]) >= 1
    assert known.status == 200
    # So many refusals of one stranger are counted, and not each written.
    throttled = statuses.count(429) + 1
    after = watch.counted("casemate_calls_total", ending="Throttled")
    assert after == before + throttled
    assert other.ask(LIST, user).status == 200


CREDENTIALS = (
    "import os\n"
    "def handler(event, context):\n"
    "    return [os.environ[n] for n in ('AWS_ACCESS_KEY_ID', "
    "'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN')]\n"
)
CALLER = (
    "import boto3\n"
    "def handler(event, context):\n"
    "    given = event or {}\n"
    "    try:\n"
    "        return boto3.client('sts', **given).get_caller_identity()['Arn']\n"
    "    except Exception as error:\n"
    "        return str(error)\n"
)


def test_a16_a_cells_credentials_outside(
    attacker: Attacker, watch: Watch, alice: Tenant
) -> None:
    """A16: stolen from a cell, they are nobody's outside; the record says whose."""
    name = alice.deploy(CREDENTIALS)
    stolen, _ = alice.invoke(name)
    keys = Keys(id=stolen[0], secret=stolen[1], token=stolen[2])
    refused = must_refuse(attacker, watch, identity_call(), keys)
    _nobody(refused)
    assert refused.answer.code == "InvalidClientTokenId"
    evidence = refused.evidence
    assert evidence["cause"] == "a cell's credentials were used out of place"
    assert evidence["used_in"] == "outside"
    assert evidence["role"] == alice.role
    assert evidence["bound_to"].startswith("c")
    assert evidence["bound_to"] not in refused.answer.body.decode()


def test_a16_a_cells_credentials_in_another_cell(alice: Tenant) -> None:
    """A16: nor do they work in another function's cell, which has its own."""
    stolen, _ = alice.invoke(alice.deploy(CREDENTIALS))
    name = alice.deploy(CALLER, MemorySize=512, Timeout=20)
    own, _ = alice.invoke(name)
    assert ":assumed-role/" in own
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    told, _ = alice.invoke(name, dict(zip(names, stolen, strict=True)))
    assert "InvalidClientTokenId" in told


def test_a18_a_session_cannot_be_stretched(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """A18: the time of its end is sealed in the token; no part of it is the caller's.

    (That a clock set back revives nothing is held in `crash`, across a restart.)
    """
    for padding in ("", "=", "=="):
        text = keys.token.rstrip("=") + padding
        bent = replace(keys, token=text)
        if text != keys.token:
            _nobody(must_refuse(attacker, watch, identity_call(), bent))
    claims = base64.urlsafe_b64encode(b'{"expires_at":99999999999}').decode()
    for token in (claims, f"{claims}.{keys.token}", f"{keys.token}.{claims}"):
        _nobody(
            must_refuse(attacker, watch, identity_call(), replace(keys, token=token))
        )


def test_a_clients_error_is_its_protocols(alice: Tenant, user: Keys) -> None:
    """A9: boto3 reads the code that it expects, so it corrects or retries rightly."""
    platform = alice.platform
    given: dict[str, Any] = {
        "aws_access_key_id": user.id,
        "aws_secret_access_key": "x" * 40,
    }
    expected = {
        "lambda": ("list_functions", "InvalidSignatureException"),
        "logs": ("describe_log_groups", "InvalidSignatureException"),
        "sts": ("get_caller_identity", "SignatureDoesNotMatch"),
        "iam": ("list_users", "SignatureDoesNotMatch"),
    }
    for service, (operation, code) in expected.items():
        client = platform.client(service, credentials=given)
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)()
        assert caught.value.response["Error"]["Code"] == code
