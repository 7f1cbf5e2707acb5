"""Each name of the plugin keeps its contract, and a planted bad one of each kind does not."""

import argparse
import functools

import attrs
import orjson
import pytest
from orbiter_liveweb.environment import LiveWebEnvironment
from orbiter_liveweb.teacher import TeacherGenerator
from orbiter_liveweb.verifier import LiveWebVerifier

from orbiter.cli.command import Command
from orbiter.errors import OrbiterError
from orbiter.plugin import registry
from orbiter.records import Message, Verdict
from orbiter.testing import check_environment, check_synthesiser, check_verifier
from orbiter.verify.audit import LabelledAnswer


def made(kind, name, **options):
    return functools.partial(registry().create, kind, name, options)


def labelled(teacher):
    """What the teacher did, and the same with another answer."""
    found = []
    for seed in range(3):
        right = teacher.compose(seed=seed, num_subtasks=2)
        messages = list(right.trajectory.messages)
        (stop,) = messages[-3].tool_calls
        said = orjson.dumps({"answer": "1. nowhere\n2. 12345"}).decode()
        messages[-3] = attrs.evolve(
            messages[-3], tool_calls=({**stop, "function": {"name": "stop", "arguments": said}},)
        )
        messages[-1] = Message("assistant", "1. nowhere\n2. 12345")
        wrong = attrs.evolve(right.trajectory, messages=tuple(messages))
        found.append(LabelledAnswer(right.task, right.trajectory, True))
        found.append(LabelledAnswer(right.task, wrong, False))
    return found


WRONG = {
    "synth": ["web", "--size", "huge"],
    "record": ["ftp://x.example/", "--http", "--cache", "made"],
    "import": ["pages.zip", "--cache", "made"],
    "export": ["nowhere", "out.har"],
    "check": ["nowhere"],
    "teach": ["nowhere", "rows.jsonl"],
    "coverage": ["nowhere.jsonl"],
    "view": ["nowhere.jsonl"],
}
"""A wrong call of each subcommand."""


def check_command(web, teacher):
    """Check that the command has these subcommands and no other, and that each says what it does and refuses what is wrong."""
    command = registry().create("command", "liveweb", {})
    assert isinstance(command, Command)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    (subs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert set(subs.choices) == set(WRONG)
    for name, wrong in WRONG.items():
        assert len(subs.choices[name].description) > 20
        assert "-h, --help" in subs.choices[name].format_help()
        with pytest.raises((OrbiterError, FileNotFoundError)) as refused:
            command.main(parser.parse_args([name, *wrong]))
        error = refused.value
        if isinstance(error, OrbiterError):
            assert error.exit_code == 2, name
            assert len(error.message) > 20
            assert "\n" not in error.message
        else:  # the command line names the file
            assert error.filename is not None


CHECKS = {
    ("environment", "liveweb"): lambda web, teacher: check_environment(
        made("environment", "liveweb", cache_dir=web, num_subtasks=[1, 2]), count=6
    ),
    ("verifier", "liveweb"): lambda web, teacher: check_verifier(
        made("verifier", "liveweb", cache_dir=web), labelled(teacher)
    ),
    ("synthesiser", "liveweb"): lambda web, teacher: check_synthesiser(
        made("synthesiser", "liveweb", cache_dir=web, seed=1), count=4
    ),
    ("command", "liveweb"): check_command,
}


@pytest.mark.parametrize("name", CHECKS, ids="-".join)
def test_a_name_keeps_its_contract(name, web, teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CHECKS[name](web, teacher)


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "liveweb"} == set(CHECKS)


class TrustingVerifier(LiveWebVerifier):
    """Passes whoever has an answer."""

    def verify(self, task, trajectory):
        return Verdict.passed() if trajectory.answer else Verdict.failed("no answer")


class RenumberingEnvironment(LiveWebEnvironment):
    """Gives another task each time."""

    asked = 0

    def task(self, index, *, seed=0):
        self.asked += 1
        return super().task(index, seed=seed + self.asked)


class ForgetfulTeacher(TeacherGenerator):
    """Goes on from call to call."""

    told = 0

    async def generate(self, count):
        rows = await super().generate(self.told + count)
        self.told += count
        return rows[-count:] if count else []


def test_planted_bad_ones_fail(web, teacher):
    with pytest.raises(AssertionError, match="breaks"):
        check_verifier(lambda: TrustingVerifier(cache_dir=web), labelled(teacher))
    with pytest.raises(AssertionError, match="breaks"):
        check_environment(lambda: RenumberingEnvironment(cache_dir=web), count=6)
    with pytest.raises(AssertionError, match="breaks"):
        check_synthesiser(lambda: ForgetfulTeacher(web, seed=1), count=4)
