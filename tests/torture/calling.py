"""A function of the torture: it puts its effect into a queue, with Python alone."""

import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])
TLS = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
TARGET = "AmazonSQS.SendMessage"
NAMES = "host;x-amz-date;x-amz-security-token;x-amz-target"


def handler(event: dict[str, Any], _context: object) -> object:
    body = {
        "requestPayload": event,
        "responsePayload": {"proof": event["n"] * 7 + 1},
    }
    call = {"QueueUrl": os.environ["TOLD"], "MessageBody": json.dumps(body)}
    while True:
        try:
            return sent(json.dumps(call).encode())
        except OSError:
            # The platform is being killed, and this cell ends with it.
            time.sleep(0.05)


def sent(body: bytes) -> bool:
    line = http.client.HTTPSConnection(ENDPOINT.netloc, context=TLS, timeout=5)
    try:
        line.request("POST", "/", body, signed(body))
        answer = line.getresponse()
        told = answer.read()
    finally:
        line.close()
    if answer.status != 200:
        raise RuntimeError(told)
    return True


def signed(body: bytes) -> dict[str, str]:
    """Sign with Signature Version 4."""
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    token = os.environ["AWS_SESSION_TOKEN"]
    region = os.environ["AWS_REGION"]
    lines = (
        f"host:{ENDPOINT.netloc}\nx-amz-date:{when}\n"
        f"x-amz-security-token:{token}\nx-amz-target:{TARGET}\n"
    )
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n/\n\n{lines}\n{NAMES}\n{digest}"
    parts = (when[:8], region, "sqs", "aws4_request")
    scope = "/".join(parts)
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashed}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    return {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": when,
        "X-Amz-Security-Token": token,
        "X-Amz-Target": TARGET,
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={credential}, "
            f"SignedHeaders={NAMES}, Signature={signature}"
        ),
    }
