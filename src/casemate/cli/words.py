"""
The words of the command line, one function each.

Exit: 0 done; 1 refused, failed or not sound; 2 the words were not understood;
130 interrupted.  Every failure is one line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from casemate import __version__
from casemate.cli import quarantine, session, terminal
from casemate.cli.up import replace_with_warden

app = typer.Typer(
    name="casemate",
    help="Run AWS Lambda functions on your own machine, every control enforced.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
account_app = typer.Typer(help="Accounts: the tenants of this platform.")
audit_app = typer.Typer(help="The sealed record of every call.")
app.add_typer(account_app, name="account")
app.add_typer(audit_app, name="audit")
app.add_typer(quarantine.app, name="quarantine")

Data = Annotated[
    Path | None,
    typer.Option(
        readable=False,  # who may not read it is told why, in our words
        help="The platform's data folder.  "
        "[default: CASEMATE_DATA, or /var/lib/casemate]",
        show_default=False,
    ),
]
Account = Annotated[
    str | None, typer.Option(help="Act in this account (twelve digits).")
]


def run(arguments: list[str]) -> None:
    """Run the words; every failure is one line on stderr."""
    try:
        _run(arguments)
    except SystemExit as ended:
        if ended.code and arguments[:1] == ["env"]:
            # A shell takes `eval ""` for success, and would go on to real AWS.
            typer.echo("false")
        raise


def _run(arguments: list[str]) -> NoReturn:
    try:
        status = app(
            args=arguments or ["--help"], prog_name="casemate", standalone_mode=False
        )
    except session.NobodyThereError as error:
        _fail(str(error))
    except TyperException as error:
        _misunderstood(error)
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output left; writing more to it helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:  # noqa: BLE001 — the task ends here, in one line
        from casemate.cli.failure import told

        _fail(told(error))
    raise SystemExit(status if isinstance(status, int) else 0)


def _fail(line: str, status: int = 1) -> NoReturn:
    typer.echo(f"casemate: {terminal.line(line)}", err=True)
    raise SystemExit(status)


def _misunderstood(error: TyperException) -> NoReturn:
    """Say what of the words was not understood, and where help is."""
    context = getattr(error, "ctx", None)
    words = getattr(context, "command_path", "casemate")
    said = getattr(error, "format_message", error.__str__)()
    _fail(f"{said.rstrip('.')}; `{words} --help` tells the words", status=2)


def _functions(incomplete: str) -> list[str]:
    """Complete a function's name, where a platform answers."""
    from casemate.cli import api

    try:
        session.adopt(None, None)
        return [n for n in api.function_names() if n.startswith(incomplete)]
    except Exception:  # noqa: BLE001 — a completion that fails completes nothing
        return []


Name = Annotated[
    str, typer.Argument(help="The function's name or ARN.", autocompletion=_functions)
]


@app.callback(invoke_without_command=True)
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version.")
    ] = False,
) -> None:
    """Run AWS Lambda functions on your own machine, every control enforced."""
    if version:
        typer.echo(f"casemate {__version__}")
        raise typer.Exit


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def up(context: typer.Context) -> None:
    """Start the platform in the foreground (root)."""
    replace_with_warden("up", context.args)


