"""The system calls that a job may make: an allow-list, as a classic BPF program for seccomp(2).

Whatever is not listed is refused with EPERM, also calls that kernels will learn later. There is no fork, exec, socket, signal to
another process, ptrace, memfd, io_uring, bpf, keyctl, mount or System V and POSIX IPC in it. What one process may do to another
is left out even where the file system or the user id would refuse it too.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Sequence

# The numbers are those of asm/unistd_64.h and asm-generic/unistd.h; None: the architecture has no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # memory
    "brk": (12, 214),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    # files; which ones can be opened is Landlock's to say
    "access": (21, None),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fadvise64": (221, 223),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "lseek": (8, 62),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "open": (2, None),
    "openat": (257, 56),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "pwrite64": (18, 68),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "umask": (95, 166),
    "write": (1, 64),
    "writev": (20, 66),
    # waiting, and talking to oneself
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pselect6": (270, 72),
    "recvfrom": (45, 207),
    "select": (23, None),
    "shutdown": (48, 210),
    # time
    "alarm": (37, None),
    "getitimer": (36, 102),
    "gettimeofday": (96, 169),
    "nanosleep": (35, 101),
    "setitimer": (38, 103),
    "time": (201, None),
    "times": (100, 153),
    # one's own signals and threads
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "gettid": (186, 178),
    "pause": (34, None),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigpending": (127, 136),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137),
    "sched_yield": (24, 124),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "sigaltstack": (131, 132),
    # asking who and where one is
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getgroups": (115, 158),
    "getpgrp": (111, None),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getresgid": (120, 150),
    "getresuid": (118, 148),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "getuid": (102, 174),
    "sysinfo": (99, 179),
    "uname": (63, 160),
}
"""Calls that are allowed whatever their arguments: (x86_64, aarch64)."""

WRITING: dict[str, tuple[int | None, int | None]] = {
    "chdir": (80, 49),
    "fallocate": (285, 47),
    "fchdir": (81, 50),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fdatasync": (75, 83),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rmdir": (84, None),
    "truncate": (76, 45),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "utimensat": (280, 88),
}
"""Calls that are allowed too where the job has a file system of its own to write to."""

RECEIVING: dict[str, tuple[int | None, int | None]] = {"recvmsg": (47, 212)}
"""Allowed to the referee, which is handed the channel of each job as a file descriptor."""

SPECIAL = {
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fcntl": (72, 25),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "ioctl": (16, 29),
    "prlimit64": (302, 261),
    "sched_getaffinity": (204, 123),
    "sendto": (44, 206),
    "socketpair": (53, 199),
}
"""Calls whose arguments decide."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine to its column above and its AUDIT_ARCH number."""

# A thread as glibc and as musl make one. Anything else that clone(2) can make is another process or namespace.
_THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Not FIOASYNC, which makes the kernel send signals.
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. Not F_SETOWN, which addresses those signals,
# nor a lock, for which others could have to wait.
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)
_AF_UNIX = 1
# Clocks of the machine and of oneself. Further up lie those of other processes (clockid_t of a process id) and of devices.
_CLOCKS = 16

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_FROM, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCH, _ARGS = 0, 4, 16

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand."""

_ALLOWED: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)]
_REFUSED: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | _EPERM)]


def program(*more: dict[str, tuple[int | None, int | None]], machine: str | None = None) -> bytes:
    """Return the filter that allows the list above and the tables in ``more``, as an array of ``struct sock_filter``.

    Raises:
        OSError: The numbers of this machine's calls are not known.
    """
    machine = platform.machine() if machine is None else machine
    if machine not in ARCHITECTURES:
        raise OSError(f"no system call table for {machine}; known: {', '.join(ARCHITECTURES)}")
    column, arch = ARCHITECTURES[machine]
    rules: dict[int, list[Instruction]] = {}
    for table in (NUMBERS, *more):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                rules[number] = _ALLOWED
    for name, check in _checks().items():
        rules[SPECIAL[name][column]] = check
    out: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_search(_segments(rules)),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in out)


def _checks() -> dict[str, list[Instruction]]:
    own = _all_zero((_ARGS,))  # process id 0: the caller
    return {
        **dict.fromkeys(("clock_getres", "clock_gettime", "clock_nanosleep"), _below(0, _CLOCKS)),
        **dict.fromkeys(("getpgid", "getsid", "sched_getaffinity"), own),
        "clone": _low(0) + _one_of(_THREAD_FLAGS),
        # glibc and musl fall back to clone, whose flags a filter can read; those of clone3 lie in memory.
        "clone3": [(_RETURN, 0, 0, _ERRNO | _ENOSYS)],
        "fcntl": _low(1) + _one_of(_FCNTLS),
        "ioctl": _low(1) + _one_of(_IOCTLS),
        # Limits may be read, one's own only.
        "prlimit64": _all_zero((_ARGS, _ARGS + 16, _ARGS + 20)),
        # Data may be sent to the connected end of a pair, never to an address.
        "sendto": _all_zero((_ARGS + 32, _ARGS + 36)),
        "socketpair": _low(0) + _one_of((_AF_UNIX,)),
    }


def _low(argument: int) -> list[Instruction]:
    return [(_LOAD, 0, 0, _ARGS + 8 * argument)]


def _one_of(values: Sequence[int]) -> list[Instruction]:
    tests = [(_JUMP_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [*tests, *_REFUSED, *_ALLOWED]


def _below(argument: int, end: int) -> list[Instruction]:
    return [*_low(argument), (_JUMP_FROM, 0, 1, end), *_REFUSED, *_ALLOWED]


def _all_zero(offsets: Iterable[int]) -> list[Instruction]:
    out: list[Instruction] = []
    for offset in offsets:
        out += [(_LOAD, 0, 0, offset), (_JUMP_EQUAL, 1, 0, 0), *_REFUSED]
    return out + _ALLOWED


def _segments(rules: dict[int, list[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """Return where, from number 0 on, which rule begins to hold."""
    out: list[tuple[int, list[Instruction]]] = []
    for number in sorted({0, *rules, *(n + 1 for n in rules)}):
        rule = rules.get(number, _REFUSED)
        if not out or out[-1][1] is not rule:
            out.append((number, rule))
    return out


def _search(segments: Sequence[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Return a binary search for the segment that holds the number: the kernel runs it for every number on attaching."""
    if len(segments) == 1:
        return segments[0][1]
    middle = len(segments) // 2
    left, right = _search(segments[:middle]), _search(segments[middle:])
    start = segments[middle][0]
    if len(left) <= 255:
        return [(_JUMP_FROM, len(left), 0, start), *left, *right]
    return [(_JUMP_FROM, 0, 1, start), (_JUMP, 0, 0, len(left)), *left, *right]
