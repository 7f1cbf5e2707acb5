from pathlib import Path

import pytest

from orbiter.records import Message, Task
from orbiter.user_file import load_from_file
from orbiter.verify.answer import answered


@pytest.fixture(scope="session")
def misbehaving():
    """The class of a verifier that does what the answer says."""
    return load_from_file("misbehaving.py:Misbehaving", base_dir=Path(__file__).parent)


@pytest.fixture(scope="session")
def together():
    """The class of one that judges four answers at once."""
    return load_from_file("misbehaving.py:Together", base_dir=Path(__file__).parent)


@pytest.fixture(scope="session")
def asked():
    """Return a function that makes a pair of task and trajectory."""

    def asked(answer, task_id="e:1", **metadata):
        task = Task("e", task_id, (Message("user", "do it"),), answer="ok", metadata=metadata)
        return task, answered(task, answer)

    return asked
