"""A world of its own for the zygote: process ids, mounts, network, IPC and host name; and a fresh /tmp in memory for each job."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .confine import ALL, DEVICES, LIBRARIES, READ, USE, standard_library
from .options import MAX_FILES
from .system import die_with_parent, mount, pivot_root, unmount, unshare

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18

_ROOT = "/mnt"
"""Where the new root is put together, out of sight of everybody else."""

_OWN = "/own"
_PLACE = "/own/tmp"
"""Where each job attaches a file system of its own; the folder holds nothing else."""

RIGHTS = {"/": READ, _OWN: ALL, **dict.fromkeys(DEVICES, USE)}
"""What Landlock leaves to a job: the root holds nothing but what it may read."""


_SIZE = "size=16m,nr_inodes=4096,mode=1777"
"""Of what a job may write to."""


def enter(read: Iterable[str], *, user: int) -> None:
    """Move this process into namespaces of its own, as their first process, with a root that holds only what a job may read.

    Who is not root does so in a user namespace, in which it is ``user``. The process that called stays behind as the
    parent; when one of the two ends, so does the other.

    Args:
        read: Files and folders that may be read beside the standard library.
        user: Id of the user and group in the new user namespace.

    Raises:
        OSError: The kernel or its administrator does not allow it.
    """
    rooted = os.geteuid() == 0
    try:
        if not rooted:
            _become_own_user(user)
        unshare(_NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET)
    except OSError as error:
        who = "root may not make namespaces" if rooted else "no user namespaces are allowed"
        raise OSError(
            error.errno,
            f"{who} on this machine ({error.strerror}); see user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone, AppArmor, and what the container may do",
        ) from None
    first = os.fork()
    if first:
        os.closerange(0, MAX_FILES)
        os.waitpid(first, 0)
        os._exit(0)
    die_with_parent()
    _change_root((*standard_library(), *LIBRARIES, *read))


def own_file_system() -> None:
    """Give this job an empty /tmp in memory, limited in size and number of files; nobody else sees it."""
    unshare(_NEWNS)
    mount("tmpfs", _PLACE, "tmpfs", _NOSUID | _NODEV, _SIZE)


def _become_own_user(user: int) -> None:
    outside, group = os.geteuid(), os.getegid()
    unshare(_NEWUSER)
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {outside} 1"),
        ("gid_map", f"{user} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(text)


def _change_root(paths: Iterable[str]) -> None:
    mount(None, "/", None, _REC | _PRIVATE)
    mount("tmpfs", _ROOT, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in sorted(set(paths)):
        _show(path)
    for path in (_PLACE, "/dev", "/old"):
        os.makedirs(_ROOT + path)
    for link in ("/tmp", "/dev/shm"):  # noqa: S108
        os.symlink(_PLACE, _ROOT + link)
    for device in DEVICES:
        with open(_ROOT + device, "w"):
            pass
        mount(device, _ROOT + device, None, _BIND)
    for folder in standard_library():
        _hide_installed(_ROOT + folder)
    os.chdir(_ROOT)
    pivot_root(".", "old")
    os.chdir("/")
    unmount("/old")
    os.rmdir("/old")
    mount(None, "/", None, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)


def _show(path: str) -> None:
    """Bind ``path`` into the new root, read-only; a link stays the link that it is."""
    place = _ROOT + path
    if os.path.lexists(place) or not os.path.exists(path):
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), place)
        return
    if os.path.isdir(path):
        os.mkdir(place)
    else:
        with open(place, "w"):
            pass
    mount(path, place, None, _BIND)
    mount(None, place, None, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)


def _hide_installed(library: str) -> None:
    """Cover what was installed on top of the standard library."""
    for name in ("site-packages", "dist-packages"):
        folder = os.path.join(library, name)
        if os.path.isdir(folder):
            mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV | _RDONLY, "size=0,nr_inodes=1")
