"""
Runtime images: what a cell sees as its root, copied from files of this host.

An image holds one interpreter, its standard library, the shared objects that they
need, and what Lambda's own image of that runtime gives its users. Everything in it
is root's, readable by all, writable by none, without setuid bits.
It is built in a scratch folder and renamed when whole, under a name that holds a
fingerprint of all it was built from; a changed host file makes a new image.
Only trusted host files are read here, at start, before any function exists.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from casemate_warden import kernel

RECIPE: Final = "1"  # part of the fingerprint: raise it when an image is built anew
PYTHONS: Final = ("3.11", "3.12", "3.13")
CELL: Final = "/var/runtime/casemate_cell"
VENDORED: Final = (
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "urllib3",
    "six.py",
)
DISTRIBUTIONS: Final = {"dateutil": "python_dateutil", "six.py": "six"}
_LOADERS: Final = {
    "x86_64": "/lib64/ld-linux-x86-64.so.2",
    "aarch64": "/lib/ld-linux-aarch64.so.1",
}
# What compiled packages (wheels, Go, Rust, C++) expect beside the C library.
_COMMON: Final = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libgcc_s.so.1",
    "libstdc++.so.6",
)
_NO_PART: Final = frozenset(
    {
        "dist-packages",
        "ensurepip",
        "idlelib",
        "site-packages",
        "sitecustomize.py",
        "test",
        "tkinter",
        "turtledemo",
    }
)
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_TEXTS: Final = {
    "etc/passwd": (
        "root:x:0:0:root:/:/sbin/nologin\n"
        "sbx_user:x:993:990:function:/tmp:/sbin/nologin\n"
    ),
    "etc/group": "root:x:0:\nsbx_user:x:990:\n",
    "etc/hosts": "127.0.0.1 localhost casemate\n::1 localhost\n",
    "etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FOLDERS: Final = (
    "dev",
    "etc/casemate",
    "etc/ssl/certs",
    "opt",
    "proc",
    "tmp",
    "usr/bin",
    "usr/lib64",
    "usr/lib/ssl",
    "var/runtime",
    "var/task",
)
_LINKS: Final = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "etc/localtime": "../usr/share/zoneinfo/UTC",
    "usr/lib/ssl/certs": "/etc/ssl/certs",
    "usr/lib/ssl/cert.pem": _AUTHORITIES,
    "etc/pki/tls/certs/ca-bundle.crt": _AUTHORITIES,  # where Amazon Linux has it
}


class Missing(Exception):
    """A part of a runtime is not on this host; the text names it."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where an image's parts come from: the platform's own two folders."""

    site: Path  # holds the package casemate_cell
    packages: Path  # the site-packages of the interpreter that runs the platform


@dataclass(frozen=True, kw_only=True)
class Image:
    """One built image. `argv` is what a generic cell of it runs while it waits."""

    runtime: str
    path: Path  # holds `base`, the root of the cell, and `edge`, which is empty
    argv: tuple[str, ...]
    managed: bool  # speaks frames on descriptor 3; otherwise a shell reads stdin


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one runtime is put together; `parts` may raise `Missing`."""

    runtime: str
    parts: Callable[[Sources], dict[str, Path]]  # place in the image: host file
    argv: tuple[str, ...]
    managed: bool


def _waiting(version: str) -> tuple[str, ...]:
    python = f"/usr/bin/python{version}"
    # The byte code itself: a script would be compiled anew by each cell, which keeps
    # 64 KiB of what that took. Isolated and without byte code writing: nothing of a
    # tenant is on its path yet.
    script = f"{CELL}/__pycache__/waiting.cpython-{version.replace('.', '')}.pyc"
    return (python, "-I", "-B", "-X", "frozen_modules=on", script)


def recipes() -> tuple[Recipe, ...]:
    """What could be built here; the interpreters are looked up at /usr/bin only."""
    pythons = [
        Recipe(
            runtime=f"python{version}",
            parts=partial(_python, version),
            argv=_waiting(version),
            managed=True,
        )
        for version in PYTHONS
        if Path(f"/usr/bin/python{version}").exists() or version == PYTHONS[0]
    ]
    shell = ("/bin/sh", "-s")
    node = Recipe(runtime=_node_name(), parts=_node, argv=shell, managed=False)
    bare = Recipe(runtime="provided.al2023", parts=_bare, argv=shell, managed=False)
    return (*pythons, node, bare)


def _node_name() -> str:
    """`nodejsNN.x` after the major version that /usr/bin/node reports."""
    if not Path("/usr/bin/node").exists():
        return "nodejs"
    try:
        version = _said("/usr/bin/node", "--version")
    except Missing:
        return "nodejs"  # its parts then say why it is left out
    return f"nodejs{version.lstrip('v').split('.')[0]}.x"


def _said(*command: str) -> str:
    """The output of a trusted host program; its failure is `Missing`."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise Missing(f"`{command[0]}` failed: {done.stderr.strip()[:200]}")
    return done.stdout.strip()


def _objects(*binaries: Path) -> dict[str, Path]:
    """The shared objects that trusted host binaries need, as the loader lists them."""
    loader = _LOADERS[platform.machine()]
    found = {loader: Path(loader)}
    for binary in binaries:
        for line in _said(loader, "--list", str(binary)).splitlines():
            path = line.split("=>")[-1].split("(")[0].strip()
            if "not found" in line:
                raise Missing(f"`{binary}` needs {line.strip()}")
            if path.startswith("/"):
                found[path] = Path(path)
    return found


def _required(path: str) -> Path:
    if not Path(path).is_file():
        raise Missing(f"`{path}` is not there")
    return Path(path)


