"""Hold a process for good: what it may read, how much it may use, which system calls it may make.

Two steps, since the zygote must still fork: limits, rights to files, user id and capabilities are given up once in the zygote and
inherited by every job; the system call filter is attached in each job.
"""

from __future__ import annotations

import os
import resource
import stat
import sys
from collections.abc import Iterable

from .seccomp import RECEIVING, WRITING, program
from .system import (
    IOCTL_DEV,
    READ_DIR,
    READ_FILE,
    TRUNCATE,
    WRITE_FILE,
    FileRights,
    SyscallFilter,
    become,
    drop_capabilities,
    gain_no_capabilities,
)

READ = READ_FILE | READ_DIR
USE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
ALL = (1 << 16) - 1
"""Rights to files: to read, to use a device, and every one."""

MAX_THREADS = 512
"""How many threads a job may have."""

# What extension modules of the standard library link to and read.
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def standard_library() -> tuple[str, ...]:
    """Return the folders of the standard library of this interpreter."""
    folders = {os.path.dirname(os.__file__)}
    folders |= {path for path in sys.path if path.endswith("lib-dynload")}
    return tuple(sorted(folders))


def _modules(folder: str) -> list[str]:
    """Return what the standard library holds; what was installed on top of it is read only if it is named."""
    skipped = ("site-packages", "dist-packages")
    return [os.path.join(folder, name) for name in os.listdir(folder) if name not in skipped]


def readable_by_all(path: str) -> bool:
    """Return whether any user may read what is at ``path``, by the permission bits from the root down to it."""
    path = os.path.realpath(path)
    if not os.stat(path).st_mode & stat.S_IROTH:
        return False
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
    return True


def limit(*, memory: int) -> None:
    """Set the limits of resources, which children inherit.

    No fork makes the limit of address space a true bound of memory.

    Args:
        memory: Bytes of address space.
    """
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 16 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_STACK, 16 << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),
    ):
        _limit(what, most)


def limit_job(*, cpu_s: int, others: int) -> None:
    """Bound what this process may use beside memory, and no process that it was forked from.

    Threads take a stack of Python's making out of the address space, but none of a program's own making. Of both there are as many as the
    kernel counts for a user, which root is exempt from: that is why a job is never root's.

    Args:
        cpu_s: Seconds of processor time: a second line behind the deadline.
        others: How many threads of other programs may count for the same user.
    """
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_NPROC, others + MAX_THREADS)


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def library_rights(read: Iterable[str]) -> dict[str, int]:
    """Return the rights to read the standard library, what it links to, and the paths in ``read``; and to use /dev/null."""
    library = standard_library()
    rights = dict.fromkeys(library, READ_DIR)
    rights |= {entry: READ for folder in library for entry in _modules(folder)}
    rights |= dict.fromkeys((*LIBRARIES, *read), READ)
    return rights | dict.fromkeys(DEVICES, USE)


def shut_in(read: Iterable[str], *, user: int) -> None:
    """Give up every right but to read the standard library and what is named, every capability and, if it is root's, the user id.

    An interpreter may lie in a folder that only root may enter: then files are still read as root, which owns them, and all else is
    done as the user.

    Args:
        read: Files and folders that may be read beside the standard library.
        user: Id of the user and group to become where this process is root's.

    Raises:
        OSError: The kernel lacks something, or refuses.
    """
    rights = library_rights(read)
    gain_no_capabilities()
    if os.geteuid() == 0:
        become(user, reads_as_root=not all(map(readable_by_all, (*standard_library(), *read))))
    drop_capabilities()
    FileRights(rights).attach()


def job_filter(*, writes: bool = False, receives: bool = False) -> SyscallFilter:
    """Return the filter of a job; attached, it stays for good."""
    more = [*([WRITING] if writes else []), *([RECEIVING] if receives else [])]
    return SyscallFilter(program(*more))
