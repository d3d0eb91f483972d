"""
Streams that attack: floods of crumbs, floods without an end, readers who leave.

The node keeps its bounds, and the other account is served in good time.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from platform_harness import Platform
from security.local_doors import gauge
from security.probe import Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

SOURCE = r"""
const net = require("node:net");
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

// Speaks past the runtime's own client, as fast as the socket takes it.
function flood(id, data) {
  return new Promise((done) => {
    const socket = net.connect(port, host, () => {
      socket.write(
        `POST /2018-06-01/runtime/invocation/${id}/response HTTP/1.1\r\n` +
          `Host: ${host}:${port}\r\nTransfer-Encoding: chunked\r\n` +
          "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n",
      );
      const more = () => {
        while (socket.write(data));
      };
      socket.on("drain", more);
      more();
    });
    socket.on("error", done);
    socket.on("close", done);
    socket.on("data", () => {});
  });
}

exports.handler = async (event, context) => {
  const size = event.size;
  const chunk = Buffer.from(`${size.toString(16)}\r\n${"x".repeat(size)}\r\n`);
  const data = Buffer.concat(Array(Math.ceil(65536 / chunk.length)).fill(chunk));
  await flood(context.awsRequestId, data);
};
"""


@pytest.fixture(scope="module")
def flooding(tenant: Tenant) -> str:
    """A function that streams without an end, for three seconds."""
    tenant.platform.function(
        "flooding",
        {"index.js": SOURCE},
        Runtime="nodejs20.x",
        Handler="index.handler",
        role=tenant.role,
        MemorySize=256,
        Timeout=3,
    )
    return "flooding"


def begun(tenant: Tenant, name: str, size: int) -> Any:
    """Have the function stream chunks of a size; its first bytes are there."""
    events = tenant.client("lambda").invoke_with_response_stream(
        FunctionName=name, Payload=b'{"size": %d}' % size
    )["EventStream"]
    assert "PayloadChunk" in next(iter(events))
    return events


@pytest.mark.parametrize("size", [1, 60_000])
def test_q7_a_flood_leaves_others_served(
    tenant: Tenant, other_probe: Probe, flooding: str, size: int
) -> None:
    """Q7: crumbs or large chunks, read as fast as they come: others do not wait."""
    other_probe.said("'warm'")
    events = begun(tenant, flooding, size)
    slowest = 0.0
    for _ in range(10):
        began = time.monotonic()
        assert other_probe.said("'alive'") == "alive"
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2, slowest
    *_, last = events
    assert last["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert "Sandbox.Timedout" in last["InvokeComplete"]["ErrorDetails"]


def test_q7_readers_who_leave_free_everything(
    platform: Platform, tenant: Tenant, other_probe: Probe, flooding: str
) -> None:
    """Q7: each holds its place until its function has ended, and none after it."""
    other_probe.said("'warm'")
    before = gauge(platform, "casemate_calls_inside")
    streams = [begun(tenant, flooding, 60_000) for _ in range(4)]
    for events in streams:
        events.close()
    assert gauge(platform, "casemate_calls_inside") == before + len(streams)
    assert other_probe.said("'alive'") == "alive"
    end = time.monotonic() + 20
    while gauge(platform, "casemate_calls_inside") > before:
        assert time.monotonic() < end, "places that nobody gives back"
    assert other_probe.said("'alive'") == "alive"
