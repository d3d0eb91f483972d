"""
Packages that attack whoever reads them, sent through CreateFunction.

Each must be refused with a reason, leave nothing behind (no function, no blob),
and be on record.  The controls show that the same archive without the attack is
taken, so a refusal here is a refusal of the attack.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from casemate_cell.library import LATE
from platform_harness import zipped
from security.archives import (
    HANDLER,
    Entry,
    archive,
    deflated,
    link,
    package,
    stored,
)
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

INVALID = "InvalidParameterValueException"
SETUID = stat.S_IFREG | stat.S_ISUID | 0o755


def blobs(tenant: Tenant) -> list[Path]:
    """Every file of the blob store."""
    folder = tenant.platform.data / "node" / "blobs"
    assert folder.is_dir()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def functions(tenant: Tenant) -> list[str]:
    pages = tenant.client("lambda").get_paginator("list_functions").paginate()
    return sorted(f["FunctionName"] for page in pages for f in page["Functions"])


def refuse(tenant: Tenant, bad: bytes, reason: str) -> None:
    """Refused with its reason, on record, and nothing written."""
    before = blobs(tenant), functions(tenant)
    refused = tenant.refused(lambda: tenant.create(bad, "attack"))
    assert refused.code == INVALID
    assert refused.message.startswith("Could not unzip uploaded file. ")
    assert reason in refused.message
    assert refused.record["eventName"] == "CreateFunction"
    assert refused.record["errorMessage"] == refused.message
    assert refused.record["requestParameters"]["Code"]["ZipFile"]["bytes"] == len(bad)
    assert (blobs(tenant), functions(tenant)) == before


def test_a_whole_package_is_taken(tenant: Tenant) -> None:
    """P: the control: what is put together by hand here runs, and one blob is kept."""
    before = len(blobs(tenant))
    good = package(deflated("data/x.txt", b"x" * 1000), link("alias", "data/x.txt"))
    assert tenant.invoke(tenant.deploy(good))[0] == "ran"
    assert len(blobs(tenant)) == before + 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../etc/cron.d/x", "could leave the package"),
        ("a/../../x", "could leave the package"),
        ("a/./x", "could leave the package"),
        ("a//x", "could leave the package"),
        ("..", "could leave the package"),
    ],
)
def test_p1_no_name_climbs(tenant: Tenant, name: str, reason: str) -> None:
    """P1: a name that climbs out of the package is refused."""
    refuse(tenant, package(stored(name, b"x")), reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "is absolute"),
        ("//etc/passwd", "is absolute"),
        ("C:\\windows\\x", "backslash"),
        ("C:/windows/x", "names a drive"),
        ("..\\..\\x", "backslash"),
        ("\\\\server\\share\\x", "backslash"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
    ],
)
def test_p2_no_name_is_absolute_or_foreign(
    tenant: Tenant, name: str, reason: str
) -> None:
    """P2: absolute names, drives, backslashes and control characters are refused."""
    refuse(tenant, package(stored(name, b"x")), reason)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([link("lib", "/"), stored("lib/etc/x", b"x")], "a file and a folder at once"),
        ([stored("lib/etc/x", b"x"), link("lib", "/")], "the same file"),
        ([link("lib", "/etc")], "leaves the package"),
        ([link("lib", "../..")], "leaves the package"),
        ([link("a/lib", "../../etc")], "leaves the package"),
        ([link("a/lib", "b/../../../etc")], "leaves the package"),
        ([link("a", "b"), link("b", "a/x")], "lies behind a symbolic link"),
        ([link("handler", "x\x00y")], "leaves the package"),
    ],
)
def test_p3_no_link_leads_out(
    tenant: Tenant, entries: list[Entry], reason: str
) -> None:
    """P3: links stay inside, and nothing is written through one."""
    refuse(tenant, package(*entries), reason)


@pytest.mark.parametrize(
    "kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_p4_special_files_are_refused(tenant: Tenant, kind: int) -> None:
    """P4: devices, pipes and sockets are refused."""
    refuse(
        tenant, package(stored("dev", b"", mode=kind | 0o666)), "device, pipe or socket"
    )


def test_p4_setuid_bits_are_stripped(tenant: Tenant) -> None:
    """P4: of a mode only `executable` is kept, on a mount without setuid."""
    source = """
import os
def handler(event, context):
    flags = os.statvfs("/var/task").f_flag
    return [os.stat("tool").st_mode, bool(flags & os.ST_NOSUID), bool(flags & 4)]