def _bare(_: Sources | None = None) -> dict[str, Path]:
    """A shell, the C library, certificates, time zones."""
    shell = _required("/bin/sh").resolve()
    parts = {"/usr/bin/sh": shell, _AUTHORITIES: _required(_AUTHORITIES)}
    libraries = Path(f"/usr/lib/{platform.machine()}-linux-gnu")
    common = [libraries / name for name in _COMMON if (libraries / name).exists()]
    parts |= {str(path): path for path in common}
    for folder in ("/usr/share/zoneinfo", "/usr/lib/locale/C.utf8"):
        parts |= dict(_below(Path(folder), folder, skip=frozenset({"right", "posix"})))
    return parts | _objects(shell, *common)


def _node(sources: Sources) -> dict[str, Path]:
    node = _required("/usr/bin/node")
    _said(str(node), "--version")
    return _bare() | {"/usr/bin/node": node} | _objects(node) | _cell(sources)


def _python(version: str, sources: Sources) -> dict[str, Path]:
    """The interpreter, its library as the host has it, boto3 at its pinned version."""
    python = _required(f"/usr/bin/python{version}").resolve()
    library = f"/usr/lib/python{version}"
    parts = _bare() | {f"/usr/bin/python{version}": python}
    parts |= dict(_below(Path(library), library, skip=_NO_PART))
    extensions = [path for path in parts.values() if path.suffix == ".so"]
    for name in VENDORED:
        parts |= _vendored(name, sources.packages)
    return parts | _objects(python, *extensions) | _cell(sources)


def _vendored(name: str, packages: Path) -> dict[str, Path]:
    """One package of the platform's environment with its metadata."""
    source, place = packages / name, f"/var/runtime/{name}"
    if not source.exists():
        raise Missing(f"`{name}` is not in {packages}")
    pattern = f"{DISTRIBUTIONS.get(name, name)}-*.dist-info"
    parts = {place: source} if source.is_file() else dict(_source_below(source, place))
    for info in packages.glob(pattern):
        parts |= dict(_source_below(info, f"/var/runtime/{info.name}"))
    return parts


def _cell(sources: Sources) -> dict[str, Path]:
    return dict(_source_below(sources.site / "casemate_cell", CELL))


def _source_below(folder: Path, place: str) -> Iterator[tuple[str, Path]]:
    """Files without their byte code, which is compiled anew inside the image."""
    return _below(folder, place, skip=frozenset({"__pycache__"}))


def _below(
    folder: Path, place: str, *, skip: frozenset[str]
) -> Iterator[tuple[str, Path]]:
    """Every regular file below a folder; links that leave the folder are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - skip)
        for name in sorted(set(files) - skip):
            path = Path(parent, name)
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                yield f"{place}/{path.relative_to(folder)}", path


def _fingerprint(recipe: Recipe, parts: dict[str, Path]) -> str:
    """16 hexadecimal digits over the recipe and every part's place, size and time."""
    digest = hashlib.sha256(repr((RECIPE, recipe.argv, _TEXTS, _LINKS)).encode())
    for place, path in sorted(parts.items()):
        status = path.stat()
        digest.update(f"{place} {path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def build(recipe: Recipe, folder: Path, sources: Sources) -> Image:
    """
    The image of one runtime below `folder`, built only if it is not there yet.

    Raises `Missing` when the host lacks a part.
    """
    parts = recipe.parts(sources)
    path = folder / f"{recipe.runtime}-{_fingerprint(recipe, parts)}"
    if not path.exists():
        scratch = folder / f".building-{recipe.runtime}"
        shutil.rmtree(scratch, ignore_errors=True)
        _fill(scratch / "base", parts)
        (scratch / "edge").mkdir(mode=0o755)
        if recipe.managed:
            _compile(recipe.argv[0], scratch / "base")
        # The name says that all of it is there, so all of it is on the disk first:
        # after a power cut, files of an image would be empty, and trusted.
        _sync(folder)
        scratch.rename(path)
        _sync(folder)
    return Image(
        runtime=recipe.runtime, path=path, argv=recipe.argv, managed=recipe.managed
    )


def _sync(folder: Path) -> None:
    """Has the file system of a folder on its disk: one call for thousands of files."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.syncfs(held)
    finally:
        os.close(held)


def _fill(root: Path, parts: dict[str, Path]) -> None:
    os.umask(0o022)
    for name in _FOLDERS:
        (root / name).mkdir(mode=0o755, parents=True)
    for name, target in _LINKS.items():
        (root / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    for name, text in _TEXTS.items():
        (root / name).write_text(text, "ascii")
    for place, source in parts.items():
        _copy(source, root / _merged(place))


def _merged(place: str) -> str:
    """The place below /usr of what hosts with a merged /usr also call /lib or /bin."""
    first = place.lstrip("/").split("/")[0]
    return f"usr{place}" if first in {"lib", "lib64", "bin"} else place.lstrip("/")


def _copy(source: Path, target: Path) -> None:
    """
    The bytes and the time, by which byte code is matched.

    No extended attribute (file capabilities) and no odd bit of the mode comes along.
    """
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if target.exists():
        return
    shutil.copyfile(source, target)
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    target.chmod(0o755 if status.st_mode & 0o111 else 0o644)


def _compile(python: str, root: Path) -> None:
    """Byte code of /var/runtime, by the very interpreter, never checked again."""
    runtime = root / "var" / "runtime"
    unchecked = ("--invalidation-mode", "unchecked-hash", "-q", "-s", str(root))
    _said(python, "-I", "-m", "compileall", *unchecked, "-p", "/", str(runtime))


def drop_others(folder: Path, kept: Sequence[Image]) -> None:
    """Removes what no runtime uses any more, and what a broken build left."""
    names = {image.path.name for image in kept}
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path)
