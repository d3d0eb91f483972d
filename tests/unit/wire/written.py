"""Requests, written by hand."""

from __future__ import annotations

from casemate.core.call import Request


def request(
    method: str = "POST",
    path: str = "/",
    query: str = "",
    body: bytes = b"",
    **headers: str,
) -> Request:
    """Make a request; header names are written with `_` for `-`."""
    return Request(
        method=method,
        path=path,
        query=query,
        headers=tuple((n.replace("_", "-"), v) for n, v in headers.items()),
        body=body,
        peer="127.0.0.1",
    )


def form(body: str) -> Request:
    return request(body=body.encode(), content_type="application/x-www-form-urlencoded")


def target(operation: str, body: bytes) -> Request:
    return request(
        body=body,
        x_amz_target=f"Logs_20140328.{operation}",
        content_type="application/x-amz-json-1.1",
    )
