"""
How cells take code, hold their limits, and end with nothing left.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import warden_harness as harness
from casemate_warden import cgroups, facts, sweep
from casemate_warden.images import Image

pytestmark = pytest.mark.root

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
Opener = Callable[[], harness.PythonCell]


def sealed(content: bytes, seals: int = SEALS) -> int:
    """A memory file as the node hands it over."""
    package = os.memfd_create("package", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(package, content)
    fcntl.fcntl(package, fcntl.F_ADD_SEALS, seals)
    return package


@pytest.fixture
def package() -> Iterator[int]:
    """A sealed package whose content is `zip`."""
    made = sealed(b"zip")
    yield made
    os.close(made)


DIGEST = hashlib.sha256(b"zip").hexdigest()


def make_tree(warden: harness.Warden, cell: Opener, package: int, code: str) -> str:
    """A kept tree with one module `f.py`."""
    tree, shop = secrets.token_hex(32), cell()
    warden.do("workshop", [package], cell=shop.name, tree=tree, digest=DIGEST)
    assert shop.run(f"open('/var/task/f.py', 'w').write({code!r})") == ""
    shop.close()
    warden.do("keep", tree=tree)
    return tree


def test_code_appears_in_the_waiting_cell_read_only(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """Workshop, keep, assign: another cell reads what the workshop wrote."""
    tree = make_tree(warden, cell, package, "answer = 42")
    reader = cell()
    reader.assign(tree=tree)
    assert reader.run("print(open('/var/task/f.py').read())") == "answer = 42\n"
    refused = reader.run("open('/var/task/f.py', 'w')")
    assert "Read-only file system" in refused
    refused = reader.run("import os; os.chmod('/var/task/f.py', 0o777)")
    assert "Read-only file system" in refused
    reader.close()
    warden.do("drop", tree=tree)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_layers_are_one_read_only_view_the_last_on_top(
    warden: harness.Warden, cell: Opener, package: int, count: int
) -> None:
    """Each hides what is under it, none is written, and none is dropped in use."""
    trees: list[str] = []
    for n in range(count):
        tree, shop = secrets.token_hex(32), cell()
        warden.do("workshop", [package], cell=shop.name, tree=tree, digest=DIGEST)
        folder = f"/var/task/d{n % 2}"
        made = f"import os; os.mkdir('{folder}'); open('{folder}/f{n}', 'w')"
        assert shop.run(f"{made}; open('/var/task/all', 'w').write('{n}')") == ""
        shop.close()
        warden.do("keep", tree=tree)
        trees.append(tree)
    reader = cell()
    reader.assign(layers=trees)
    assert reader.run("print(open('/opt/all').read())") == f"{count - 1}\n"
    listed = reader.run(
        "import os; print(sorted(f for d in ('d0', 'd1') if os.path.isdir('/opt/' + d)"
        " for f in os.listdir('/opt/' + d)))"
    )
    assert listed == f"{[f'f{n}' for n in range(count)]}\n"
    for code in (
        "open('/opt/all', 'w')",
        "import os; os.unlink('/opt/all')",
        "import os; os.mkdir('/opt/new')",
        "import os; os.chmod('/opt/all', 0o777)",
    ):
        assert "Read-only file system" in reader.run(code)
    shown = reader.run(
        "print([l for l in open('/proc/self/mountinfo') if '/opt' in l])"
    )
    assert not any(tree in shown for tree in trees)
    for tree in trees:
        with pytest.raises(harness.Refusal, match="tree_in_use"):
            warden.do("drop", tree=tree)
    reader.close()
    for tree in trees:
        warden.do("drop", tree=tree)


def test_a_layer_that_is_not_there_is_refused_with_nothing_left(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """Of two layers one is unknown: no view is made, and the other can be dropped."""
    tree = make_tree(warden, cell, package, "")
    reader = cell()
    with pytest.raises(harness.Refusal, match="unknown_tree"):
        reader.assign(layers=[tree, secrets.token_hex(32)])
    reader.close()
    warden.do("drop", tree=tree)


def test_a_second_mount_is_refused(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """S31: code is never placed beside code that already runs."""
    one = cell()
    one.assign()
    with pytest.raises(harness.Refusal, match="wrong_stage"):
        one.assign()
    members = {"cell": one.name, "tree": secrets.token_hex(32), "digest": DIGEST}
    with pytest.raises(harness.Refusal, match="wrong_stage"):
        warden.do("workshop", [package], **members)
    assert warden.do("status")["trees"] == 0


def test_a_tree_is_kept_only_after_its_workshop(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """What is still written is neither kept, nor lent, nor dropped."""
    tree, shop, reader = secrets.token_hex(32), cell(), cell()
    warden.do("workshop", [package], cell=shop.name, tree=tree, digest=DIGEST)
    for verb, code in (("keep", "wrong_stage"), ("drop", "tree_in_use")):
        with pytest.raises(harness.Refusal, match=code):
            warden.do(verb, tree=tree)
    with pytest.raises(harness.Refusal, match="wrong_stage"):
        reader.assign(tree=tree)
    shop.close()
    warden.do("keep", tree=tree)
    with pytest.raises(harness.Refusal, match="wrong_stage"):
        warden.do("keep", tree=tree)
    warden.do("drop", tree=tree)
    with pytest.raises(harness.Refusal, match="unknown_tree"):
        warden.do("drop", tree=tree)


def test_a_tree_in_use_is_not_dropped(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """A reader keeps it until it is closed."""
    tree = make_tree(warden, cell, package, "")
    reader = cell()
    reader.assign(tree=tree)
    with pytest.raises(harness.Refusal, match="tree_in_use"):
        warden.do("drop", tree=tree)
    reader.close()
    warden.do("drop", tree=tree)


def test_a_package_that_can_change_is_refused(
    warden: harness.Warden, cell: Opener
) -> None:
    """P12: what was hashed must be what is unpacked."""
    one = cell()
    for seals in (0, fcntl.F_SEAL_WRITE, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK):
        package = sealed(b"zip", seals)
        members = {"cell": one.name, "tree": secrets.token_hex(32), "digest": DIGEST}
        with pytest.raises(harness.Refusal, match="not_sealed"):
            warden.do("workshop", [package], **members)
        os.close(package)
    with Path("/etc/passwd").open("rb") as file, pytest.raises(harness.Refusal):
        warden.do("workshop", [file.fileno()], **members)
    assert one.run("print('alive')") == "alive\n"


def test_a_package_of_another_digest_is_refused(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """And the cell is not usable after it."""
    one = cell()
    members = {"cell": one.name, "tree": secrets.token_hex(32), "digest": "0" * 64}
    with pytest.raises(harness.Refusal, match="digest_differs"):
        warden.do("workshop", [package], **members)
    with pytest.raises(harness.Refusal, match="wrong_stage"):
        one.assign()


def test_a_tree_stops_at_its_size(
    warden: harness.Warden, cell: Opener, package: int
) -> None:
    """P5, P8: 300 MB on disk is the most, whatever a package declared."""
    tree, shop = secrets.token_hex(32), cell()
    warden.do("workshop", [package], cell=shop.name, tree=tree, digest=DIGEST)
    code = """
    import os
    target = os.open('/var/task/big', os.O_CREAT | os.O_WRONLY)
    try:
        os.posix_fallocate(target, 0, 301 << 20)
    except OSError as error:
        print(error.strerror)
    status = os.statvfs('/var/task')
    print(status.f_blocks * status.f_frsize, status.f_files)
    """
    assert shop.run(code) == f"No space left on device\n{300 << 20} 300000\n"
    shop.close()
    warden.do("drop", tree=tree)


def test_memory_beyond_the_limit_ends_the_cell_alone(
    warden: harness.Warden, cell: Opener
) -> None:
    """Q2: the kernel ends the cell, the answer says so, the others live."""
    one, other = cell(), cell()
    one.assign(memory_mb=512)
    one.start("x = bytearray(1100 << 20)")
    with pytest.raises(EOFError):
        one.finish()
    usage = one.close()
    assert usage["oom"] is True
    assert usage["memory_peak"] <= (512 + 512) << 20
    assert other.run("print('alive')") == "alive\n"
    assert warden.do("status")["cells"]["waiting"] == 1


def test_all_cells_together_have_a_limit(warden: harness.Warden, cell: Opener) -> None:
    """Q2: four fifths of the host, above every cell; the rest is never theirs."""
    one = cell()
    first = cgroups.version() == 1
    names = (
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        if first
        else ("memory.max",)
    )
    folder = cgroups.ROOT / ("memory" if first else "") / warden.parent
    assert (folder / one.name).is_dir()
    most = facts.memory_mb() * 80 // 100 << 20
    assert {int((folder / name).read_text()) for name in names} == {most}


def test_cells_past_their_common_limit_end_and_the_warden_does_not(
    built: Sequence[Image],
) -> None:
    """Q2: within its own limit, past that of all: the kernel ends a cell of them."""
    with harness.running(built) as running:
        one = harness.PythonCell.open(running)
        one.assign(memory_mb=1_024)
        first = cgroups.version() == 1
        folder = cgroups.ROOT / ("memory" if first else "") / running.parent
        name = "memory.limit_in_bytes" if first else "memory.max"
        (folder / name).write_text(str(256 << 20))
        one.start("x = bytearray(b'x') * (512 << 20)")
        with pytest.raises(EOFError):
            one.finish()
        assert one.close()["oom"] is True
        harness.PythonCell.open(running).close()
    assert harness.left_of(running) == []


def test_a_fork_bomb_stops_at_its_limit(cell: Opener) -> None:
    """Q1: 1,024 processes and threads; then EAGAIN, and all of them end at once."""
    one = cell()
    one.assign(memory_mb=512)
    code = """
    import os, signal
    children = []
    try:
        while True:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except OSError as error:
        print(error.strerror, len(children) <= 1024)
    """
    assert one.run(code) == "Resource temporarily unavailable True\n"
    one.close()


def test_descriptors_stop_at_their_limit(cell: Opener) -> None:
    """Q4."""
    code = """
    import os
    try:
        while True:
            os.open('/dev/null', os.O_RDONLY)
    except OSError as error:
        print(error.strerror)
    """
    assert cell().run(code) == "Too many open files\n"


def test_a_cell_that_resists_ends(cell: Opener) -> None:
    """S18, Q5: ignored signals, daemons, zombies and loops do not matter."""
    one = cell()
    one.assign()
    code = """
    import os, signal
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    pass
            os._exit(0)
    """
    assert one.run(code) == ""
    started = time.monotonic()
    assert one.close()["cpu_ns"] > 0
    assert time.monotonic() - started < 5


def test_a_frozen_cell_ends(cell: Opener) -> None:
    """The node freezes by writing to the descriptor it was given."""
    one = cell()
    one.assign()
    os.write(one.fds["freezer"], b"FROZEN" if cgroups.version() == 1 else b"1")
    one.start("print('never')")
    assert one.close()["oom"] is False


def test_a_closed_cell_leaves_nothing(warden: harness.Warden, cell: Opener) -> None:
    """No group, no folder, no process with its uid, and its range comes back."""
    one = cell()
    base = int(one.run("print(open('/proc/self/uid_map').read().split()[1])"))
    one.assign()
    one.close()
    for parent in cgroups.parents(warden.parent):
        assert not (parent / one.name).exists()
    assert not any(_uid_of(path) == base + 993 for path in Path("/proc").glob("[0-9]*"))
    with pytest.raises(harness.Refusal, match="unknown_cell"):
        warden.do("close", cell=one.name)


def _uid_of(process: Path) -> int:
    try:
        return process.stat().st_uid
    except FileNotFoundError:
        return -1


def test_opens_run_side_by_side_and_delay_nothing(warden: harness.Warden) -> None:
    """Four opens are on their way while `status` is answered at once."""
    opens = [warden.ask("open", runtime="python3.11") for _ in range(4)]
    started = time.monotonic()
    counts = warden.do("status")["cells"]
    assert time.monotonic() - started < 0.05
    assert counts["opening"] == 4
    for number in opens:
        harness.PythonCell(warden, warden.wait(number)).close()


def test_a_shell_cell_reads_its_script(warden: harness.Warden) -> None:
    """Runtimes without frames wait as a shell on a pipe."""
    opened = warden.do("open", runtime="provided.al2023")
    size = {"layers": [], "memory_mb": 128, "ephemeral_mb": 512}
    given = warden.do("assign", (), cell=opened["cell"], tree=None, **size)
    assert harness.run_shell(opened["fds"], "cd /tmp && echo $PWD") == "/tmp\n"  # noqa: S108
    warden.do("close", cell=opened["cell"])
    for descriptor in (*opened["fds"].values(), *given["fds"].values()):
        os.close(descriptor)


def test_a_stopping_warden_takes_everything_along(built: Sequence[Image]) -> None:
    """The node leaves with cells open, one of them frozen: nothing stays."""
    with harness.running(built) as running:
        for _ in range(3):
            one = harness.PythonCell.open(running)
            one.assign()
        os.write(one.fds["freezer"], b"FROZEN" if cgroups.version() == 1 else b"1")
    assert harness.left_of(running) == []


def test_what_a_killed_warden_left_is_swept(built: Sequence[Image]) -> None:
    """After `kill -9` no mount is left at once, and the sweep ends the cells."""
    with harness.running(built) as running:
        one = harness.PythonCell.open(running)
        one.assign()
        other = harness.PythonCell.open(running)
        os.write(other.fds["freezer"], b"FROZEN" if cgroups.version() == 1 else b"1")
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)
        assert one.run("print('still there')") == "still there\n"
        assert sweep.erase_all(running.parent) == 2
        sweep.remove_run_folder(running.run)
    assert harness.left_of(running) == []


def test_a_next_warden_sweeps_by_itself(built: Sequence[Image]) -> None:
    """The same names again: it starts, and its predecessor's cells are gone."""
    with harness.running(built) as first:
        harness.PythonCell.open(first).assign()
        os.kill(first.pid, signal.SIGKILL)
        os.waitpid(first.pid, 0)
        with harness.running(built, name=first.run.name) as second:
            assert second.do("status")["cells"]["waiting"] == 0
            harness.PythonCell.open(second).close()
    assert harness.left_of(second) == []


