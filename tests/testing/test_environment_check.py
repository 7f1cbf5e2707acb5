import functools
import random

import attrs
import pytest

from orbiter.plugin import registry
from orbiter.records import Message, Verdict
from orbiter.tasks.addition import Addition
from orbiter.tasks.countdown import Countdown
from orbiter.tasks.environment import Environment, Probe
from orbiter.tasks.reversal import Reversal
from orbiter.tasks.sorting import Sorting
from orbiter.tasks.toolbox import Toolbox
from orbiter.testing import check_environment
from orbiter.verify.verifier import Verifier


@pytest.mark.parametrize(
    "make",
    [
        Sorting,
        functools.partial(Sorting, length=3, low=2, high=5),
        Addition,
        functools.partial(Addition, reverse=True),
        Reversal,
        Countdown,
        functools.partial(Countdown, numbers=3),
    ],
)
def test_built_in_environments_keep_the_contract(make):
    check_environment(make)


def test_a_file_of_tasks_keeps_the_contract(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"q": "2+2", "a": "4"}\n{"q": "2+3", "a": "5"}\n{"q": "3+3", "a": "6"}\n')
    for shuffle in (False, True):
        options = {"path": path, "prompt_key": "q", "answer_key": "a", "shuffle": shuffle}
        check_environment(functools.partial(registry().create, "environment", "jsonl", options))


@pytest.mark.slow
def test_built_in_environments_agree_in_a_fresh_process():
    check_environment(Sorting, fresh_process=True)
    check_environment(functools.partial(Countdown, numbers=3), count=5, fresh_process=True)


class Squares(Environment):
    """A right one, to be broken in one way each."""

    name = "squares"
    chars = "square of 0123456789"

    def task(self, index, *, seed):
        number = 100 * seed + index
        return self.make_task(number, f"square of {number}", answer=str(number * number))


def test_a_right_environment_passes():
    check_environment(Squares)
    check_environment(Squares, count=1)


class Nameless(Squares):
    name = ""


class Empty(Squares):
    size = 0


class Short(Squares):
    size = 1000

    def task(self, index, *, seed):
        return super().task(range(500)[index], seed=seed)


class Tools(Toolbox):
    def reset(self, task):
        pass


class OneToolbox(Squares):
    box = Tools()

    def toolbox(self):
        return self.box


class NoToolbox(Squares):
    def toolbox(self):
        return {"look": print}


def test_tools_that_are_fresh_pass():
    class Fresh(Squares):
        toolbox = staticmethod(Tools)

    check_environment(Fresh, count=2)


class Lost(Squares):
    def task(self, index, *, seed):
        return {"prompt": "square"}


class Foreign(Squares):
    def task(self, index, *, seed):
        return attrs.evolve(super().task(index, seed=seed), env="cubes")


class Speechless(Squares):
    def task(self, index, *, seed):
        return attrs.evolve(super().task(index, seed=seed), messages=())


class Answered(Squares):
    def task(self, index, *, seed):
        task = super().task(index, seed=seed)
        return attrs.evolve(task, messages=(*task.messages, Message("assistant", "well")))


class Raising(Squares):
    def task(self, index, *, seed):
        return [1, 2, 3][index]


class NotJson(Squares):
    def task(self, index, *, seed):
        return attrs.evolve(super().task(index, seed=seed), metadata={"pair": (1, 2)})


class GlobalRandom(Squares):
    def task(self, index, *, seed):
        return self.make_task(random.random(), f"square of {random.randrange(10**9)}", answer="1")


class InOrder(Squares):
    """Counts its calls instead of looking at the index."""

    def __init__(self):
        self.calls = 0

    def task(self, index, *, seed):
        self.calls += 1
        return super().task(self.calls, seed=seed)


class PerInstance(Squares):
    made = 0

    def __init__(self):
        PerInstance.made += 1
        self.offset = PerInstance.made

    def task(self, index, *, seed):
        return super().task(index + self.offset, seed=seed)


class Seedless(Squares):
    def task(self, index, *, seed):
        return super().task(index, seed=0)


class SharedIds(Squares):
    def task(self, index, *, seed):
        return attrs.evolve(super().task(index, seed=seed), task_id=f"squares:{index}")


class OnePrompt(Squares):
    def task(self, index, *, seed):
        return self.make_task(f"{seed}-{index}", f"square of {seed}", answer=str(seed))


class FewChars(Squares):
    chars = "square of 012345678"


class WrongDemonstration(Squares):
    def demonstrate(self, task):
        return "7"


class ChangingDemonstration(Squares):
    def demonstrate(self, task):
        return task.answer + " " * random.randrange(10**6)


class NumberDemonstration(Squares):
    def demonstrate(self, task):
        return int(task.answer)


class WrongProbe(Squares):
    def probes(self, task):
        return [Probe("a right one", task.answer, False)]


class ChangingProbe(Squares):
    def probes(self, task):
        return [Probe("any", f"no {random.randrange(10**6)}", False)]


class NoProbe(Squares):
    def probes(self, task):
        return [("nothing", "no", False)]


class RaisingProbe(Squares):
    def probes(self, task):
        raise KeyError("square")


class Yes(Verifier):
    name = "yes"

    def verify(self, task, trajectory):
        return Verdict.passed()


class YesMan(Squares):
    def verifier(self):
        return Yes()


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "name"),
        (Empty, "size"),
        (Short, "size"),
        (OneToolbox, "toolbox"),
        (NoToolbox, "toolbox"),
        (Lost, "tasks"),
        (Foreign, "tasks"),
        (Speechless, "tasks"),
        (Answered, "tasks"),
        (Raising, "tasks"),
        (NotJson, "JSON"),
        (GlobalRandom, "same task for ever"),
        (InOrder, "same task for ever"),
        (PerInstance, "same task for ever"),
        (Seedless, "seeds"),
        (SharedIds, "one id, one task"),
        (OnePrompt, "variety"),
        (FewChars, "chars"),
        (WrongDemonstration, "demonstrations are accepted"),
        (ChangingDemonstration, "demonstrations"),
        (NumberDemonstration, "demonstrations"),
        (YesMan, "wrong answers are rejected"),
        (WrongProbe, "probes"),
        (ChangingProbe, "probes"),
        (NoProbe, "probes"),
        (RaisingProbe, "probes"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_environment(broken)
    assert f" breaks {clause!r}: " in str(caught.value)


def test_a_verifier_of_ones_own_is_used():
    with pytest.raises(AssertionError, match="verifier 'yes' must not accept everything"):
        check_environment(Squares, verifier=Yes())


@pytest.mark.slow
def test_hash_of_text_is_found_by_a_fresh_process(tmp_path, monkeypatch):
    (tmp_path / "hashing.py").write_text(
        "from orbiter.tasks.environment import Environment\n"
        "class Hashing(Environment):\n"
        "    name = 'hashing'\n"
        "    def task(self, index, *, seed):\n"
        "        number = hash((f'{seed}', index)) % 10**6\n"
        "        return self.make_task(number, f'double {number}', answer=str(2 * number))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from hashing import Hashing

    check_environment(Hashing)
    with pytest.raises(AssertionError, match="a fresh process must give the same tasks"):
        check_environment(Hashing, fresh_process=True)
    with pytest.raises(ValueError, match="make must be importable by name"):
        check_environment(lambda: Squares(), fresh_process=True)
