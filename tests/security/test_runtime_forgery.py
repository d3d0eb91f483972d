"""
Code that speaks to the node as if it were the runtime.

Managed Python code shares its process with the runtime and holds the control
stream, so it can say anything; Node.js code reaches the Runtime API.  Whatever
either says, the node believes only what fits, once, of that cell alone.
"""

from __future__ import annotations

import base64
import json
import textwrap
from typing import Any

import pytest
from botocore.exceptions import ClientError

from casemate.road.sandbox.frames import CODES
from security.local_doors import gauge
from security.probe import HANDLER, Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

SPEAK = f"""
import struct
control = socket.socket(fileno=os.dup(3))
mine = context.aws_request_id
WORDS = { {str(word): code for word, code in CODES.items()} }
def say(word, body=b"", request_id=""):
    name = request_id.encode()
    head = struct.pack(">BBI", WORDS[word], len(name), len(body))
    control.sendall(head + name + body)
def answer_to(request_id, value):
    say("response", json.dumps(value).encode(), request_id)
"""

NODE = """
const http = require("node:http");
const ask = (method, path, body, headers) => new Promise((done) => {
  const asked = http.request({host: "127.0.0.1", port: 9001, method, path,
    headers: {...headers}}, (answer) => {
      let text = "";
      answer.on("data", (piece) => { text += piece; });
      answer.on("end", () => done([answer.statusCode, text]));
  });
  asked.on("error", (error) => done([0, String(error)]));
  asked.setTimeout(3000, () => { asked.destroy(); done([-1, ""]); });
  asked.end(body);
});
const API = "/2018-06-01/runtime";
exports.handler = async (event, context) => {
  const Code = (async () => {}).constructor;
  const run = new Code("event", "context", "ask", "API", event.code);
  return await run(event, context, ask, API);
};
"""


def forge(probe: Probe, code: str, **event: Any) -> tuple[Any, dict[str, Any]]:
    """Run code that can say frames."""
    return probe.send(SPEAK + textwrap.dedent(code), **event)


@pytest.fixture(scope="module")
def node(tenant: Tenant) -> Probe:
    """A Node.js function that runs the JavaScript it is sent."""
    made = Probe.__new__(Probe)
    made.tenant = tenant
    made.name = tenant.deploy(
        {"index.js": NODE}, "node-probe", Runtime="nodejs20.x", Handler="index.handler"
    )
    return made


def test_r1_nobody_takes_the_next_event_while_one_runs(node: Probe) -> None:
    """R1: `next` is refused while an invocation is under way."""
    status, body = node.run("return await ask('GET', `${API}/invocation/next`);")
    assert status == 403
    assert json.loads(body)["errorType"] == "InvalidStateTransition"
    assert node.run("return 'fine';") == "fine"


def test_r1_a_managed_cell_has_no_runtime_api(probe: Probe) -> None:
    """R1: there is nothing to ask for events where frames are spoken."""
    assert probe.said("tried(socket.create_connection, ('127.0.0.1', 9001), 3)") != "ok"


def test_r2_an_answer_to_another_request_is_refused(node: Probe, probe: Probe) -> None:
    """R2: a guessed id is 403 by the Runtime API and dropped from frames."""
    other = "01a20919-cb66-734c-9331-072d9ab4b818"
    status, body = node.run(
        f"return await ask('POST', `${{API}}/invocation/{other}/response`, '1');"
    )
    assert (status, json.loads(body)["errorType"]) == (403, "InvalidRequestID")
    code = f"answer_to({other!r}, 'forged'); answer = 'true'"
    assert forge(probe, code)[0] == "true"


def test_r2_one_cell_does_not_answer_for_another(tenant: Tenant) -> None:
    """R2: the id of a request that really runs, said by another function's cell."""
    victim, forger = "r2-victim", "r2-forger"
    statement = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": f"arn:aws:lambda:*:*:function:{forger}",
    }
    role = tenant.platform.role("r2", statement)
    Probe(tenant, victim, Role=role, Timeout=20)
    liar = Probe(tenant, forger)
    code = """
    import boto3
    boto3.client("lambda").invoke(FunctionName=event["forger"], Payload=json.dumps(
        {"code": event["lie"], "id": context.aws_request_id}).encode())
    answer = "true"
    """
    lie = SPEAK + "answer_to(event['id'], 'forged'); answer = 'lied'"
    answer, _ = tenant.invoke(
        victim, {"code": textwrap.dedent(code), "forger": liar.name, "lie": lie}
    )
    assert answer == "true"