def test_a_runtime_that_fails_leaves_nothing(
    built: Sequence[Image], capfd: pytest.CaptureFixture[str]
) -> None:
    """The node hears no path; the operator's log says why; the next verb works."""
    with harness.running(built, runtime="/bin/false") as running:
        for _ in range(6):
            with pytest.raises(harness.Refusal, match="failed: the warden could not"):
                running.do("open", runtime="python3.11")
        status = running.do("status")
        assert set(status["cells"].values()) == {0}
        held = list(Path(f"/proc/{running.pid}/fd").iterdir())
        with pytest.raises(harness.Refusal):
            running.do("open", runtime="python3.11")
        assert len(list(Path(f"/proc/{running.pid}/fd").iterdir())) == len(held)
    assert "CannotOpen: runtime ended with 1" in capfd.readouterr().err
    assert harness.left_of(running) == []


def test_cells_come_and_go_without_a_leak(warden: harness.Warden, cell: Opener) -> None:
    """Forty cells later the warden holds what it held before."""
    cell().close()
    fds, mounts = Path(f"/proc/{warden.pid}/fd"), Path(f"/proc/{warden.pid}/mountinfo")
    before = len(list(fds.iterdir())), len(mounts.read_text().splitlines())
    for _ in range(10):
        numbers = [warden.ask("open", runtime="provided.al2023") for _ in range(4)]
        for opened in map(warden.wait, numbers):
            size = {"layers": [], "memory_mb": 128, "ephemeral_mb": 512}
            given = warden.do("assign", (), cell=opened["cell"], tree=None, **size)
            warden.do("close", cell=opened["cell"])
            for descriptor in (*opened["fds"].values(), *given["fds"].values()):
                os.close(descriptor)
    assert (len(list(fds.iterdir())), len(mounts.read_text().splitlines())) == before