"""
    entries = [stored("handler.py", source.encode()), stored("tool", mode=SETUID)]
    answer, _ = tenant.invoke(tenant.deploy(archive(entries)))
    assert answer == [stat.S_IFREG | 0o755, True, True]


def test_p5_a_bomb_stops_at_its_ratio(tenant: Tenant) -> None:
    """P5: more than 100 to 1 stops, long before it is all there."""
    bomb = deflated("zeros", bytes(64 << 20))
    assert len(bomb.raw) < 100_000
    refuse(tenant, package(bomb), "more than 100 times its size")


def test_p5_a_bomb_stops_at_what_is_written(tenant: Tenant) -> None:
    """P5: 250 MB written is the end, under any ratio and whatever is declared."""
    noise = os.urandom(20_000)
    block = noise + bytes((1 << 20) - len(noise))
    press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = b"".join(press.compress(block) for _ in range(252)) + press.flush()
    assert (252 << 20) / len(raw) < 90
    told = {"raw": raw, "method": 8, "checksum": 0, "size": 252 << 20}
    refuse(tenant, package(stored("big", b"", **told)), "262144000")


@pytest.mark.parametrize("quoted", [False, True])
def test_p5_entries_never_overlap(tenant: Tenant, *, quoted: bool) -> None:
    """P5: two entries that share bytes, also one quoted inside another, are refused."""
    inner = stored("inner", b"x" * 100)
    head = len(archive([stored("handler.py", HANDLER)])) - 22 - 46 - len("handler.py")
    if quoted:
        # The outer entry's bytes hold a whole local header of the inner one.
        whole = archive([inner])[: 30 + 5 + 100]
        outer = stored("outer", whole)
        twice = Entry(
            name=b"inner",
            raw=inner.raw,
            size=100,
            checksum=inner.checksum,
            at=head + 30 + 5,
        )
        refuse(tenant, package(outer, twice), "overlap")
    else:
        again = stored("handler2.py", HANDLER, at=0)
        refuse(tenant, package(again), "differently")


LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "more than it tells": (
        lambda: package(deflated("x", b"y" * 5000, size=10)),
        "holds more than it tells",
    ),
    "less than it tells": (
        lambda: package(deflated("x", b"y" * 10, size=5000)),
        "damaged",
    ),
    "checksum": (
        lambda: package(stored("x", b"yes", checksum=1)),
        "damaged: size or checksum",
    ),
    "checksum in one place": (
        lambda: package(stored("x", b"yes", told_checksum=1)),
        "told differently",
    ),
    "two names": (
        lambda: package(stored("shown.py", b"x", local_name=b"hidden.y")),
        "told differently",
    ),
    "two sizes": (
        lambda: package(stored("x", b"yes", local_size=2)),
        "told differently",
    ),
    "two compressed sizes": (
        lambda: package(stored("x", b"yes", told_compressed=2)),
        "stored in another size",
    ),
    "zip64 that lies": (
        lambda: package(
            stored(
                "x",
                b"yes",
                told_size=0xFFFFFFFF,
                told_compressed=0xFFFFFFFF,
                extra=struct.pack("<HHQQ", 1, 16, 1 << 40, 1 << 40),
            )
        ),
        "zip64 entries",
    ),
    "a second name in an extra field": (
        lambda: package(
            stored("x", b"yes", extra=struct.pack("<HHBI", 0x7075, 9, 1, 0) + b"evil")
        ),
        "second, different name",
    ),
    "data behind the deflated end": (
        lambda: package(
            stored("x", method=8, raw=deflated("x", b"a").raw + b"more", size=1)
        ),
        "data behind its end",
    ),
    "an unknown method": (lambda: package(stored("x", b"yes", method=99)), "method"),
}


@pytest.mark.parametrize("lie", LIES)
def test_p6_what_is_told_is_true(tenant: Tenant, lie: str) -> None:
    """P6: sizes, checksums and names that differ from the truth are refused."""
    build, reason = LIES[lie]
    refuse(tenant, build(), reason)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("a.py", "a.py", "same file"),
        ("A.py", "a.py", "same file"),
        ("caf\u00e9.py", "cafe\u0301.py", "same file"),
        ("stra\u00dfe.py", "STRASSE.py", "same file"),
        ("Lib/a.py", "lib/b.py", "differ only in case"),
        ("x", "x/y", "a file and a folder"),
    ],
)
def test_p7_a_name_is_there_once(
    tenant: Tenant, first: str, second: str, reason: str
) -> None:
    """P7: names that some reader would merge are refused, by case and by Unicode."""
    refuse(tenant, package(stored(first, b"1"), stored(second, b"2")), reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/".join("a" * 3000), "longer than 1024 bytes"),
        ("a" * 10_000, "longer than 1024 bytes"),
        ("/".join("a" * 65), "deeper than 64"),
        ("a" * 256, "part longer than 255"),
    ],
)
def test_p8_names_have_an_end(tenant: Tenant, name: str, reason: str) -> None:
    """P8: long and deep names are refused."""
    refuse(tenant, package(stored(name, b"x")), reason)


def test_p8_entries_have_an_end(tenant: Tenant) -> None:
    """P8: an inode bomb is refused by its count, before any file is made."""
    refuse(tenant, archive([stored(f"{n:x}") for n in range(50_001)]), "50000")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (package(before=b"\x7fELF" + bytes(60)), "data before its first entry"),
        (package(before=b"#!/bin/sh\nexit 0\n"), "data before its first entry"),
        (package(behind=b"\x7fELF" + bytes(60)), "data behind its end"),
        (package(behind=package()), "data behind its end"),
        (package(stored("x", b"yes", flags=1)), "encrypted"),
        (package(stored("x", b"yes", flags=1 << 6)), "encrypted"),
        (b"not a zip at all", "not a zip archive"),
        (archive([]), "has no entries"),
    ],
)
def test_p9_an_archive_is_nothing_else(tenant: Tenant, bad: bytes, reason: str) -> None:
    """P9: data before or behind the archive, and encrypted entries, are refused."""
    refuse(tenant, bad, reason)


HOOK = "import os\nopen('/tmp/' + {!r} + str(os.getpid()), 'w').close()\n"


def test_p10_site_hooks_do_not_run_in_the_platform_s_start(tenant: Tenant) -> None:
    """P10: what an interpreter runs by itself is not run out of a package."""
    source = """
