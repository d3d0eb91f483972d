"""
What a cell's code can see and reach: hostile code runs inside, the kernel answers.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import warden_harness as harness

pytestmark = pytest.mark.root

PROBE = """
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
    return "ok" if done >= 0 else errno.errorcode[ctypes.get_errno()]
def tried(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
"""

# Numbers of x86_64; the cell's own table is the only one it may use.
REFUSED = {
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "setns": 308,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "io_setup": 206,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "fanotify_init": 300,
    "fanotify_mark": 301,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "lookup_dcookie": 212,
    "quotactl": 179,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "settimeofday": 164,
    "clock_settime": 227,
    "adjtimex": 159,
    "clock_adjtime": 305,
    "acct": 163,
    "nfsservctl": 180,
    "modify_ldt": 154,
    "iopl": 172,
    "ioperm": 173,
    "move_pages": 279,
    "migrate_pages": 256,
    "mbind": 237,
    "memfd_secret": 447,
    "syslog": 103,
    "vhangup": 153,
    "mq_open": 240,
    "ioprio_set": 251,
    "remap_file_pages": 216,
    "tee": 276,
    "vmsplice": 278,
}
NEW_USER, NEW_NAMESPACES = 0x10000000, 0x7E020000


@pytest.fixture(scope="module")
def inside(warden: harness.Warden) -> Iterator[harness.PythonCell]:
    """One assigned cell with the probe loaded; tests of this module share it."""
    one = harness.PythonCell.open(warden)
    one.assign()
    assert one.run(PROBE) == ""
    yield one
    one.close()


def said(one: harness.PythonCell, expression: str) -> Any:
    """The value of an expression inside the cell."""
    output = one.run(f"print(json.dumps({expression}))")
    return json.loads(output)


@pytest.mark.parametrize("name", REFUSED)
def test_a_dangerous_call_is_refused(inside: harness.PythonCell, name: str) -> None:
    """S2, S3, S9, S10, S30: the filter answers before the kernel's own check."""
    answer = said(inside, f"call({REFUSED[name]}, -1, 0, 0, 0, 0)")
    assert answer in {"EPERM", "ENOSYS"}


def test_no_namespace_can_be_made(inside: harness.PythonCell) -> None:
    """S2: not by unshare, not by clone, and clone3 does not exist."""
    assert said(inside, f"call(272, {NEW_USER})") == "EPERM"
    for bit in range(32):
        if NEW_NAMESPACES >> bit & 1:
            assert said(inside, f"call(56, {1 << bit}, 0, 0, 0, 0)") == "EPERM"
    assert said(inside, "call(435, 0, 0)") == "ENOSYS"


def test_personality_only_answers(inside: harness.PythonCell) -> None:
    """S10: READ_IMPLIES_EXEC and ADDR_NO_RANDOMIZE cannot be set."""
    assert said(inside, "call(135, 0xffffffff)") == "ok"
    assert said(inside, "call(135, 0x0400000)") == "EPERM"
    assert said(inside, "call(135, 0x0040000)") == "EPERM"


def test_terminal_injection_is_refused(inside: harness.PythonCell) -> None:
    """S11: TIOCSTI and TIOCLINUX, also with dirt in the upper half of the number."""
    for request in (0x5412, 0x541C, 0x1_0000_5412):
        assert said(inside, f"call(16, 0, {request}, 0)") == "EPERM"


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (16, 3, 0),  # netlink
        (17, 3, 0),  # packet
        (2, 3, 1),  # raw ICMP
        (2, 2, 1),  # ping
        (2, 1, 132),  # SCTP
        (2, 1, 262),  # MPTCP
        (2, 6, 33),  # DCCP
        (38, 5, 0),  # AF_ALG
        (40, 1, 0),  # AF_VSOCK
        (31, 3, 0),  # bluetooth
        (44, 3, 0),  # XDP
        (10, 3, 58),  # raw ICMPv6
    ],
)
def test_an_odd_socket_is_refused(
    inside: harness.PythonCell, family: int, kind: int, protocol: int
) -> None:
    """S15, N9: only local sockets, TCP and UDP."""
    assert said(inside, f"call(41, {family}, {kind}, {protocol})") == "EPERM"


