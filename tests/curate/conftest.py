import pytest

from orbiter.records import Message, Pair, Trajectory


def talk(*turns):
    """Return messages of user and assistant in turn."""
    return tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(turns))


@pytest.fixture
def attempt():
    """Make a judged answer to one prompt, or a longer conversation."""

    def make(*answers, verdict=None, prompt="1+1", finish_reason="stop", task_id="sums:0", **more):
        return Trajectory(
            talk(prompt, *answers),
            "sums",
            task_id,
            verdict.score if verdict else None,
            verdict=verdict,
            extra={"finish_reason": finish_reason},
            **more,
        )

    return make


@pytest.fixture
def make_pair():
    def make(chosen="two", rejected="three", *, prompt="1+1", env="sums", task_id="sums:0", **more):
        return Pair(
            talk(prompt),
            (Message("assistant", chosen),),
            (Message("assistant", rejected),),
            env,
            task_id,
            **more,
        )

    return make