import os, sys
def handler(event, context):
    return sorted(os.listdir("/tmp")), [n for n in sys.modules if "customize" in n]
"""
    files: dict[str, str | bytes] = {
        "handler.py": source,
        "sitecustomize.py": HOOK.format("site"),
        "usercustomize.py": HOOK.format("user"),
        "hook.pth": "import os; open('/tmp/pth', 'w').close()\n",
        "casemate_cell/__init__.py": HOOK.format("shadow"),
        "json.py": HOOK.format("json") + "raise SystemExit(9)\n",
        "encodings/__init__.py": HOOK.format("encodings"),
    }
    answer, response = tenant.invoke(tenant.deploy(zipped(files)))
    assert "FunctionError" not in response, answer
    assert answer == [[], []]


def test_p10_a_package_does_not_take_the_place_of_the_runtime_s_modules(
    tenant: Tenant,
) -> None:
    """P10: what the runtime uses is the library's, also what it loads late."""
    source = """
import logging, os, threading
def handler(event, context):
    logging.getLogger().error("said")
    try:
        raise ValueError("mine")
    except ValueError:
        logging.exception("told")
    return sorted(os.listdir("/tmp"))
"""
    names = sorted(LATE | {"json", "re", "traceback", "linecache"})
    shadows = {f"{n}.py": HOOK.format(n) + "raise SystemExit(9)\n" for n in names}
    files: dict[str, str | bytes] = {"handler.py": source, **shadows}
    name = tenant.deploy(zipped(files))
    answer, response = tenant.invoke(name)
    assert "FunctionError" not in response, answer
    assert answer == []


def test_p10_reading_a_package_runs_none_of_it(tenant: Tenant) -> None:
    """P10: sources that would break their compiler are taken, and never run there."""
    files: dict[str, str | bytes] = {
        "handler.py": HANDLER,
        "deep.py": "(" * 50_000,
        "nul.py": b"x = 1\x00",
        "coding.py": "# coding: rot13\nvzcbeg bf",
        "__main__.py": "raise SystemExit('ran')",
    }
    assert tenant.invoke(tenant.deploy(zipped(files)))[0] == "ran"


@pytest.mark.parametrize(
    "variables",
    [
        {"LD_PRELOAD": "/var/task/evil.so"},
        {"PYTHONPATH": "/var/task/evil", "PYTHONSTARTUP": "/var/task/evil.py"},
        {"LD_LIBRARY_PATH": "/var/task/lib"},
    ],
)
def test_p10_loader_variables_reach_only_the_function(
    tenant: Tenant, variables: dict[str, str]
) -> None:
    """P10: they are the function's own, in force after its limits and never before."""
    source = """
import os
def handler(event, context):
    status = open("/proc/self/status").read().split()
    return [
        {k: os.environ.get(k) for k in event},
        os.path.exists("/tmp/early"),
        status[status.index("NoNewPrivs:") + 1],
        status[status.index("Seccomp:") + 1],
    ]
"""
    early = b'#!/bin/sh\ntouch /tmp/early\nexec "$@"\n'
    files: dict[str, str | bytes] = {
        "handler.py": source,
        "evil.py": "open('/tmp/early', 'w').close()",
        "evil.so": b"\x7fELF",
        "wrapper": early,
    }
    name = tenant.deploy(zipped(files), Environment={"Variables": variables})
    answer, _ = tenant.invoke(name, variables)
    assert answer == [variables, False, "1", "2"]