def test_plain_sockets_work(inside: harness.PythonCell) -> None:
    """TCP, UDP and local sockets, with the flags that runtimes set."""
    for family in (1, 2, 10):
        for kind in (1, 2, 0o2000001, 0o4000 | 0o2000002):
            assert said(inside, f"call(41, {family}, {kind}, 0)") == "ok"


def test_names_are_looked_up_without_netlink(inside: harness.PythonCell) -> None:
    """The C library falls back when AF_NETLINK is refused."""
    expression = "__import__('socket').getaddrinfo('localhost', 80)[0][4]"
    assert said(inside, expression) == ["127.0.0.1", 80]


def test_it_holds_no_power(inside: harness.PythonCell) -> None:
    """S7: no capability in any set, no new privileges ever, a filter in force."""
    status = dict(
        line.split(":\t", 1)
        for line in said(inside, "open('/proc/self/status').read()").splitlines()
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["993"] * 4
    assert status["Groups"].strip() == ""


def test_its_root_is_nobody_on_the_host(inside: harness.PythonCell) -> None:
    """S8: one range far above every user of the host."""
    first, host, size = map(
        int, said(inside, "open('/proc/self/uid_map').read()").split()
    )
    assert (first, size) == (0, 65_536)
    assert host >= 1_000_000_000


def test_its_descriptors_lead_nowhere(inside: harness.PythonCell) -> None:
    """S13: streams and control only, and no way up from the working directory."""
    links = said(inside, "{n: os.readlink('/proc/self/fd/' + n) for n in '0123'}")
    assert links["0"] == "/null"  # the device, outside of every folder of the cell
    assert [links[n].split(":")[0] for n in "123"] == ["pipe", "pipe", "socket"]
    above = said(inside, "sorted(os.listdir('/proc/self/cwd/../..'))")
    assert above == said(inside, "sorted(os.listdir('/'))")


def test_a_fresh_cell_has_exactly_four_descriptors(
    cell: Callable[[], harness.PythonCell],
) -> None:
    """S13: 0 to 3, and the one that lists the folder."""
    output = cell().run(
        "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    )
    assert json.loads(output) == [0, 1, 2, 3, 4]


def test_its_mount_table_names_nothing_of_the_host(inside: harness.PythonCell) -> None:
    """S4: every root is `/`, every source is our name, nine mounts in all."""
    lines = said(inside, "open('/proc/self/mountinfo').read()").splitlines()
    places = {}
    for line in lines:
        left, right = (part.split() for part in line.split(" - "))
        places[left[4]] = left[5]
        assert left[3] == "/"
        assert right[1] in {"casemate", "proc"}
    assert set(places) == {
        "/",
        "/proc",
        "/dev",
        "/etc/casemate",
        "/var/task",
        "/opt",
        "/tmp",  # noqa: S108 — the cell's own
    }
    assert all("nosuid" in options for options in places.values())
    assert all(
        "nodev" in options for place, options in places.items() if place != "/dev"
    )


def test_proc_holds_only_its_own_processes(inside: harness.PythonCell) -> None:
    """S4, S26: `subset=pid`: no kernel files, no settings, no other process."""
    assert said(inside, "sorted(os.listdir('/proc'))") == ["1", "self", "thread-self"]


@pytest.mark.parametrize(
    "path",
    [
        "/sys",
        "/proc/sys",
        "/proc/kcore",
        "/proc/keys",
        "/proc/cmdline",
        "/proc/config.gz",
        "/proc/sysrq-trigger",
        "/dev/kmsg",
        "/dev/mem",
        "/dev/kvm",
        "/dev/fuse",
        "/dev/shm",  # noqa: S108 — the cell's own
        "/dev/tty",
        "/dev/ptmx",
        "/dev/pts",
        "/dev/mqueue",
        "/.dockerenv",
        "/etc/shadow",
        "/root",
        "/home",
        "/run",
        "/work",
    ],
)
def test_a_place_of_the_host_is_absent(inside: harness.PythonCell, path: str) -> None:
    """S4, S5, S6."""
    assert said(inside, f"os.path.lexists({path!r})") is False


def test_dev_holds_five_devices_and_four_links(inside: harness.PythonCell) -> None:
    """S6, and each device works."""
    names = [
        "fd",
        "full",
        "null",
        "random",
        "stderr",
        "stdin",
        "stdout",
        "urandom",
        "zero",
    ]
    assert said(inside, "sorted(os.listdir('/dev'))") == names
    assert said(inside, "len(open('/dev/urandom', 'rb').read(8))") == 8
    assert said(inside, "open('/dev/null', 'w').write('x')") == 1
    assert (
        said(inside, "tried(lambda: os.mknod('/tmp/d', 0o20666, os.makedev(1, 3)))")
        == "EPERM"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/usr/bin/x",
        "/var/task/x",
        "/var/runtime/x",
        "/opt/x",
        "/dev/x",
        "/etc/x",
        "/etc/casemate/x",
    ],
)
def test_nothing_but_tmp_can_be_written(inside: harness.PythonCell, path: str) -> None:
    """S1."""
    assert said(inside, f"tried(lambda: open({path!r}, 'w'))") == "EROFS"


@pytest.mark.parametrize(
    "path", ["/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/etc/casemate/ca.pem"]
)
def test_what_names_are_looked_up_with_is_fixed(
    inside: harness.PythonCell, path: str
) -> None:
    """S27."""
    assert said(inside, f"tried(lambda: open({path!r}, 'a'))") in {"EROFS", "EACCES"}
    assert said(inside, f"tried(lambda: os.rename({path!r}, '/tmp/x'))") in {
        "EROFS",
        "EXDEV",
    }


def test_the_interpreter_cannot_be_overwritten(inside: harness.PythonCell) -> None:
    """S12: not through /proc/self/exe either."""
    assert said(inside, "tried(lambda: open('/proc/self/exe', 'r+b'))") in {
        "EROFS",
        "EACCES",
        "ETXTBSY",
    }


def test_tmp_is_its_own_and_has_a_size(inside: harness.PythonCell) -> None:
    """Q3: 512 MB, and as many inodes as a quarter of its pages."""
    status = said(
        inside, "(lambda s: [s.f_blocks * s.f_frsize, s.f_files])(os.statvfs('/tmp'))"
    )
    assert status == [512 << 20, 512 * 256]
    assert said(inside, "tried(lambda: open('/tmp/mine', 'w').write('x'))") == "ok"


def test_setuid_bits_mean_nothing(inside: harness.PythonCell) -> None:
    """S7: `nosuid` everywhere, and nothing in the image bears the bit."""
    walk = (
        "[os.path.join(p, f) for p, _, fs in os.walk('/usr') for f in fs "
        "if os.lstat(os.path.join(p, f)).st_mode & 0o6000]"
    )
    assert said(inside, walk) == []
    assert said(inside, "os.statvfs('/tmp').f_flag & os.ST_NOSUID") != 0


def test_no_core_is_ever_dumped(inside: harness.PythonCell) -> None:
    """S23: a core pattern's helper would run as the host's root."""
    limits = "__import__('resource').getrlimit(__import__('resource').RLIMIT_CORE)"
    assert said(inside, limits) == [0, 0]


def test_another_architecture_s_calls_kill_the_caller(
    inside: harness.PythonCell,
) -> None:
    """S28: int 0x80 and the x32 table end the process that tries."""
    code = """
    import mmap
    def dies(work):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(0)
        return os.WTERMSIG(os.waitpid(pid, 0)[1])
    def int80():
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    """
    assert inside.run(code) == ""
    assert said(inside, "dies(int80)") == 31
    assert said(inside, "dies(lambda: call(0x40000000 + 39))") == 31


def test_signals_reach_only_itself(inside: harness.PythonCell) -> None:
    """S17: everything it can signal is its own; the host's processes have no number."""
    assert said(inside, "tried(lambda: os.kill(-1, 0))") in {"ESRCH", "ok"}
    assert said(inside, f"tried(lambda: os.kill({os.getpid()}, 0))") == "ESRCH"


def test_two_cells_share_nothing(cell: Callable[[], harness.PythonCell]) -> None:
    """S8, S14: ranges, namespaces and shared memory are apart."""
    one, other = cell(), cell()
    ranges = {c.run("print(open('/proc/self/uid_map').read())") for c in (one, other)}
    assert len(ranges) == 2
    for kind in ("ipc", "mnt", "net", "pid", "user", "uts", "cgroup"):
        links = {
            c.run(f"import os; print(os.readlink('/proc/self/ns/{kind}'))")
            for c in (one, other)
        }
        own = str(Path(f"/proc/self/ns/{kind}").readlink())
        assert len(links) == 2
        assert f"{own}\n" not in links
    shmget = "import ctypes; print(ctypes.CDLL(None).shmget(7, 64, {}))"
    assert int(one.run(shmget.format(0o1666))) >= 0
    assert int(other.run(shmget.format(0))) == -1


def test_what_one_cell_wrote_the_other_cannot_see(
    cell: Callable[[], harness.PythonCell],
) -> None:
    """S8: /tmp is private, and abstract sockets end at the cell."""
    one, other = cell(), cell()
    for each in (one, other):
        each.assign()
    one.run("open('/tmp/secret', 'w').write('x')")
    assert other.run("import os; print(os.listdir('/tmp'))") == "[]\n"
    listen = """
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind(chr(0) + 'here')
    s.listen()
    """
    assert one.run(listen) == ""
    connect = "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + 'here')"
    assert "ConnectionRefusedError" in other.run(connect)


def test_its_network_is_a_loopback_with_one_redirect(
    warden: harness.Warden, cell: Callable[[], harness.PythonCell]
) -> None:
    """N1: connections to 198.18.0.0/15 land on egress's listener, others nowhere."""
    one = cell()
    told, listeners = _told_of(warden, one.name)
    assert list(told["fds"]) == ["tcp", "dns_udp", "dns_tcp"]
    one.start(
        """
        import socket
        for host in ("10.0.0.1", "169.254.169.254", "8.8.8.8"):
            try:
                socket.create_connection((host, 80), timeout=2)
            except OSError as error:
                print(host, error.errno)
        there = socket.create_connection(("198.18.0.1", 443), timeout=5)
        print(there.getpeername()[0])
        """
    )
    listener = socket.socket(fileno=listeners["tcp"])
    listener.settimeout(10)
    accepted, _ = listener.accept()
    original = accepted.getsockopt(0, 80, 16)
    assert original[2:8] == bytes([1, 187, 198, 18, 0, 1])
    assert (
        one.finish() == "10.0.0.1 101\n169.254.169.254 101\n8.8.8.8 101\n198.18.0.1\n"
    )
    accepted.close()
    listener.close()
    os.close(listeners["dns_udp"])
    os.close(listeners["dns_tcp"])


def _told_of(
    warden: harness.Warden, name: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """What egress was told of one cell; what it was told of others is closed."""
    while True:
        told, listeners = warden.told()
        if told["cell"] == name and told["verb"] == "cell":
            return told, listeners
        for descriptor in listeners.values():
            os.close(descriptor)


def test_the_platform_s_root_certificate_is_there(inside: harness.PythonCell) -> None:
    """`/etc/casemate/ca.pem`, for every client in the cell."""
    assert said(inside, "open('/etc/casemate/ca.pem').read()") == "the public root\n"


def test_the_runtime_never_stays(
    warden: harness.Warden, inside: harness.PythonCell
) -> None:
    """No notes by which anybody could `exec` into the cell are kept."""
    for folder in ("bundles", "runtime"):
        assert list(Path(warden.run, folder).iterdir()) == []
    assert inside.name
