"""
The first process of a generic Python cell: wait, then become a function or a workshop.

Run from its byte code, `python3.11 -I -B .../casemate_cell/__pycache__/waiting...pyc`,
with the control stream at descriptor 3.
"""

import sys

_ROOT = __file__.partition("/casemate_cell/")[0]


def main() -> int:
    """Wait for the node's one word and do it; gives the exit status."""
    sys.path.insert(0, _ROOT)
    from casemate_cell import invoking, starting  # noqa: PLC0415 — the path is known only now
    from casemate_cell.channel import (  # noqa: PLC0415 — as above
        ASSIGN,
        HEAD,
        UNPACK,
        WAITING,
        Channel,
        NodeGoneError,
    )

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr] # typeshed: TextIO has none
            encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
    starting.get_ready()
    channel = Channel()
    channel.send(WAITING)
    try:
        order = channel.receive(HEAD)
    except NodeGoneError:
        return 0
    if order.kind == ASSIGN:
        return invoking.serve(channel, order)
    if order.kind == UNPACK:
        from casemate_cell import unpacking  # noqa: PLC0415 — only a workshop needs it

        return unpacking.serve(channel, order)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
