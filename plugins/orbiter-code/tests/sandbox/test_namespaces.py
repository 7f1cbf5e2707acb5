"""What namespaces give a job, and what happens where the kernel gives none."""

import ctypes
import os
import subprocess
import sys

import pytest
from orbiter_code.verifier import CodeVerifier

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered

WRITES = """
import os
def f(place, size):
    with open(place + "/x", "wb") as out:
        out.write(bytes(size))
    return sorted(os.listdir("/tmp")) + [os.path.getsize(place + "/x")]
def is_full():
    try:
        for n in range(16):
            f("/tmp", 15 << 20) if n == 0 else open(f"/tmp/{n}", "wb").write(bytes(1 << 20))
    except OSError as error:
        return error.errno
"""
WRITES_TESTS = [
    "assert f('/tmp', 5) == ['x', 5]\nassert f('/dev/shm', 7) == ['x', 7]\nassert is_full() == 28"
]
SANDBOX_IN_VAIN = """
import sys
from orbiter.errors import SandboxError
from orbiter.plugin import registry
try:
    registry().create("sandbox", sys.argv[1]).start()
except SandboxError as error:
    sys.exit(f"{error.exit_code} {error.message}")
"""


def test_a_job_has_a_small_folder_of_its_own(required):
    required("namespaces")
    verifier = CodeVerifier(sandbox="namespaces", timeout_s=2)
    task = Task("e", "e:1", (Message("user", "?"),), answer=WRITES_TESTS)
    try:
        verdicts = [verifier.verify(task, answered(task, WRITES)) for _ in range(2)]
    finally:
        verifier.close()
    assert [v.outcome for v in verdicts] == [Outcome.PASS] * 2, verdicts


def without_user_namespaces():
    """Move this process, which is about to be replaced, to where it is not root and no namespace can be made."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for file, text in (
        ("self/setgroups", "deny"),
        ("self/uid_map", "65534 0 1"),
        ("self/gid_map", "65534 0 1"),
        ("sys/user/max_user_namespaces", "0"),  # of this namespace, not of the machine
    ):
        with open(f"/proc/{file}", "w") as out:
            out.write(text)


@pytest.mark.parametrize(
    ("sandbox", "reason"),
    [
        ("namespaces", "no user namespaces are allowed on this machine"),
        ("bubblewrap", "bwrap: "),
    ],
)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can forbid namespaces to others")
def test_where_namespaces_are_forbidden_it_refuses_with_the_reason(required, sandbox, reason):
    required(sandbox)
    command = [sys.executable, "-c", SANDBOX_IN_VAIN, sandbox]
    try:
        done = subprocess.run(
            command,
            preexec_fn=without_user_namespaces,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except subprocess.SubprocessError:
        pytest.skip("root may not make a user namespace here")
    assert done.returncode == 1
    assert done.stderr.startswith("3 sandbox")
    assert reason in done.stderr