@app.command()
def doctor(
    *,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Grade this host: what it can run, and what would make it safer."""
    arguments = ["--json"] if as_json else []
    if data:
        arguments += ["--data", str(data)]
    replace_with_warden("doctor", arguments)


@app.command()
def env(
    data: Data = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for the platform to come up.")
    ] = 0.0,
    account: Account = None,
) -> None:
    """Print `export` lines that boto3 and the aws CLI need."""
    typer.echo(session.ask(session.folder(data), account, wait).exports())


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    add_help_option=False,
)
def aws(context: typer.Context) -> None:
    """Run the aws CLI against this platform; its words follow."""
    if not context.args or context.args[0] in {"--help", "-h"}:
        typer.echo(context.get_help())
        return
    endpoint = session.adopt(None, None)
    beside = Path(sys.executable).parent / "aws"
    program = str(beside) if beside.exists() else "aws"
    command = [program, "--endpoint-url", endpoint, *context.args]
    try:
        os.execvpe(program, command, session.environment())  # noqa: S606 — the user's own words
    except FileNotFoundError:
        _fail("the aws CLI is not installed: `pip install awscli`")


@app.command()
def status(data: Data = None) -> None:
    """Say what is running."""
    from casemate.cli import api

    session.adopt(data, None)
    _show(api.call("casemate", "get_status"))


@app.command()
def invoke(
    name: Name,
    payload: Annotated[
        str,
        typer.Option(
            "-d",
            "--data-json",
            "--payload",
            help="The event, as JSON; `-` reads it from stdin, `@FILE` from a file.",
        ),
    ] = "{}",
    data: Data = None,
    account: Account = None,
) -> None:
    """Invoke a function and print what it returns."""
    from casemate.cli import api

    event = _event(payload)
    session.adopt(data, account)
    answer, failed, request = api.invoke(name, event)
    typer.echo(terminal.document(answer))
    if failed:
        _fail(
            f"the function failed ({failed}); `casemate logs {name}` tells more, "
            f"and so does `casemate why {request}`"
        )
    typer.echo(f"casemate: request {request}", err=True)


def _event(payload: str) -> str:
    """Read the event that the words mean."""
    if payload == "-":
        event = sys.stdin.read()
    elif payload.startswith("@"):
        event = Path(payload[1:]).read_text()
    else:
        event = payload
    try:
        json.loads(event)
    except ValueError as error:
        _fail(f"the event is not JSON: {error}")
    return event


@app.command()
def rollback(
    name: Name,
    alias: Annotated[str, typer.Argument(help="The alias that is to go back.")],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            help="The version to go to.  [default: the one before]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    data: Data = None,
    account: Account = None,
) -> None:
    """Lead an alias back to the version before, or to another."""
    from casemate.cli import rollback as back

    session.adopt(data, account)
    move = back.plan(name, alias, to)
    done = move.is_needed and not dry_run
    if done:
        back.carry_out(move)
    typer.echo(move.told(done=done))


@app.command()
def logs(
    name: Name,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as lines arrive.")
    ] = False,
    since: Annotated[int, typer.Option(min=1, help="Minutes to look back.")] = 60,
    data: Data = None,
    account: Account = None,
) -> None:
    """Print a function's log lines."""
    from casemate.cli import api

    session.adopt(data, account)
    for line in api.log_lines(name, minutes=since, follow=follow):
        typer.echo(line)


@app.command()
def why(
    request_id: Annotated[str, typer.Argument(help="x-amzn-RequestId of the call.")],
    data: Data = None,
    account: Account = None,
) -> None:
    """Tell the whole story of one request, and what would have allowed it."""
    from casemate.cli import api, story

    session.adopt(data, account)
    told = api.call("casemate", "explain_request", RequestId=request_id)
    typer.echo(story.tell(told))


@account_app.command("create")
def account_create(
    name: Annotated[str, typer.Argument(help="A name for people.")] = "",
    data: Data = None,
) -> None:
    """Make an account and print its twelve digits."""
    from casemate.cli import api

    session.adopt(data, None)
    made = api.call("casemate", "create_account", **({"Name": name} if name else {}))
    typer.echo(api.account_line(made))


@account_app.command("list")
def account_list(data: Data = None) -> None:
    """List the accounts."""
    from casemate.cli import api

    session.adopt(data, None)
    for line in api.account_lines():
        typer.echo(line)


@audit_app.command("verify")
def audit_verify(
    data: Data = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the folder; the platform is down.")
    ] = False,
    root_key_file: Annotated[
        Path | None,
        typer.Option(help="Offline: the root key, where `up` was given one."),
    ] = None,
    witness: Annotated[
        Path | None,
        typer.Option(
            readable=False,  # who may not read it is told why, in our words
            help="Hold the chain against what the witness has received.",
        ),
    ] = None,
) -> None:
    """Verify the chain of the audit log; exit 1 if it does not hold."""
    from casemate.cli.witness import read

    seen = [] if witness is None else read(witness)
    if offline:
        from casemate.cli.offline import verify

        verdict = verify(session.folder(data), root_key_file, seen)
    else:
        verdict = _verified(data, {"Witness": seen} if seen else {})
    _show(verdict)
    if not verdict.get("Sound"):
        raise typer.Exit(1)


def _verified(data: Path | None, given: dict[str, object]) -> dict[str, object]:
    """Ask the platform; one that is stopped can be judged by its folder."""
    from casemate.cli import api, failure

    try:
        session.adopt(data, None)
        return api.call("casemate", "verify_audit", **given)
    except Exception as error:
        if not failure.is_unanswered(error):
            raise
        _fail(
            f"{failure.told(error)}; while it is stopped, "
            "`casemate audit verify --offline` reads its folder"
        )


def _show(answer: dict[str, object]) -> None:
    typer.echo(terminal.clean(json.dumps(answer, indent=2, default=_written)))


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
