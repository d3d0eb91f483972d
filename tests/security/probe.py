"""
A deployed function that runs the Python it is sent: hostile code, on demand.

The code runs in the managed runtime's own process, under the very limits that
every function has; what it leaves in `answer` comes back.
"""

from __future__ import annotations

import textwrap
from typing import Any

from security.tenant import Tenant

HANDLER = '''
import ctypes, errno, json, os, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    """Make a system call; "ok", or the error's name."""
    ctypes.set_errno(0)
    done = libc.syscall(number, *[
        ctypes.c_long(a) if isinstance(a, int) else a for a in arguments
    ])
    return "ok" if done >= 0 else errno.errorcode[ctypes.get_errno()]

def tried(work, *arguments):
    """Do something; "ok", or the error's name."""
    try:
        work(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    return "ok"

SCOPE = dict(globals())

def handler(event, context):
    scope = dict(SCOPE, context=context, event=event)
    exec(event["code"], scope)
    return scope.get("answer")
'''


class Probe:
    """One function of one tenant; its cell is kept from call to call."""

    def __init__(self, tenant: Tenant, name: str, **settings: Any) -> None:
        self.tenant = tenant
        self.name = tenant.deploy(HANDLER, name, **settings)

    def run(self, code: str, **event: Any) -> Any:
        """Run statements; give what they leave in `answer`."""
        answer, response = self.send(code, **event)
        assert "FunctionError" not in response, answer
        return answer

    def said(self, expression: str) -> Any:
        """Give the value of an expression."""
        return self.run(f"answer = {expression}")

    def send(self, code: str, **event: Any) -> tuple[Any, dict[str, Any]]:
        """Run statements that may end the cell; give payload and response."""
        return self.tenant.invoke(
            self.name, {"code": textwrap.dedent(code), **event}, LogType="Tail"
        )
