import pytest

from orbiter.records import Message, Task, Trajectory


@pytest.fixture
def judged():
    """Return a function that gives the verdict on a text answer to a task with this reference."""

    def judged(verifier, reference, text, **fields):
        task = Task("e", "e:1", (Message("user", "q"),), answer=reference, **fields)
        messages = (*task.messages, Message("assistant", text))
        return verifier.verify(task, Trajectory(messages, "e", "e:1", None))

    return judged
