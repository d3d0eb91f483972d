"""
The system calls that a cell may make, each group with its reason.

An allow-list: what no group names answers EPERM, and what this machine's libseccomp
does not know answers ENOSYS or EPERM by the OCI runtime's own rule. Calls through
another architecture's table (int 0x80, x32) kill the caller, because only the
machine's own table is listed.
Arguments are matched as numbers in registers; nothing behind a pointer is judged,
so nothing can be swapped between check and use.
"""

from __future__ import annotations

import errno
import platform
from dataclasses import dataclass
from typing import Any, Final

_ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Calls that are allowed for one reason."""

    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One condition: the masked argument equals the value."""

    index: int
    value: int
    mask: int

    def rendered(self) -> dict[str, Any]:
        """As the OCI runtime specification writes it."""
        numbers = {"value": self.mask, "valueTwo": self.value}
        return {"index": self.index, "op": "SCMP_CMP_MASKED_EQ"} | numbers


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """A call that is allowed only when all of these conditions hold."""

    reason: str
    name: str
    when: tuple[Argument, ...]


def _calls(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GROUPS: Final = (
    Group(
        reason="files: the cell's own read-only root and its own /tmp are all there is",
        names=_calls(
            "access chdir chmod close close_range copy_file_range creat dup dup2 dup3 "
            "faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 "
            "fchown fchownat chown lchown fcntl fdatasync flock fstat fstatfs fsync "
            "ftruncate futimesat getcwd getdents getdents64 link linkat lseek lstat "
            "mkdir mkdirat newfstatat open openat openat2 read pread64 preadv preadv2 "
            "readahead readlink readlinkat readv rename renameat renameat2 rmdir "
            "sendfile splice stat statfs statx symlink symlinkat sync_file_range "
            "syncfs truncate umask unlink unlinkat utime utimensat utimes write "
            "pwrite64 writev pwritev pwritev2"
        ),
    ),
    Group(
        reason="extended attributes: read by copying tools; writes meet the mount",
        names=_calls(
            "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr "
            "llistxattr lremovexattr lsetxattr removexattr setxattr"
        ),
    ),
    Group(
        reason="memory: every allocator and loader; counted by the memory cgroup",
        names=_calls(
            "brk get_mempolicy madvise membarrier memfd_create mincore mlock mlock2 "
            "mlockall mmap mprotect mremap msync munlock munlockall munmap "
            "pkey_alloc pkey_free pkey_mprotect set_mempolicy"
        ),
    ),
    Group(
        reason="threads and processes: inside the cell's own pid namespace",
        names=_calls(
            "arch_prctl execve execveat exit exit_group fork vfork futex "
            "futex_waitv get_robust_list get_thread_area getcpu getpgid getpgrp getpid "
            "getppid getpriority getrusage getsid gettid kill pause pidfd_open "
            "pidfd_send_signal prctl rseq sched_get_priority_max "
            "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
            "sched_getscheduler sched_rr_get_interval sched_setaffinity "
            "sched_setparam sched_setscheduler sched_yield set_robust_list "
            "set_thread_area set_tid_address setpgid setpriority setsid tgkill "
            "times tkill wait4 waitid"
        ),
    ),
    Group(
        reason="limits of its own: raising one needs a capability that is not there",
        names=_calls("getrlimit prlimit64 setrlimit"),
    ),
    Group(
        reason="identity: the map holds one range; changes need a capability",
        names=_calls(
            "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid "
            "setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid "
            "setuid"
        ),
    ),
    Group(
        reason="signals: among the cell's own processes",
        names=_calls(
            "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
            "rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd "
            "signalfd4 restart_syscall"
        ),
    ),
    Group(
        reason="time: read and wait; setting a clock is left out",
        names=_calls(
            "alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday "
            "nanosleep setitimer time timer_create timer_delete timer_getoverrun "
            "timer_gettime timer_settime timerfd_create timerfd_gettime "
            "timerfd_settime"
        ),
    ),
    Group(
        reason="waiting for descriptors; instances are counted against the cell's uid",
        names=_calls(
            "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait "
            "epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 inotify_add_watch "
            "inotify_init inotify_init1 inotify_rm_watch poll ppoll pselect6 select"
        ),
    ),
    Group(
        reason="sockets, once `socket` below has judged the family",
        names=_calls(
            "accept accept4 bind connect getpeername getsockname getsockopt listen "
            "pipe pipe2 recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt "
            "shutdown socketpair"
        ),
    ),
    Group(
        reason="interprocess: SysV objects live in the cell's own ipc namespace",
        names=_calls(
            "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl "
            "shmdt shmget"
        ),
    ),
    Group(
        reason="about the machine: what a runtime asks to size itself",
        names=_calls("getrandom sysinfo uname"),
    ),
    Group(
        reason="self-restriction: it can only take away",
        names=_calls(
            "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"
        ),
    ),
)

# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; clone(2) cannot carry CLONE_NEWTIME.
_NAMESPACES: Final = 0x7E020000
_UNIX, _INET, _INET6 = 1, 2, 10
_STREAM, _DATAGRAM, _KIND = 1, 2, 0xF
_FIFO, _FILE_TYPE = 0o010000, 0o170000
_LOW: Final = 0xFFFFFFFF  # the kernel reads these arguments as 32 bits


def _is(index: int, value: int, mask: int = _LOW) -> Argument:
    return Argument(index=index, value=value, mask=mask)


def _internet() -> tuple[Narrow, ...]:
    """TCP and UDP by their default or their own protocol number: no SCTP, no MPTCP."""
    reason = "internet sockets: TCP and UDP, which have only the cell's loopback"
    kinds = ((_STREAM, 0), (_STREAM, 6), (_DATAGRAM, 0), (_DATAGRAM, 17))
    return tuple(
        Narrow(
            reason=reason,
            name="socket",
            when=(_is(0, family), _is(1, kind, _KIND), _is(2, protocol)),
        )
        for family in (_INET, _INET6)
        for kind, protocol in kinds
    )


NARROW: Final = (
    Narrow(
        reason="threads and children; any flag that makes a namespace is EPERM",
        name="clone",
        when=(_is(0, 0, _NAMESPACES),),
    ),
    Narrow(
        reason="local sockets: abstract names end at the cell's network namespace",
        name="socket",
        when=(_is(0, _UNIX),),
    ),
    *_internet(),
    Narrow(
        reason="named pipes; devices are EPERM",
        name="mknod",
        when=(_is(1, _FIFO, _FILE_TYPE),),
    ),
    Narrow(
        reason="named pipes; devices are EPERM",
        name="mknodat",
        when=(_is(2, _FIFO, _FILE_TYPE),),
    ),
    *(
        Narrow(
            reason="asks for the execution domain or names Linux; READ_IMPLIES_EXEC, "
            "ADDR_NO_RANDOMIZE and other tables are EPERM",
            name="personality",
            when=(_is(0, value),),
        )
        for value in (0x0, _LOW)
    ),
)
# ioctl is allowed by request number: no terminal is there to inject into (TIOCSTI,
# TIOCLINUX), and what drivers would offer is not listed.
IOCTLS: Final = {
    0x5401: "TCGETS: isatty()",
    0x5413: "TIOCGWINSZ: how wide a terminal is; there is none, so ENOTTY",
    0x541B: "FIONREAD: bytes that wait",
    0x5421: "FIONBIO: non-blocking; libuv and CPython set it so",
    0x5450: "FIONCLEX: keep over exec",
    0x5451: "FIOCLEX: close on exec; CPython and libuv set it so",
    0x5411: "TIOCOUTQ: bytes not yet sent",
    0x40049409: "FICLONE: cp tries it; tmpfs answers EOPNOTSUPP",
}


def profile() -> dict[str, Any]:
    """`linux.seccomp` of a cell, as the OCI runtime specification writes it."""
    rules: list[dict[str, Any]] = [
        {"names": list(group.names), "action": "SCMP_ACT_ALLOW"} for group in GROUPS
    ]
    rules += [
        {
            "names": [rule.name],
            "action": "SCMP_ACT_ALLOW",
            "args": [argument.rendered() for argument in rule.when],
        }
        for rule in (*NARROW, *_ioctls())
    ]
    # The C library tries clone3 first, whose flags lie behind a pointer where no
    # filter sees them; told that it does not exist, it falls back to clone.
    absent = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO"}
    rules.append(absent | {"errnoRet": errno.ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [_ARCHITECTURES[platform.machine()]],
        "syscalls": rules,
    }


def _ioctls() -> tuple[Narrow, ...]:
    return tuple(
        Narrow(reason=reason, name="ioctl", when=(_is(1, request),))
        for request, reason in IOCTLS.items()
    )
