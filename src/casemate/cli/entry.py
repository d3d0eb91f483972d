"""
The command `casemate`.

`up` is looked for before anything else is imported: as root the process
replaces itself with the warden, so that no third-party code ever runs with its
rights.  Every other word goes to the command line proper.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["up"]:
        from casemate.cli.up import replace_with_warden

        replace_with_warden("up", arguments[1:])
    if arguments == ["--version"]:
        from casemate import __version__

        print(f"casemate {__version__}")
        return
    from casemate.cli.words import run

    run(arguments)