@pytest.mark.parametrize(
    ("lies", "first"),
    [
        ("answer_to(mine, 'first'); answer_to(mine, 'second')", "first"),
        (
            "answer_to(mine, 'first'); say('error', b'{}', mine)",
            "first",
        ),
        ("say('init_error', b'{}')", "handler"),
        ("say('initialized'); say('waiting')", "handler"),
        ("say('unpacked', bytes(16))", "handler"),
    ],
)
def test_r3_r4_the_first_answer_counts_and_only_once(
    probe: Probe, lies: str, first: str
) -> None:
    """R3, R4: what is said twice or out of place is dropped; nothing is left over."""
    answer, response = forge(probe, f"{lies}; answer = 'handler'")
    assert (answer, response.get("FunctionError")) == (first, None)
    assert forge(probe, "answer = 'next'")[0] == "next"


def test_r3_a_late_answer_is_dropped(probe: Probe) -> None:
    """R3: an answer to the last request does not answer this one."""
    past = forge(probe, "answer = mine")[0]
    code = "answer_to(event['past'], 'late'); answer = mine"
    answer, response = forge(probe, code, past=past)
    assert answer == response["ResponseMetadata"]["RequestId"]
    assert answer != past


@pytest.mark.parametrize(
    "noise",
    [
        "say('error', b'x' * (10 << 20), mine)",
        "say('response', b'1' * (7 << 20), mine)",
        "control.sendall(b'\\xff' * 64)",
        "control.sendall(struct.pack('>BBI', 4, 36, (1 << 32) - 1))",
        "control.sendall(struct.pack('>BBI', 0, 0, 0))",
        "say('response', b'1')",
        "say('initialized', b'', mine)",
        "say('response', b'1', 'x' * 200)",
        "say('response', b'1', '\\u00e9')",
        "[say('waiting') for _ in range(2000)]; time.sleep(9)",
        "control.shutdown(2); time.sleep(9)",
    ],
)
def test_r3_broken_frames_end_the_cell_and_nothing_else(
    tenant: Tenant, probe: Probe, noise: str
) -> None:
    """R3: a cell that breaks its frames is ended; the next call has another."""
    answer, response = forge(probe, f"{noise}\ntime.sleep(9)")
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "Runtime.ExitError"
    assert forge(probe, "answer = 'alive'")[0] == "alive"
    assert tenant.client("casemate").get_status()["Cells"]["Busy"] == 0


def test_r3_the_runtime_api_takes_one_answer(node: Probe) -> None:
    """R3, R4: a second answer, an error after it and an init error are refused."""
    answer = node.run(
        """
        const here = `${API}/invocation/${context.awsRequestId}`;
        const said = [await ask("POST", `${API}/init/error`, "{}")];
        said.push(await ask("POST", `${here}/response`, '"first"'));
        globalThis.said = said;
        globalThis.said.push(await ask("POST", `${here}/response`, '"second"'));
        globalThis.said.push(await ask("POST", `${here}/error`, "{}"));
        return "third";
        """
    )
    assert answer == "first"
    after, response = node.send("return globalThis.said || 'another cell';")
    assert "FunctionError" not in response
    if after != "another cell":
        assert [status for status, _ in after][:2] == [403, 202]
        assert [status for status, _ in after][2:] == [403, 403]


def test_r3_an_error_past_its_bound_is_refused(node: Probe) -> None:
    """R3: 10 MB of error is 413, and the caller is told so."""
    answer, response = node.send(
        """
        const here = `${API}/invocation/${context.awsRequestId}`;
        await ask("POST", `${here}/error`, "x".repeat(10 << 20));
        return "handler";
        """
    )
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    "headers",
    [
        '{Host: "api.casemate.internal"}',
        '{Host: "evil.example:9001"}',
        '{Origin: "https://evil.example"}',
        '{"Sec-Fetch-Mode": "cors"}',
        '{"X-Forwarded-For": "10.0.0.1"}',
        '{Via: "1.1 proxy"}',
        '{Referer: "http://evil.example/"}',
    ],
)
def test_r1_a_tricked_function_does_not_read_its_events(
    node: Probe, headers: str
) -> None:
    """R1: what a browser or a proxy would send to the Runtime API is refused."""
    code = "return await ask('GET', `${API}/invocation/next`, undefined, %s);"
    status, body = node.run(code % headers)
    assert (status, json.loads(body)["errorType"]) == (403, "Forbidden")


@pytest.mark.parametrize(
    "path",
    [
        "/2020-01-01/extension/register",
        "/2022-07-01/telemetry",
        "/2020-08-15/logs",
        "/2018-06-01/runtime/restore/next",
    ],
)
def test_r6_what_is_not_built_is_refused_by_name(node: Probe, path: str) -> None:
    """R6: extensions, telemetry and snapshots are refused, never pretended."""
    status, body = node.run(f"return await ask('POST', {path!r}, '{{}}');")
    assert status >= 400
    assert "not supported" in body


