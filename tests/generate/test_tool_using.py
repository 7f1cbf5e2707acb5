"""Answers of several turns, whose tool calls are carried out."""

from pathlib import Path

import pytest

from orbiter.errors import ConfigError, UserCodeError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.probe import probing, sample
from orbiter.generate.policy import Completion, Policy, Request, Sampling, ask
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.generate.tool_using import ToolUsingPolicy
from orbiter.ledger import History
from orbiter.records import Message, Outcome, Task
from orbiter.tasks.toolbox import Toolbox, tools_of
from orbiter.testing import check_policy
from orbiter.verify.calls import read_calls

PROMPT = (Message("user", "guess"),)


class Guessing(Toolbox):
    def reset(self, task):
        self.secret, self.guesses = task.answer, []

    def guess(self, number: int) -> str:
        """Guess the number."""
        self.guesses.append(number)
        if number < 0:
            raise ValueError("numbers begin at 0")
        return "right" if number == self.secret else "wrong"

    async def count(self) -> int:
        """Count the guesses."""
        return len(self.guesses)

    def forget(self) -> str:
        """Forget the guesses."""
        self.guesses = []
        return "forgotten"


def calling(*calls, text=None, **more):
    """Return a turn that calls tools; the ids are what a server may draw."""
    made = tuple(
        {"id": f"x{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    )
    return Completion(
        messages=(Message("assistant", text, tool_calls=made),), token_count=3, **more
    )


class Turns(Policy):
    """Says a list of turns, by the number of assistant turns that it is shown after the prompt, and remembers what it was asked."""

    name, batch_size = "turns", 4

    def __init__(self, *turns):
        self.turns, self.asked = turns, []

    async def complete(self, requests, sampling):
        self.asked.append(list(requests))
        numbers = [sum(m.role == "assistant" for m in r.messages) for r in requests]
        return [self.turns[number] for number in numbers]


def using(*turns, **more):
    task = Task("game", "game:1", PROMPT, answer=3)
    return ToolUsingPolicy(Turns(*turns), Guessing, task_of=lambda _: task, **more)


async def said(policy, seed=5):
    request = Request(messages=PROMPT, env="game", task_id="game:1", seed=seed)
    (completion,) = await ask(policy, [request], Sampling())
    return completion


def texts(completion):
    return [(m.role, m.text) for m in completion.messages]


async def test_calls_are_carried_out_until_a_turn_calls_none():
    policy = using(
        calling(("guess", '{"number": 1}'), prompt_token_count=7),
        calling(("guess", {"number": 3}), ("count", "{}"), text="again"),
        Completion.of("it is 3", token_count=2, prompt_token_count=30),
    )
    completion = await said(policy)
    assert texts(completion) == [
        ("assistant", ""),
        ("tool", "wrong"),
        ("assistant", "again"),
        ("tool", "right"),
        ("tool", "2"),
        ("assistant", "it is 3"),
    ]
    assert (completion.finish_reason, completion.token_count) == ("stop", 8)
    assert completion.prompt_token_count == 7
    ids = [m.tool_call_id for m in completion.messages if m.role == "tool"]
    assert ids == ["call-1", "call-2", "call-3"]
    assert [m.name for m in completion.messages if m.role == "tool"] == ["guess", "guess", "count"]
    assert [call.id for call in read_calls(completion.messages)] == ids


async def test_each_turn_is_shown_all_before_it_and_has_a_seed_of_its_own():
    policy = using(calling(("count", "{}")), calling(("count", "{}")), Completion.of("0"))
    completion = await said(policy)
    asked = [batch[0] for batch in policy.policy.asked]
    assert [r.messages for r in asked] == [
        PROMPT + completion.messages[:size] for size in (0, 2, 4)
    ]
    assert asked[0].seed == 5
    assert len({r.seed for r in asked}) == 3
    again = using(*policy.policy.turns)
    assert await said(again) == completion
    assert [b[0].seed for b in again.policy.asked] == [r.seed for r in asked]


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("guess", '{"number": -1}', "Error: ValueError: numbers begin at 0"),
        ("guess", "{}", "Error: guess takes number"),
        ("guess", '{"number": 1, "more": 2}', "Error: guess takes number"),
        ("count", '{"number": 1}', "Error: count takes no arguments"),
        ("reset", '{"task": 1}', "Error: there is no tool 'reset'; there are guess, count, forget"),
        ("__init__", "{}", "Error: there is no tool '__init__'; there are guess, count, forget"),
        ("guess", "number=1", "Error: tool arguments are not a JSON object"),
        ("guess", '{"number": 1, "number": 2}', "Error: tool arguments name a key twice"),
        ("guess", '{"number": ' + "[" * 90 + "]" * 90 + "}", "Error: tool arguments are nested too deep"),
        ("guess", '{"number": 1' + "0" * 30 + "}", "Error: a number in tool arguments is too large"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_call_is_told_to_the_model_which_goes_on(name, arguments, shown):
    completion = await said(using(calling((name, arguments)), Completion.of("sorry")))
    assert texts(completion)[1:] == [("tool", shown), ("assistant", "sorry")]
    assert completion.finish_reason == "stop"


async def test_an_answer_that_never_stops_calling_is_cut_off():
    turn = calling(("count", "{}"))
    completion = await said(using(turn, turn, turn, turn, max_turns=3))
    assert [m.role for m in completion.messages] == ["assistant", "tool"] * 2 + ["assistant"]
    assert (completion.finish_reason, completion.token_count) == ("length", 9)


async def test_a_turn_that_was_cut_off_calls_nothing():
    policy = using(calling(("forget", "{}"), finish_reason="length"), Completion.of("no"))
    completion = await said(policy)
    assert [m.role for m in completion.messages] == ["assistant"]
    assert completion.finish_reason == "length"


async def test_a_turn_that_fails_is_no_answer_and_says_which():
    policy = using(calling(("count", "{}")), Completion.failed("the server is gone"))
    completion = await said(policy)
    assert (completion.messages, completion.error) == ((), "turn 2: the server is gone")
    assert completion.token_count == 3
    first = await said(using(Completion.failed("the server is gone")))
    assert first.error == "the server is gone"


@pytest.mark.parametrize("raw", ["guess", {"function": "guess"}, {"function": {"name": 3}}])
async def test_what_is_no_call_at_all_is_carried_out_by_nobody(raw):
    turn = Completion(messages=(Message("assistant", None, tool_calls=(raw,)),))
    completion = await said(using(turn, Completion.of("no")))
    assert completion.messages == turn.messages


async def test_an_answer_costs_what_all_its_turns_cost():
    turns = [calling(("count", "{}"), cost=0.25), calling(("count", "{}"), cost=0.5)]
    whole = await said(using(*turns, Completion.of("3", token_count=1, cost=1.0)))
    assert (whole.cost, whole.token_count, whole.sample_count) == (1.75, 7, 1)
    unknown = await said(using(turns[0], Completion.of("3", token_count=1)))
    assert unknown.cost is None
    broken = await said(using(*turns, Completion.failed("down")))
    assert (broken.cost, broken.token_count) == (0.75, 6)


async def test_conversations_of_one_batch_share_nothing():
    def task_of(request):
        return Task("game", request.task_id, PROMPT, answer=int(request.task_id[-1]))

    inner = Turns(calling(("guess", '{"number": 2}')), calling(("count", "{}")), Completion.of("."))
    policy = ToolUsingPolicy(inner, Guessing, task_of=task_of)
    requests = [Request(messages=PROMPT, env="game", task_id=f"game:{n}", seed=n) for n in range(4)]
    completions = await ask(policy, requests, Sampling())
    shown = [[m.text for m in c.messages if m.role == "tool"] for c in completions]
    assert shown == [["wrong", "1"], ["wrong", "1"], ["right", "1"], ["wrong", "1"]]
    alone = [(await ask(policy, [request], Sampling()))[0] for request in requests]
    assert alone == completions


def test_it_keeps_the_contract_of_a_policy():
    call = calling(("guess", '{"number": 1}')).messages[0]

    def turn(request):
        asked = request.messages[-1].role == "user"
        return Completion(messages=(call,)) if asked else Completion.of(str(request.seed))

    def make():
        inner = ScriptedPolicy(answers=turn)
        task = Task("game", "game:1", PROMPT, answer=3)
        return ToolUsingPolicy(inner, Guessing, task_of=lambda _: task)

    prompts = [(Message("user", f"guess {n}"),) for n in range(4)]
    check_policy(make, [Request(messages=p, seed=n) for n, p in enumerate(prompts)])


def test_a_bound_on_turns_must_be_one():
    with pytest.raises(ConfigError, match="max_turns must be an integer >= 1, got 0"):
        using(max_turns=0)


def test_tools_stand_in_the_order_of_their_definitions():
    class More(Guessing):
        def another(self) -> str:
            return ""

    assert list(tools_of(More())) == ["guess", "count", "forget", "another"]


RECIPE = """\
name: game
environment: {name: "mine.py:Game"}
policy: {name: "mine.py:Player", max_turns: 4}
rounds: 1
generate: {tasks: 3, samples: 2}
evaluate: {tasks: 0, share: 0, audit: 0}
verify: {workers: 0}
"""
PARTS = """
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message, Task, Verdict
from orbiter.tasks import Environment
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.tasks.toolbox import Toolbox
from orbiter.verify import Verifier
from orbiter.verify.calls import after_prompt, read_calls

class Box(Toolbox):
    def reset(self, task):
        self.secret = task.answer
        if task.answer == 12:
            raise RuntimeError("no such room")

    def look(self) -> str:
        return f"the word is {self.secret}"

class Judge(Verifier):
    name = "judge"
    def verify(self, task, trajectory):
        read_calls(after_prompt(task, trajectory))
        return Verdict.passed() if trajectory.answer == str(task.answer) else Verdict.failed("no")

class Game(Environment):
    name = "game"
    def task(self, index, *, seed):
        return self.make_task(index, f"look {index}", answer=index)
    def verifier(self):
        return Judge()
    def toolbox(self):
        return Box()

class Broken(Game):
    def task(self, index, *, seed):
        return self.make_task(index, f"look {index}", answer=index + 12)

class Learner(Backend):
    name = "learner"
    algorithms = {"grpo": Task}
    def check(self, job):
        pass
    def train(self, job):
        job.output_dir.mkdir(parents=True)
        (job.output_dir / "toolbox").write_text(type(job.toolbox()).__name__)
        return TrainResult(checkpoint=job.output_dir, metrics=TrainMetrics(steps=1))

class Player(Policy):
    name = "player"
    def load(self, checkpoint):
        pass
    batch_size = 4
    async def complete(self, requests, sampling):
        return [self.turn(r.messages[-1]) for r in requests]
    def turn(self, last):
        if last.role == "user":
            call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            return Completion(messages=(Message("assistant", None, tool_calls=(call,)),))
        return Completion.of(last.text.rsplit(" ", 1)[-1])
"""


@pytest.fixture
def game(tmp_path):
    def run(*overrides):
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        (tmp_path / "mine.py").write_text(PARTS)
        recipe = load_recipe(tmp_path / "recipe.yaml", overrides)
        return Flywheel(recipe, runs_dir=tmp_path / "runs", base_dir=tmp_path).run()

    return run


def test_a_recipe_carries_out_the_tools_of_its_environment(game):
    run = game()
    assert (run.rounds[-1]["passed"], run.rounds[-1]["sampled"]) == (6, 6)
    with History.open(Path(run.path)) as ledger:
        rows = [attempt.trajectory for attempt in ledger.attempts()]
    assert {row.generator for row in rows} == {"player+tools"}
    assert [m.role for m in rows[0].messages] == ["user", "assistant", "tool", "assistant"]
    assert rows[0].prompt == rows[0].messages[:1]


def test_a_training_that_samples_gets_the_tools(game):
    train = "train={backend: 'mine.py:Learner', algorithm: grpo}"
    run = game("stages.learn.rounds=1", f"stages.learn.{train}", "model.id=m", "rounds=1")
    made = Path(run.path) / "checkpoints" / "round-1" / "toolbox"
    assert made.read_text() == "Box"


def test_a_recipe_bounds_the_turns(game):
    run = game("policy.max_turns=1", "gates.max_invalid_rate=1")
    assert run.rounds[-1]["passed"] == 0
    with History.open(Path(run.path)) as ledger:
        assert {attempt.finish_reason for attempt in ledger.attempts()} == {"length"}


def test_a_preview_carries_them_out_too(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "mine.py").write_text(PARTS)
    wheel = Flywheel(load_recipe(tmp_path / "recipe.yaml"), runs_dir=tmp_path, base_dir=tmp_path)
    with probing(wheel):
        samples, _ = sample(wheel, wheel.tasks(1)[:2])
    assert [s.verdict.outcome for s in samples] == [Outcome.PASS] * 2


def test_a_toolbox_that_breaks_is_named(game):
    with pytest.raises(UserCodeError, match="toolbox 'Box' raised in reset: RuntimeError: no such"):
        game("environment.name=mine.py:Broken")
