"""
What deployed code can do to the kernel and the machine below it.

The same laws as the warden's own tests, asked once more from the place where
they matter: a function that a tenant deployed, in the process that runs it.
"""

from __future__ import annotations

import pytest

from security.probe import Probe

pytestmark = [pytest.mark.root, pytest.mark.platform]

# Numbers of x86_64; the cell may use no other table.
REFUSED = {
    "S2": {
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "setns": 308,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "fsmount": 432,
        "mount_setattr": 442,
    },
    "S3": {
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "pidfd_getfd": 438,
        "process_madvise": 440,
    },
    "S9": {"add_key": 248, "request_key": 249, "keyctl": 250},
    "S10": {
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
        "fanotify_init": 300,
        "open_by_handle_at": 304,
        "name_to_handle_at": 303,
        "lookup_dcookie": 212,
        "quotactl": 179,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
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
        "uselib": 134,
    },
    "S14": {"mq_open": 240, "mq_unlink": 241},
    "S16": {"io_setup": 206, "io_submit": 209},
    "S30": {
        "settimeofday": 164,
        "clock_settime": 227,
        "adjtimex": 159,
        "clock_adjtime": 305,
        "sethostname": 170,
        "setdomainname": 171,
    },
}


@pytest.fixture(scope="module")
def status(probe: Probe) -> dict[str, str]:
    """`/proc/self/status` of the process that runs the code."""
    text = probe.said("open('/proc/self/status').read()")
    return dict(line.split(":\t", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    "path",
    [
        *("/x", "/usr/bin/x", "/usr/lib/x", "/etc/x", "/dev/x", "/var/x"),
        *("/var/task/x", "/var/runtime/x", "/opt/x", "/etc/casemate/x"),
    ],
)
def test_s1_only_tmp_is_written(probe: Probe, path: str) -> None:
    """S1: the root, the code, the runtime and the layers are read-only."""
    assert probe.said(f"tried(open, {path!r}, 'w')") == "EROFS"
    assert probe.said("tried(open, '/tmp/control', 'w')") == "ok"


@pytest.mark.parametrize(
    ("law", "name"), [(law, name) for law, names in REFUSED.items() for name in names]
)
def test_a_dangerous_call_is_refused(probe: Probe, law: str, name: str) -> None:
    """S2, S3, S9, S10, S14, S16, S30: the filter answers, whatever is asked."""
    number = REFUSED[law][name]
    assert probe.said(f"call({number}, -1, 0, 0, 0, 0)") in {"EPERM", "ENOSYS"}
    assert probe.said("call(39)") == "ok"  # getpid, so that the probe can say ok


def test_s2_no_namespace_can_be_made(probe: Probe) -> None:
    """S2: not by unshare, not by any bit of clone, and clone3 does not exist."""
    answer = probe.run(
        """
        bits = [1 << n for n in range(32) if 0x7E020000 >> n & 1]
        answer = [{call(56, b, 0, 0, 0, 0) for b in bits} == {"EPERM"},
                  {call(272, b) for b in [*bits, 0x80]} == {"EPERM"},
                  call(435, 0, 0)]
        """
    )
    assert answer == [True, True, "ENOSYS"]


def test_s3_no_process_is_traced(probe: Probe) -> None:
    """S3: neither pid 1, nor the code's own child, by ptrace or by its memory file."""
    answer = probe.run(
        """
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
        answer = [call(101, 16, child.pid, 0, 0), call(101, 16, 1, 0, 0),
                  call(310, child.pid, 0, 0, 0, 0, 0)]
        child.communicate(b"\\n")
        """
    )
    assert answer == ["EPERM", "EPERM", "EPERM"]


HIDDEN = [
    *("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"),
    *("/proc/sysrq-trigger", "/proc/sys", "/proc/acpi", "/proc/scsi"),
    *("/proc/interrupts", "/proc/cmdline", "/proc/config.gz", "/proc/meminfo"),
    *("/proc/kallsyms", "/proc/modules", "/proc/net", "/proc/bus", "/proc/irq"),
    *("/sys", "/sys/fs/cgroup", "/sys/kernel/uevent_helper", "/sys/firmware"),
    *("/sys/kernel/debug", "/dev/kmsg", "/dev/mem", "/dev/kvm", "/dev/fuse"),
    *("/dev/loop0", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/mqueue"),
]


@pytest.mark.parametrize("path", HIDDEN)
def test_s4_s5_s6_a_place_of_the_kernel_is_absent(probe: Probe, path: str) -> None:
    """S4, S5, S6: nothing of /proc but processes, no /sys, no device but five."""
    # /proc/net is a link to self/net, which subset=pid leaves as a link to nowhere.
    assert probe.said(f"os.path.exists({path!r})") is False


def test_s4_mount_table_names_nothing_of_the_host(probe: Probe) -> None:
    """S4: every root is `/`; the sources are our own words."""
    text = probe.said("open('/proc/self/mountinfo').read()")
    for line in text.splitlines():
        left, right = (part.split() for part in line.split(" - "))
        assert left[3] == "/"
        assert right[1] in {"casemate", "proc"}
        for word in (*left, *right):
            assert str(probe.tenant.platform.data) not in word
            assert "/run/" not in word


def test_s4_memory_file_does_not_write_read_only_maps(probe: Probe) -> None:
    """S4: /proc/self/mem cannot be used to change what is mapped from the image."""
    answer = probe.run(
        """
        library = next(l for l in open("/proc/self/maps") if "libc" in l)
        start = int(library.split("-")[0], 16)
        before = ctypes.string_at(start, 4)
        def write():
            with open("/proc/self/mem", "r+b", 0) as memory:
                memory.seek(start)
                memory.write(b"evil")
        tried(write)
        path = library.split()[-1]
        answer = [before == open(path, "rb").read(4),
                  open(path, "rb").read(4) == b"\\x7fELF"]
        """
    )
    assert answer == [True, True]


def test_s6_devices_are_five_and_no_more_can_be_made(probe: Probe) -> None:
    """S6: null, zero, full, random, urandom; mknod and links are no way to more."""
    answer = probe.run(
        """
        kinds = [n for n in os.listdir("/dev")
                 if __import__("stat").S_ISCHR(os.lstat("/dev/" + n).st_mode)]
        answer = [sorted(kinds),
                  tried(os.mknod, "/tmp/d", 0o20666, os.makedev(1, 3)),
                  tried(os.mknod, "/tmp/b", 0o60666, os.makedev(8, 0))]
        """
    )
    assert answer == [["full", "null", "random", "urandom", "zero"], "EPERM", "EPERM"]


def test_s7_it_holds_no_power(status: dict[str, str], probe: Probe) -> None:
    """S7: no capability in any set, none to be had, no set-user-id anywhere."""
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Groups"].strip() == ""
    answer = probe.run(
        """
        raised = {tried(f, 0) for f in (os.setuid, os.setgid, os.seteuid)}
        raised |= {tried(os.setgroups, [0]), tried(os.setresuid, 0, 0, 0)}
        ambient = {call(157, 47, 2, c, 0, 0) for c in range(41)}
        open("/tmp/tool", "w").write("#!/bin/sh\\n")
        os.chmod("/tmp/tool", 0o6755)
        power = __import__("struct").pack("<5I", 0x02000001, 1 << 21, 0, 0, 0)
        marked = tried(os.setxattr, "/tmp/tool", "security.capability", power)
        nosuid = bool(os.statvfs("/tmp").f_flag & os.ST_NOSUID)
        answer = [sorted(raised), sorted(ambient), marked, nosuid, call(157, 39, 0)]
        """
    )
    raised, ambient, marked, nosuid, unsealed = answer
    assert "ok" not in raised
    assert "ok" not in ambient
    assert marked == "EPERM"
    assert nosuid
    assert unsealed in {"EINVAL", "ok"}  # the bit is read; nothing can take it away
    assert probe.run("libc.prctl(38, 0); answer = libc.prctl(39, 0, 0, 0, 0)") == 1


def test_s8_its_root_is_nobody_on_the_host(probe: Probe) -> None:
    """S8: one range of 65,536, far above every user of the host."""
    first, host, size = map(
        int, probe.said("open('/proc/self/uid_map').read()").split()
    )
    assert (first, size) == (0, 65_536)
    assert host >= 1_000_000_000


def test_s8_two_cells_share_no_uid(probe: Probe, other_probe: Probe) -> None:
    """S8, S14: ranges and namespaces of two tenants are apart."""
    code = """
    kinds = ("ipc", "mnt", "net", "pid", "user", "uts", "cgroup")
    answer = [int(open("/proc/self/uid_map").read().split()[1]),
              *(os.readlink("/proc/self/ns/" + k) for k in kinds)]
    """
    one, two = probe.run(code), other_probe.run(code)
    assert abs(one[0] - two[0]) >= 65_536
    assert not set(one[1:]) & set(two[1:])


def test_s10_personality_only_answers(probe: Probe) -> None:
    """S10: READ_IMPLIES_EXEC and ADDR_NO_RANDOMIZE cannot be set."""
    assert probe.said("call(135, 0xffffffff)") == "ok"
    assert probe.said("[call(135, 0x400000), call(135, 0x40000)]") == ["EPERM"] * 2


def test_s11_no_terminal_is_injected_into(probe: Probe) -> None:
    """S11: TIOCSTI and TIOCLINUX, also with dirt in the number's upper half."""
    requests = (0x5412, 0x541C, 0x1_0000_5412)
    assert probe.said(f"[call(16, 1, r, 0) for r in {requests}]") == ["EPERM"] * 3


def test_s12_the_interpreter_stays_as_it_is(probe: Probe) -> None:
    """S12: not written through /proc/self/exe, nor through a script that names it."""
    answer = probe.run(
        """
        import hashlib
        digest = lambda: hashlib.sha256(open(sys.executable, "rb").read()).hexdigest()
        before = digest()
        open("/tmp/script", "w").write("#!/proc/self/exe\\n")
        os.chmod("/tmp/script", 0o755)
        try:
            subprocess.run(["/tmp/script"], timeout=5, stdin=-3)
        except (OSError, subprocess.TimeoutExpired):
            pass
        answer = [tried(open, "/proc/self/exe", "r+b"),
                  tried(open, "/proc/1/exe", "r+b"), before == digest()]
        """
    )
    assert answer[0] in {"EROFS", "EACCES", "ETXTBSY"}
    assert answer[1] in {"EROFS", "EACCES", "ETXTBSY"}
    assert answer[2] is True


def test_s13_descriptors_lead_nowhere(probe: Probe) -> None:
    """S13: streams and control are all that is open, and `..` ends at its own root."""
    answer = probe.run(
        """
        open_ = {n: os.readlink("/proc/self/fd/" + n)
                 for n in os.listdir("/proc/self/fd")
                 if os.path.lexists("/proc/self/fd/" + n)}
        answer = [open_, os.getcwd(),
                  sorted(os.listdir("/proc/self/cwd/../..")) == sorted(os.listdir("/")),
                  tried(os.listdir, "/proc/self/fd/0/../../..")]
        """
    )
    links, folder, is_root, through = answer
    kinds = {number: link.split(":")[0] for number, link in links.items()}
    assert kinds.pop("0") in {"/null", "/dev/null"}
    assert kinds == {"1": "pipe", "2": "pipe", "3": "socket"}
    assert (folder, is_root, through) == ("/var/task", True, "ENOTDIR")


def test_s14_objects_of_memory_end_at_the_cell(
    probe: Probe, other_probe: Probe
) -> None:
    """S14: a SysV segment of one tenant does not exist for another."""
    made = probe.said("libc.shmget(7701, 64, 0o1666)")
    assert made >= 0
    assert probe.said("libc.shmget(7701, 64, 0)") == made
    assert other_probe.said("libc.shmget(7701, 64, 0)") == -1


def test_s15_kernel_messages_are_closed(probe: Probe) -> None:
    """S15: no netlink socket, so no uevents, routes or audit."""
    answer = probe.said("{n: call(41, 16, 3, n) for n in (0, 2, 9, 15, 16)}")
    assert set(answer.values()) == {"EPERM"}


def test_s16_counts_of_the_kernel_have_an_end(probe: Probe) -> None:
    """S16, Q4: descriptors end at 1,024, whatever they stand for."""
    answer = probe.run(
        """
        import select
        def inotify():
            made = libc.inotify_init1(0)
            if made < 0:
                raise OSError(ctypes.get_errno(), "inotify")
            return made
        def fill(make):
            made = []
            try:
                while len(made) < 5000:
                    made.append(make())
                return [len(made), "endless"]
            except OSError as error:
                return [len(made), errno.errorcode[error.errno]]
            finally:
                for one in made:
                    one.close() if hasattr(one, "close") else os.close(one)
        makers = [lambda: os.eventfd(0), lambda: os.memfd_create("m"), select.epoll,
                  socket.socket, lambda: os.open("/dev/null", 0), inotify]
        answer = [fill(make) for make in makers]
        """
    )
    for count, error in answer:
        assert error == "EMFILE"
        assert 0 < count < 1_024


def test_s21_s20_two_starts_share_no_chance(probe: Probe, other_probe: Probe) -> None:
    """S20, S21: hash seed, `random`, uuid, os.urandom and addresses differ."""
    code = """
    import random, uuid
    answer = [hash("seed"), random.random(), str(uuid.uuid4()), os.urandom(8).hex(),
              id([]), ctypes.cast(libc.getpid, ctypes.c_void_p).value]
    """
    for one, two in zip(probe.run(code), other_probe.run(code), strict=True):
        assert one != two


def test_s23_no_core_is_dumped(probe: Probe) -> None:
    """S23: a core pattern's helper would run as the host's root; the limit is 0."""
    answer = probe.run(
        """
        import resource
        def raise_limit():
            try:
                resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
            except ValueError:
                return "refused"
            return "ok"
        child = os.fork()
        if not child:
            os.abort()
        _, status = os.waitpid(child, 0)
        answer = [resource.getrlimit(resource.RLIMIT_CORE), raise_limit(),
                  os.WTERMSIG(status), os.WCOREDUMP(status)]
        """
    )
    assert answer == [[0, 0], "refused", 6, False]


def test_s25_trusted_attributes_cannot_be_set(probe: Probe) -> None:
    """S25: no overlay attribute, on no file, so no copy-up can be steered."""
    answer = probe.run(
        """
        open("/tmp/f", "w").close()
        names = ("trusted.overlay.opaque", "trusted.overlay.redirect",
                 "security.ima")
        answer = {tried(os.setxattr, "/tmp/f", n, b"y") for n in names}
        answer = sorted(answer | {tried(os.setxattr, "/var/task", names[0], b"y")})
        """
    )
    assert "ok" not in answer


def test_s26_proc_holds_only_its_own(probe: Probe) -> None:
    """S26: `subset=pid` and `hidepid=2`."""
    names = probe.said("os.listdir('/proc')")
    assert {name for name in names if not name.isdigit()} == {"self", "thread-self"}


@pytest.mark.parametrize(
    "path", ["/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/etc/casemate/ca.pem"]
)
def test_s27_what_names_are_looked_up_with_is_fixed(probe: Probe, path: str) -> None:
    """S27: neither written, nor replaced, nor removed."""
    answer = probe.said(
        f"[tried(open, {path!r}, 'a'), tried(os.rename, '/tmp/control', {path!r}),"
        f" tried(os.unlink, {path!r})]"
    )
    assert set(answer) <= {"EROFS", "EACCES", "EXDEV"}


def test_s28_other_tables_of_calls_kill(probe: Probe) -> None:
    """S28: int 0x80 and the x32 table end the process that tries them."""
    answer = probe.run(
        """
        import mmap
        def ends(work):
            child = os.fork()
            if not child:
                work()
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        def int80():
            page = mmap.mmap(-1, 4096, prot=7)
            page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        answer = [ends(int80), ends(lambda: call(0x40000000 + 39)),
                  ends(lambda: call(39))]
        """
    )
    assert answer == [31, 31, 0]


def test_s29_odd_but_legal_calls_crash_nothing(probe: Probe) -> None:
    """S29: rseq, robust lists and the vsyscall page: errors, or the child's own end."""
    answer = probe.run(
        """
        child = os.fork()
        if not child:
            call(334, 1, 2, 3, 4)
            call(273, 1, 24)
            ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(0xffffffffff600000)(None)
            os._exit(0)
        os.waitpid(child, 0)
        answer = [call(334, 1, 2, 3, 4), call(273, 1, 3), 1 + 1]
        """
    )
    assert answer[0] != "ok"
    assert answer[1] != "ok"
    assert answer[2] == 2
