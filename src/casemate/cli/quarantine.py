"""
`casemate quarantine`: events that had nowhere to go, and what is decided of them.

Each decision is one call with its reason, so each stands in the record by
itself; a call that is told to slow down is made again by the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from casemate.cli import session, terminal

app = typer.Typer(help="Asynchronous events that had nowhere to go.")

Data = Annotated[
    Path | None,
    typer.Option(readable=False, help="The platform's data folder."),
]
Account = Annotated[
    str | None, typer.Option(help="Act in this account (twelve digits).")
]
Function = Annotated[
    str | None, typer.Option("--function", help="Only events of this function.")
]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Request ids, as `list` shows them.")
]
All = Annotated[bool, typer.Option("--all", help="Every event of the account.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; it goes on record with the decision.")
]


_DONE: Final = {"redrive": "redriven", "dispose": "disposed of"}


@app.command("list")
def listed(
    function: Function = None, data: Data = None, account: Account = None
) -> None:
    """List the events, the oldest first, one on a line."""
    session.adopt(data, account)
    for event in _events(function):
        typer.echo(_line(event))


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The event's request id.")],
    data: Data = None,
    account: Account = None,
) -> None:
    """Show one event: why it is here, and its payload."""
    from casemate.cli import api

    session.adopt(data, account)
    event = api.call("casemate", "get_quarantined", RequestId=request_id)
    payload = event.pop("Payload", b"")
    for name, value in event.items():
        typer.echo(f"{name:<14} {terminal.line(value)}")
    text = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
    typer.echo(terminal.document(text))


@app.command()
def redrive(
    ids: Ids = None,
    *,
    reason: Reason,
    function: Function = None,
    everything: All = False,
    dry_run: Dry = False,
    data: Data = None,
    account: Account = None,
) -> None:
    """Begin events again, under their own request ids."""
    session.adopt(data, account)
    _decide("redrive", _meant(ids, function, everything), reason, dry_run=dry_run)


@app.command()
def dispose(
    ids: Ids = None,
    *,
    reason: Reason,
    function: Function = None,
    everything: All = False,
    dry_run: Dry = False,
    data: Data = None,
    account: Account = None,
) -> None:
    """Forget events for good."""
    session.adopt(data, account)
    _decide("dispose", _meant(ids, function, everything), reason, dry_run=dry_run)


def _meant(
    ids: Sequence[str] | None, function: str | None, everything: bool
) -> list[str]:
    """Give the ids that the words mean: named, of a function, or all."""
    if sum((bool(ids), function is not None, everything)) != 1:
        raise typer.BadParameter("give request ids, or `--function NAME`, or `--all`")
    # The whole list first: what is decided leaves it, and would shift its pages.
    return list(ids or (event["RequestId"] for event in _events(function)))


def _events(function: str | None) -> Iterator[dict[str, Any]]:
    from casemate.cli import api

    given = {"FunctionName": function} if function else {}
    pages = api.client("casemate").get_paginator("list_quarantine").paginate(**given)
    for page in pages:
        yield from page["Events"]


def _decide(verb: str, ids: Sequence[str], reason: str, *, dry_run: bool) -> None:
    from casemate.cli import api

    client = api.client("casemate")
    done = f"would {verb}" if dry_run else _DONE[verb]
    for identifier in ids:
        event = getattr(client, verb)(
            RequestId=identifier, Reason=reason, DryRun=dry_run
        )
        typer.echo(f"{done}  {_line(event)}")


def _line(event: dict[str, Any]) -> str:
    function = event["FunctionArn"].partition(":function:")[2]
    when = event["QuarantinedAt"].isoformat()
    return terminal.line(
        f"{event['RequestId']}  {when}  {function}  {event['Reason'][:160]}"
    )
