import struct

import pytest
from orbiter_code.inside.seccomp import (
    ARCHITECTURES,
    NUMBERS,
    RECEIVING,
    SPECIAL,
    WRITING,
    program,
)

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
MACHINES = list(ARCHITECTURES)


def run(text, number, *, arch, args=()):
    """Return what a filter says of a call, as the kernel's interpreter of classic BPF would."""
    words = [int(arg) & 0xFFFFFFFFFFFFFFFF for arg in args] + [0] * (6 - len(args))
    data = struct.pack("<iIQ6Q", number - (1 << 32 if number >> 31 else 0), arch, 0, *words)
    code = list(struct.iter_unpack("HBBI", text))
    assert len(code) <= 4096
    place, accumulator = 0, 0
    while True:
        operation, if_true, if_false, operand = code[place]
        place += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x15:
            place += if_true if accumulator == operand else if_false
        elif operation == 0x35:
            place += if_true if accumulator >= operand else if_false
        elif operation == 0x05:
            place += operand
        else:
            assert operation == 0x06
            return operand


def numbers(machine, *tables):
    column = ARCHITECTURES[machine][0]
    found = (row[column] for table in tables for row in table.values())
    return {number for number in found if number is not None}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("more", [(), (WRITING,), (RECEIVING,)], ids=["job", "writes", "receives"])
def test_what_is_listed_is_allowed_and_nothing_else(machine, more):
    text, arch = program(*more, machine=machine), ARCHITECTURES[machine][1]
    allowed, special = numbers(machine, NUMBERS, *more), numbers(machine, SPECIAL)
    assert not allowed & special
    for number in range(600):
        if number not in special:
            expected = ALLOW if number in allowed else EPERM
            assert run(text, number, arch=arch) == expected, number


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_kill(machine):
    for arch in (0x40000003, 0x40000028, 0, *(a for _, a in ARCHITECTURES.values())):
        if arch != ARCHITECTURES[machine][1]:
            assert run(program(machine=machine), 0, arch=arch) == KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("number", [0x40000000, 0x40000039, 0x7FFFFFFF, 0xFFFFFFFF])
def test_other_numberings_are_refused(machine, number):
    assert run(program(machine=machine), number, arch=ARCHITECTURES[machine][1]) == EPERM


CALLS = [
    ("clone", (0x3D0F00,), ALLOW),
    ("clone", (0x7D0F00,), ALLOW),
    ("clone", (17,), EPERM),
    ("clone", (0x3D0F00 | 0x20000,), EPERM),
    ("clone", (0x3D0F00 | 0x10000000,), EPERM),
    ("clone3", (0, 64), ENOSYS),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), EPERM),
    ("ioctl", (0, 0x5452), EPERM),
    ("fcntl", (0, 3), ALLOW),
    ("fcntl", (0, 8), EPERM),
    ("fcntl", (0, 6), EPERM),
    ("clock_gettime", (1,), ALLOW),
    ("clock_gettime", (15,), ALLOW),
    ("clock_gettime", (~1 << 3 | 2,), EPERM),
    ("clock_getres", (16,), EPERM),
    ("clock_nanosleep", (~1 << 3 | 2, 0), EPERM),
    ("getsid", (0,), ALLOW),
    ("getsid", (1,), EPERM),
    ("getpgid", (1,), EPERM),
    ("sched_getaffinity", (0, 8), ALLOW),
    ("sched_getaffinity", (1, 8), EPERM),
    ("prlimit64", (0, 7, 0, 99), ALLOW),
    ("prlimit64", (0, 7, 99, 0), EPERM),
    ("prlimit64", (0, 7, 1 << 40, 0), EPERM),
    ("prlimit64", (1, 7, 0, 99), EPERM),
    ("sendto", (3, 99, 5, 0, 0), ALLOW),
    ("sendto", (3, 99, 5, 0, 99), EPERM),
    ("sendto", (3, 99, 5, 0, 1 << 40), EPERM),
    ("socketpair", (1, 1), ALLOW),
    ("socketpair", (2, 1), EPERM),
    ("socketpair", (40, 1), EPERM),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "args", "expected"), CALLS)
def test_arguments_decide(machine, name, args, expected):
    column, arch = ARCHITECTURES[machine]
    assert run(program(machine=machine), SPECIAL[name][column], arch=arch, args=args) == expected


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(OSError, match="no system call table for riscv64; known: x86_64, aarch64"):
        program(machine="riscv64")


@pytest.mark.parametrize(
    "name",
    [
        "fork", "vfork", "execve", "execveat", "socket", "connect", "bind", "sendmsg", "kill", "tkill", "tgkill", "ptrace",
        "process_vm_readv", "memfd_create", "io_uring_setup", "bpf", "keyctl", "unshare", "setns", "mount", "prctl",
        "seccomp", "setuid", "chroot", "shmget", "userfaultfd", "perf_event_open", "open_by_handle_at", "symlinkat",
    ],
)  # fmt: skip
def test_what_reaches_others_is_in_no_table(name):
    assert not any(name in table for table in (NUMBERS, WRITING, RECEIVING, SPECIAL))
