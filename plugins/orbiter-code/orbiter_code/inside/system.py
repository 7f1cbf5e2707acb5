"""System calls that Python does not wrap, through ctypes: prctl, Landlock, seccomp, capabilities, namespaces, mounts."""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# landlock_* have the same numbers everywhere; the others are x86_64, aarch64.
_COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
_CAPSET = (126, 91)[_COLUMN]
_PIVOT_ROOT = (155, 41)[_COLUMN]
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS = 1, 22, 24, 28
_PR_SET_NO_NEW_PRIVS = 38
_NO_SETUID_FIXUP = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

# linux/landlock.h: the rights and scopes that each ABI version added.
READ_FILE, READ_DIR, WRITE_FILE, TRUNCATE, IOCTL_DEV = 1 << 2, 1 << 3, 1 << 1, 1 << 14, 1 << 15
_LANDLOCK_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_LANDLOCK_OF_A_FILE = 1 | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_LANDLOCK_TCP, _LANDLOCK_SCOPES = 3, 3
_LANDLOCK_RULE_PATH_BENEATH = 1


class _Filter(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def die_with_parent() -> None:
    """Be killed when the parent dies."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def no_new_privileges() -> None:
    """Give up gaining rights by exec, for ever; Landlock and seccomp demand it."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def gain_no_capabilities() -> None:
    """Give up the right to gain a capability; those that are held stay."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # without CAP_SETPCAP, or past the last capability, there is nothing to drop
    no_new_privileges()


def drop_capabilities() -> None:
    """Give up every capability."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    _check(_libc.syscall(_CAPSET, header, ctypes.create_string_buffer(24)), "capset")


def become(user: int, *, reads_as_root: bool) -> None:
    """Become another user and group, and keep the capabilities to be dropped afterwards.

    Args:
        user: Id of both.
        reads_as_root: Whether the right to files, as their owner, is to stay that of root.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    _check(_libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    os.setresuid(user, user, user)
    if reads_as_root:
        _libc.setfsuid(0)  # says the former id, whether or not it worked


class SyscallFilter:
    """A seccomp filter, made ready once and attached in every job."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._filter = _Filter(len(program) // 8, program)

    def attach(self) -> None:
        """Hold this thread and its children to the filter."""
        self._check(
            _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(self._filter), 0, 0)
        )

    @staticmethod
    def _check(result: int) -> None:
        _check(result, "prctl(PR_SET_SECCOMP)")


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel has, or 0 without."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


class FileRights:
    """Rights to files by path (Landlock), made ready once and attached in every job; all others, and TCP and scopes, are refused.

    Args:
        rights: A path to the rights beneath it; a path that does not exist is left out.

    Raises:
        OSError: The kernel has no Landlock, or refuses.
    """

    def __init__(self, rights: dict[str, int]) -> None:
        abi = landlock_abi()
        if not abi:
            raise OSError("the kernel has no Landlock (Linux 5.13 or later, with it enabled)")
        handled = max(_LANDLOCK_FILES[v] for v in _LANDLOCK_FILES if v <= abi)
        tcp = _LANDLOCK_TCP if abi >= 4 else 0
        scopes = _LANDLOCK_SCOPES if abi >= 6 else 0
        attribute = ctypes.create_string_buffer(struct.pack("QQQ", handled, tcp, scopes))
        size = ctypes.c_size_t(24 if abi >= 6 else 16 if abi >= 4 else 8)
        self._ruleset = int(_libc.syscall(_LANDLOCK_CREATE, attribute, size, 0))
        _check(self._ruleset, "landlock_create_ruleset")
        for path, allowed in rights.items():
            self._allow(path, allowed & handled)

    def _allow(self, path: str, allowed: int) -> None:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _LANDLOCK_OF_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place))
        result = _libc.syscall(_LANDLOCK_ADD, self._ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        os.close(place)
        _check(result, f"landlock_add_rule {path}")

    def attach(self) -> None:
        """Hold this thread and its children to these rights."""
        _check(_libc.syscall(_LANDLOCK_RESTRICT, self._ruleset, 0), "landlock_restrict_self")
        os.close(self._ruleset)


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` name."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Attach a file system, or change how one is attached."""
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    result = _libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount, lazily."""
    _check(_libc.umount2(target.encode(), 2), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root directory and put the former one at ``old``."""
    _check(_libc.syscall(_PIVOT_ROOT, new.encode(), old.encode()), "pivot_root")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
