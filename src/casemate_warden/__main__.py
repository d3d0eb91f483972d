"""
The warden's entry: `up` (no word) runs the platform, `doctor` grades the host.

Started by `casemate up` in place of itself, with `-I -S`: nothing but the standard
library and this package can be imported.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from casemate_warden import cgroups, doctor, facts, ground, images, oci
from casemate_warden.assembly import Plan
from casemate_warden.ground import CannotStart
from casemate_warden.guard import Guard
from casemate_warden.loop import Loop
from casemate_warden.supervisor import ChildEnded, Settings, Supervisor
from casemate_warden.sweep import StillThere
from casemate_warden.words import Refused

DATA: Final = Path("/var/lib/casemate")
LISTEN: Final = "127.0.0.1:4443"
REGION: Final = "us-east-1"
UNSAFE: Final = {
    "secrets-in-environment": "take environment values that look like secrets",
    "public-policies": "take policies that let everybody invoke",
}
"""What an operator may loosen, by name."""

_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits 0 after a clean stop, 1 with one line otherwise."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    mode = given.pop(0) if given[:1] == ["doctor"] else "up"
    options = _parser(mode).parse_args(given)
    options.python = options.python.absolute()
    try:
        sys.exit(_doctor(options) if mode == "doctor" else _up(options))
    except KeyboardInterrupt:  # later than that, the supervisor has its own handler
        say("stopped before it served")
        sys.exit(_INTERRUPTED)
    except (CannotStart, ChildEnded, StillThere, Refused) as error:
        sys.exit(f"casemate: {error}")
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        sys.exit(f"casemate: the system refused ({name}): {error}")


class _Parser(argparse.ArgumentParser):
    """What is not understood is one line, as for every other word of `casemate`."""

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split())
        self.exit(2, f"casemate: {line}; `{self.prog} --help` tells the words\n")


def _parser(mode: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"casemate {mode}", allow_abbrev=False)
    add = parser.add_argument
    add("--python", type=Path, required=True, help=argparse.SUPPRESS)
    add(
        "--data",
        type=Path,
        default=DATA,
        help=f"data folder (default: CASEMATE_DATA, or {DATA})",
    )
    add(
        "--listen",
        type=_listen,
        default=LISTEN,
        metavar="HOST:PORT",
        help="where clients reach it; port 0 picks one (default: %(default)s)",
    )
    add(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a further name or address of the endpoint, for its certificate",
    )
    add(
        "--region",
        type=_region,
        default=REGION,
        help="the region that this platform is (default: %(default)s)",
    )
    add(
        "--root-key-file",
        type=Path,
        metavar="FILE",
        help="the operator's own root key (default: one in the data folder)",
    )
    add(
        "--pool",
        type=_count,
        default=2,
        metavar="N",
        help="generic cells waiting per runtime (default: %(default)s)",
    )
    add(
        "--grace",
        type=_count,
        default=30,
        metavar="SECONDS",
        help="how long running invocations have at a stop (default: %(default)s)",
    )
    add(
        "--trees",
        type=_count,
        metavar="MB",
        help="what unpacked code may take (default: a quarter of memory)",
    )
    add(
        "--witness",
        type=Path,
        metavar="FILE",
        help="a file elsewhere that every signed checkpoint is appended to",
    )
    add(
        "--replay",
        choices=("allow", "refuse"),
        default="allow",
        help="whether a signature works again within its five minutes, as on AWS, "
        "for calls that change or run something (default: %(default)s)",
    )
    add(
        "--accept-floor",
        action="append",
        default=[],
        metavar="NAME",
        help="start although the host fails this check of `doctor`; is recorded",
    )
    for name, told in UNSAFE.items():
        add(f"--unsafe-{name}", action="store_true", help=f"{told}; is recorded")
    add("--json", action="store_true", help=argparse.SUPPRESS)
    return parser


def _listen(text: str) -> ground.Listen:
    try:
        return ground.Listen.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _region(text: str) -> str:
    if not ground.REGION.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"`{text}` is not the name of a region, such as {REGION}"
        )
    return text


def _word(name: str) -> str:
    return name.replace("-", "_")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number")
    return int(text)


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.grade(facts.probe(_absolute(options.data), options.python))
    print(doctor.as_json(findings) if options.json else doctor.as_text(findings))
    return 1 if doctor.below_floor(findings, options.accept_floor) else 0


def _absolute(path: Path) -> Path:
    """Where a path really is: the platform is named after it."""
    return Path(os.path.realpath(path))


def say(text: str) -> None:
    """Progress and trouble, for the operator who watches."""
    print(f"casemate: {text}", file=sys.stderr, flush=True)


def _up(options: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CannotStart("this needs root: run it with sudo")
    os.umask(0o022)
    _own_descriptors()
    data = _absolute(options.data)
    _check_words(data, options)
    chosen, lowered = _check_floor(data, options)
    people = ground.users()
    ground.prepare_data(data, people)
    held = ground.lock(data)
    ground.keep_region(data, options.region)
    parent = f"casemate-{ground.instance(data)}"
    guard = Guard(parent)  # before the door: a fork would hold it open
    door = ground.door(options.listen)
    built = _build_images(data / "images", options.python)
    listen = replace(options.listen, port=door.getsockname()[1])
    settings = Settings(
        data=data,
        listen=listen,
        region=options.region,
        root_key_file=options.root_key_file,
        pool=options.pool,
        grace=options.grace,
        python=options.python,
        names=(*listen.names, *options.name),
        accepted=tuple(options.accept_floor),
        lowered=lowered,
        witness=options.witness,
        replay=options.replay,
        unsafe=tuple(name for name in UNSAFE if vars(options)[f"unsafe_{_word(name)}"]),
    )
    plan = Plan(
        run=ground.run_folder(data),
        parent=parent,
        runtime=chosen.path,
        images=built,
        trees_mb=options.trees or facts.memory_mb() // 4,
    )
    supervisor = Supervisor(
        settings=settings, people=people, plan=plan, loop=Loop(), log=say
    )
    try:
        supervisor.run(
            door.detach(),
            lambda: print(
                f"casemate is ready: https://{listen} (data {data})", flush=True
            ),
        )
    finally:
        guard.dismiss()
        os.close(held)
    say("stopped")
    return 0


def _check_words(data: Path, options: argparse.Namespace) -> None:
    """What the words ask for is refused before anything is made, or said."""
    if options.root_key_file is not None:
        os.close(ground.root_key(options.root_key_file))
    ground.refuse_held(data)
    # Only tried: the guard must be forked before the door that stays is open.
    ground.door(options.listen).close()
    if options.witness is not None:
        os.close(ground.witness(options.witness, data))


def _own_descriptors() -> None:
    """
    Whoever started this passes nothing on but the standard streams.

    Descriptors 0 to 3 are spoken for, so that no cell's lands on one of them.
    """
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    while (spare := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 3:  # noqa: PLR2004
        continue
    os.close(spare)
    # Every cell costs a dozen descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _check_floor(
    data: Path, options: argparse.Namespace
) -> tuple[oci.Runtime, dict[str, str]]:
    """Says what weakens this host, and what was lowered; refuses below the floor."""
    found = facts.probe(data, options.python)
    findings = doctor.grade(found)
    unknown = set(options.accept_floor) - {finding.id for finding in findings}
    if unknown:
        raise CannotStart(f"--accept-floor {min(unknown)}: there is no such check")
    for finding in findings:
        if finding.grade != "ok":
            say(f"{finding.grade} {finding.id}: {finding.message}")
    below = doctor.below_floor(findings, options.accept_floor)
    if below:
        raise CannotStart(f"below the floor: {below[0].message}; {below[0].todo}")
    chosen, reason = oci.choose(list(found.runtimes), cgroups.version())
    if chosen is None:
        raise CannotStart(reason)
    say(f"cells are made by {chosen.path}: {reason}")
    lowered = doctor.below_floor(findings, ())
    return chosen, {finding.id: finding.message for finding in lowered}


def _build_images(folder: Path, python: Path) -> list[images.Image]:
    """Every runtime whose parts are all here; one that lacks a part says so."""
    packages = next(python.parents[1].glob("lib/python3.*/site-packages"), None)
    if packages is None:
        raise CannotStart(f"{python} is not in a virtual environment")
    sources = images.Sources(site=Path(__file__).parents[1], packages=packages)
    built: list[images.Image] = []
    for recipe in images.recipes():
        say(f"runtime image {recipe.runtime}")
        try:
            built.append(images.build(recipe, folder, sources))
        except images.Missing as missing:
            say(f"runtime {recipe.runtime} is left out: {missing}")
    images.drop_others(folder, built)
    if not built:
        raise CannotStart("no runtime can be built on this host")
    return built


if __name__ == "__main__":
    main()
