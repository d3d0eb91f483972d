"""
Becoming the warden.

The interpreter is the system's own, isolated (`-I`) and without site packages
(`-S`): no `.pth` file, no environment variable and no third-party module has a
say in what runs as root.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

BOOT: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from casemate_warden.__main__ import main; main()"
)


def warden_command(mode: str, arguments: list[str]) -> list[str]:
    """Give the command line that starts the warden in a mode."""
    site = Path(__file__).resolve().parents[2]
    interpreter = str(Path(sys.executable).resolve())
    head = [interpreter, "-I", "-S", "-c", BOOT, str(site)]
    own = ["--python", sys.executable]
    word = [] if mode == "up" else [mode]
    return [*head, *word, *own, *_folder(arguments), *arguments]


def replace_with_warden(mode: str, arguments: list[str]) -> NoReturn:
    """
    Replace this process with the warden.

    Without root `up` says so and exits 1; its help, and `doctor`, need none.
    """
    asks = bool({"--help", "-h"} & set(arguments))
    if mode == "up" and not asks and os.geteuid() != 0:
        print(
            "casemate: `up` needs root, because it makes namespaces and control "
            f"groups; run `sudo {sys.argv[0]} up`",
            file=sys.stderr,
        )
        raise SystemExit(1)
    command = warden_command(mode, arguments)
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    os.execve(command[0], command, clean)  # noqa: S606 — no shell; every word is ours


def _folder(arguments: list[str]) -> list[str]:
    """Give the data folder of the environment, where the words name none."""
    named = any(word == "--data" or word.startswith("--data=") for word in arguments)
    folder = os.environ.get("CASEMATE_DATA")
    return ["--data", folder] if folder and not named else []