def test_r4_a_broken_init_is_tried_once_a_call(tenant: Tenant) -> None:
    """R4, Q8: each call of a function that cannot start costs one cell, no more."""
    name = tenant.deploy("raise RuntimeError('no')\n")
    before = gauge(tenant.platform, "casemate_sandbox_cold")
    for _ in range(5):
        answer, response = tenant.invoke(name)
        assert response["FunctionError"] == "Unhandled"
        assert answer["errorType"] == "RuntimeError"
    assert gauge(tenant.platform, "casemate_sandbox_cold") == before + 5


def test_r5_facts_of_the_invocation_are_the_platform_s(
    tenant: Tenant, probe: Probe
) -> None:
    """R5: no header of the caller's becomes deadline, identity or function."""
    client = tenant.platform.client("lambda")
    forged = {
        "Lambda-Runtime-Deadline-Ms": "99999999999999",
        "Lambda-Runtime-Cognito-Identity": '{"identityId": "evil"}',
        "Lambda-Runtime-Invoked-Function-Arn": "arn:evil",
        "Lambda-Runtime-Aws-Request-Id": "evil",
        "X-Amz-Cognito-Identity": "evil",
        "X-Amzn-RequestId": "evil",
    }

    def add(request: Any, **_: object) -> None:
        for name, value in forged.items():
            request.headers[name] = value

    client.meta.events.register("before-sign.lambda.Invoke", add)
    code = """
    answer = [context.get_remaining_time_in_millis(), context.invoked_function_arn,
              context.identity and context.identity.cognito_identity_id,
              context.aws_request_id, context.client_context]
    """
    payload = json.dumps({"code": textwrap.dedent(code)}).encode()
    response = client.invoke(FunctionName=probe.name, Payload=payload)
    left, arn, identity, request_id, context = json.load(response["Payload"])
    assert 0 < left <= 10_000
    assert arn.endswith(f":function:{probe.name}")
    assert identity is None
    assert request_id == response["ResponseMetadata"]["RequestId"] != "evil"
    assert context is None


@pytest.mark.parametrize(
    ("context", "code"),
    [
        (b"x" * 2688, "InvalidParameterValueException"),
        (b"[1]", "InvalidRequestContentException"),
        (b"\xff", "InvalidRequestContentException"),
    ],
)
def test_r5_a_client_context_has_bounds(
    tenant: Tenant, probe: Probe, context: bytes, code: str
) -> None:
    """R5: 3,583 bytes of base64 that hold a JSON object; else refused, on record."""
    refused = tenant.refused(
        tenant.client("lambda").invoke,
        FunctionName=probe.name,
        ClientContext=base64.b64encode(context).decode(),
    )
    assert (refused.code, refused.record["eventName"]) == (code, "Invoke")


def test_r11_a_cell_s_session_outlasts_its_cell(probe: Probe) -> None:
    """R11: the credentials hold longer than any invocation that the cell may begin."""
    seen = probe.said("sorted(k for k in os.environ if 'EXPIR' in k or 'TOKEN' in k)")
    assert seen == ["AWS_SESSION_TOKEN"]
    arn = probe.run(
        "import boto3; answer = boto3.client('sts').get_caller_identity()['Arn']"
    )
    assert arn.endswith("/powerless/probe")


@pytest.mark.parametrize("where", ["the host", "another cell"])
def test_r11_a_cell_s_session_is_good_in_that_cell_only(
    tenant: Tenant, probe: Probe, where: str
) -> None:
    """R11: taken elsewhere, even into a cell of the same account, it is refused."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = probe.said(f"[os.environ[n] for n in {names}]")
    given = dict(zip([n.lower() for n in names], keys, strict=True))
    if where == "the host":
        client = tenant.platform.client("sts", credentials=given)
        with pytest.raises(ClientError) as caught:
            client.get_caller_identity()
        told: Any = caught.value.response
        code, request_id = (
            told["Error"]["Code"],
            told["ResponseMetadata"]["RequestId"],
        )
    else:
        thief = Probe(tenant, "thief")
        code, request_id = thief.run(
            """
            import boto3, botocore
            try:
                boto3.client("sts", **event["given"]).get_caller_identity()
                answer = ["served", ""]
            except botocore.exceptions.ClientError as error:
                answer = [error.response["Error"]["Code"],
                          error.response["ResponseMetadata"]["RequestId"]]
            """,
            given=given,
        )
    assert code == "InvalidClientTokenId"
    story = tenant.platform.casemate("why", request_id)
    assert story.returncode == 0
    assert "InvalidClientTokenId" in story.stdout


def test_the_probe_is_an_ordinary_function(tenant: Tenant) -> None:
    """The control: the same code under another name answers the same way."""
    name = tenant.deploy(HANDLER)
    assert tenant.invoke(name, {"code": "answer = 6 * 7"})[0] == 42
