"""A sandbox made of a fork server inside bubblewrap (T3): namespaces that a well-known tool has set up, T1 inside them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from orbiter.errors import SandboxError
from orbiter_code.inside.confine import LIBRARIES
from orbiter_code.sandbox.options import folders_of
from orbiter_code.sandbox.process import PACKAGE
from orbiter_code.sandbox.zygote import ZygoteSandbox

_NOBODY = "65534"
_SEPARATE = (
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
# In a user namespace root would stay root, whose threads no limit counts; outside of one it becomes another user by itself.
_AS_ROOT = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP")
_AS_OTHERS = ("--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY)


class BubblewrapSandbox(ZygoteSandbox):
    """T3: T1 inside of bubblewrap, with namespaces of its own and a root that holds only the library.

    What bubblewrap leaves open (sockets to the hypervisor, processes without number where root started it) the list of allowed
    system calls closes.
    """

    name, tier = "bubblewrap", "T3"
    alone = True

    def launcher(self) -> Sequence[str]:
        """Return the bubblewrap command.

        Raises:
            SandboxError: bubblewrap is not installed.
        """
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise SandboxError(
                "bubblewrap is not installed", hint="apt-get install bubblewrap, or dnf, or apk"
            )
        tied = ("--die-with-parent", "--new-session", "--chdir", "/", "--cap-drop", "ALL")
        user = _AS_OTHERS if os.geteuid() else _AS_ROOT
        return (bwrap, *_SEPARATE, *tied, *user, *self._root(), "--")

    @property
    def executable(self) -> str:
        """The interpreter itself, without the links of a virtual environment, which lead out of the new root."""
        return os.path.realpath(self.interpreter or sys.executable)

    def _root(self) -> Iterator[str]:
        prefix = Path(self.executable).parents[1]
        packages = [str(path) for package in self.packages for path in folders_of(package)]
        for path in (*LIBRARIES, str(prefix / "lib"), self.executable, *packages):
            if os.path.islink(path):
                yield from ("--symlink", os.readlink(path), path)
            elif os.path.exists(path):
                yield from ("--ro-bind", path, path)
        yield from ("--ro-bind", str(PACKAGE / "inside"), str(PACKAGE / "inside"))
        yield from ("--dev", "/dev")
