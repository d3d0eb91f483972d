"""
Answers to requests of which not even the service is known.

There is no codec to write the refusal, so its form is guessed from the request:
a form, and what is meant for S3, is answered in XML, everything else in JSON.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

import orjson

from casemate.core.call import Request
from casemate.core.errors import Refusal
from casemate.road.ingress.front import Response

_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def answer(request: Request, refusal: Refusal, request_id: str) -> Response:
    """Write a refusal for a caller whose protocol is not known."""
    form = _xml if _speaks_xml(request) else _json
    kind, body = form(refusal, request_id)
    return Response(
        status=refusal.http_status,
        headers=(
            ("content-type", kind),
            ("x-amzn-requestid", request_id),
            ("x-amzn-errortype", refusal.code),
        ),
        body=body,
    )


def _speaks_xml(request: Request) -> bool:
    form = "x-www-form-urlencoded" in (request.header("content-type") or "")
    return form or "/s3/aws4_request" in (request.header("authorization") or "")


def _json(refusal: Refusal, _request_id: str) -> tuple[str, bytes]:
    members = {"__type": refusal.code, "message": refusal.reason}
    return "application/x-amz-json-1.1", orjson.dumps(members)


def _xml(refusal: Refusal, request_id: str) -> tuple[str, bytes]:
    # The outer element serves the query protocol; S3's reader takes the code and
    # message wherever they stand.
    text = (
        f"{_XML}<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(refusal.code)}</Code>"
        f"<Message>{escape(refusal.reason)}</Message></Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    )
    return "text/xml", text.encode()
