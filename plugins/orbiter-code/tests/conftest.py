import contextlib
import functools
import importlib.util
import os
import sys
from pathlib import Path

import pytest
from orbiter_code.verifier import CodeVerifier

from orbiter.errors import SandboxError
from orbiter.plugin import registry
from orbiter.records import Message, Task
from orbiter.verify.answer import answered

HERE = Path(__file__).parent


def load(name):
    """Return a module beside the tests, which are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


load("attack_suite")


def require(sandbox):
    """Skip the test where a sandbox cannot be started; one that starts and does not hold is no reason to skip."""
    made = registry().create("sandbox", sandbox)
    try:
        made.start().close()
    except SandboxError as error:
        pytest.skip(f"sandbox {sandbox} cannot be started on this machine: {error.message}")
    finally:
        made.close()


@pytest.fixture(scope="session")
def verifier():
    """Return a verifier in the default sandbox, with little time."""
    require("zygote")
    with contextlib.closing(CodeVerifier(timeout_s=1)) as made:
        yield made


@pytest.fixture
def judge(verifier, monkeypatch):
    """Return a function that judges an answer: ``judge(program, tests, timeout_s=1, **settings)``."""

    def run(answer, tests, *, timeout_s=1, **settings):
        monkeypatch.setattr(verifier, "timeout_s", timeout_s)
        task = Task("e", "e:1", (Message("user", "?"),), answer=tests, metadata=settings)
        return verifier.verify(task, answered(task, answer))

    return run


@pytest.fixture(scope="session")
def required():
    """Return the function that skips where a sandbox cannot be started."""
    return functools.cache(require)


@pytest.fixture(scope="session")
def interpreter():
    """Return a Python that any user may start, and the environment in which it finds what this one has."""
    for path in (sys.executable, "/usr/bin/python3"):
        python = os.path.realpath(path)
        if os.path.exists(python) and _same_version(python) and _open_to_all(python):
            return python
    pytest.skip("every interpreter of this version lies in a folder that only its owner may enter")


def _same_version(python):
    return Path(python).name.endswith(f"{sys.version_info.major}.{sys.version_info.minor}")


def _open_to_all(path):
    folders = Path(path).resolve().parents
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)
