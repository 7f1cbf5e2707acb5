"""GRPO with tools: real rollouts of several turns, what rewards get of them, and what is refused."""

import random

import attrs
import orjson
import pytest
from orbiter_trl.backend import TrlBackend
from orbiter_trl.nano import make_nano_model
from orbiter_trl.online import conversation
from safetensors.numpy import load_file
from transformers import AutoTokenizer
from trl.chat_template_utils import parse_response

from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Task, Trajectory
from orbiter.tasks import Environment, Toolbox
from orbiter.train.backend import TrainJob
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.rewards import RewardSpec

CHARS = '{}[]":, 012abcdefghijklmnopqrstuvwxyz'


class Guessing(Toolbox):
    """Guess a number that is 0, 1 or 2."""

    def reset(self, task: Task) -> None:
        self.secret, self.guesses = int(task.answer), []

    def g(self, n: int) -> str:
        """Guess.

        Args:
            n: The guess.
        """
        if n not in (0, 1, 2):
            raise ValueError("n")
        self.guesses.append(n)
        return "yes" if n == self.secret else "no"


class GuessingGame(Environment):
    name = "guessing"

    def task(self, index: int, *, seed: int) -> Task:
        return self.make_task(index, "go", answer=str(index % 3))

    def toolbox(self) -> Toolbox:
        return Guessing()


def call(n):
    return Message(
        "assistant",
        "",
        tool_calls=({"type": "function", "function": {"name": "g", "arguments": {"n": n}}},),
    )


def demonstration(number):
    """Return a game in which the numbers are tried in some order until one is right."""
    order = random.Random(number)
    secret, turns = order.randrange(3), [Message("user", "go")]
    for n in order.sample(range(3), 3):
        turns += [call(n), Message("tool", "yes" if n == secret else "no", name="g")]
        if n == secret:
            break
    return Trajectory((*turns, Message("assistant", "ok")), "guessing", str(number), 1.0)


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """A model that calls the tool as it was shown, and does not know the numbers."""
    folder = tmp_path_factory.mktemp("player")
    nano = make_nano_model(
        folder / "nano", hidden_size=32, layers=2, heads=4, chars=CHARS, max_length=300
    )
    # A list of its tools would be most of what this model has to read.
    tokenizer = AutoTokenizer.from_pretrained(nano)
    start = tokenizer.chat_template.index("{%- for message")
    tokenizer.chat_template = tokenizer.chat_template[start:]
    tokenizer.save_pretrained(nano)
    data = folder / "games.jsonl"
    rows = [demonstration(n).to_row() for n in range(60)]
    data.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    job = TrainJob(
        algorithm="sft",
        model=str(nano),
        data=data,
        output_dir=folder / "out",
        config=TrainConfig(max_steps=90, batch_size=6, learning_rate=1e-2, log_every=60),
    )
    return TrlBackend().train(job).checkpoint


@pytest.fixture
def job(player, write, tmp_path):
    def make(name="out", **changes):
        game = GuessingGame()
        tasks = [game.task(n, seed=0) for n in range(12)]
        return TrainJob(
            **{
                "algorithm": "grpo",
                "model": str(player),
                "data": write(tasks, "tasks.jsonl"),
                "output_dir": tmp_path / name,
                "config": TrainConfig(max_steps=2, batch_size=12, learning_rate=1e-3, log_every=1),
                "rewards": (RewardSpec(name="found", fn=found),),
                "toolbox": game.toolbox,
                "options": {
                    "num_generations": 4,
                    "max_completion_length": 150,
                    "max_tool_calling_iterations": 2,
                },
                **changes,
            }
        )

    return make


def found(output, toolbox):
    """Return 1 if the number was guessed, and less for each guess that it took."""
    return float(toolbox.secret in toolbox.guesses) - len(toolbox.guesses) / 10


def test_the_model_calls_tools_and_goes_on_with_what_they_say(job):
    seen = []

    def watching(output, task, trajectory, toolbox):
        seen.append((task, trajectory, toolbox.secret, list(toolbox.guesses)))
        return found(output, toolbox)

    one = job(rewards=(RewardSpec(name="found", fn=watching),))
    result = TrlBackend().train(one)
    assert len(seen) == 24
    games = [row for row in seen if len(row[3]) == 2]
    assert games  # of several turns
    for task, trajectory, secret, guesses in seen:
        assert secret == int(task.answer)
        turns = trajectory.messages[1:]
        calls = [m.tool_calls[0]["function"] for m in turns if m.tool_calls]
        answers = [m.text for m in turns if m.role == "tool"]
        asked = [c["arguments"]["n"] for c in calls[: len(answers)] if c["name"] == "g"]
        assert guesses == [n for n, said in zip(asked, answers) if said in ("yes", "no")]
        assert [said for said in answers if said in ("yes", "no")] == [
            "yes" if n == secret else "no" for n in guesses
        ]
    rows = [orjson.loads(r) for r in (one.output_dir / "metrics.jsonl").read_bytes().splitlines()]
    assert rows[0]["tools/call_frequency"] == pytest.approx(
        sum(m.role == "tool" for row in seen[:12] for m in row[1].messages) / 12
    )
    before, after = (
        load_file(f"{folder}/model.safetensors") for folder in (one.model, result.checkpoint)
    )
    assert any((before[name] != after[name]).any() for name in before)
    # What the tools said was not written by the model, and is not counted as learned.
    written = sum(row["completions/mean_length"] * 12 for row in rows)
    assert result.token_count == pytest.approx(written, abs=1)


def test_adapters_learn_with_tools_too(job):
    config = TrainConfig(max_steps=1, batch_size=4, log_every=1, lora=LoraConfig(rank=2))
    assert TrlBackend().train(job(config=config)).metrics.steps == 1


class Untyped(Toolbox):
    def reset(self, task): ...

    def g(self, n):
        """Guess."""


class Undescribed(Toolbox):
    def reset(self, task): ...

    def g(self, n: int) -> str:
        """Guess."""


class Toolless(Toolbox):
    def reset(self, task): ...


class Rewarding(Guessing):
    def get_reward(self) -> float:
        """Return a reward that no RewardSpec knows of."""
        return 1.0


@pytest.mark.parametrize(
    ("toolbox", "message"),
    [
        (Untyped, "tool Untyped.g must have a docstring, and for each parameter a type"),
        (Undescribed, "tool Undescribed.g must have a docstring, and for each parameter a type"),
        (Toolless, r"toolbox Toolless must have a tool, and no tool named 'get_reward', got \[\]"),
        (Rewarding, "toolbox Rewarding must have a tool, and no tool named 'get_reward'"),
        (dict, "toolbox must make a Toolbox, got"),
    ],
)
def test_a_toolbox_that_cannot_be_used_is_refused(job, toolbox, message):
    with pytest.raises(ConfigError, match=message):
        TrlBackend().check(job(toolbox=toolbox))


def test_a_model_that_cannot_call_tools_is_refused(job, player, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(player)
    for change, message in (
        (
            {"response_schema": None, "response_template": None},
            "tokenizer must say how tool calls are read out of an answer",
        ),
        (
            {"chat_template": "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"},
            "chat template must render tool calls and their results",
        ),
    ):
        folder = tmp_path / f"{message[:8]}"
        folder.mkdir()
        (folder / "config.json").write_bytes((player / "config.json").read_bytes())
        for name, value in change.items():
            setattr(tokenizer, name, value)
        tokenizer.save_pretrained(folder)
        with pytest.raises(ConfigError, match=message):
            TrlBackend().check(job(model=str(folder)))


def test_tools_of_tasks_must_be_in_the_toolbox(job, write):
    game = GuessingGame()
    tool = {"type": "function", "function": {"name": "h"}}
    data = write([game.task(0, seed=0), attrs.evolve(game.task(1, seed=0), tools=(tool,))])
    with pytest.raises(
        RecordError,
        match=r"line 2: field 'tools' must name tools of the job's toolbox \(g\), got 'h'",
    ):
        TrlBackend().check(job(data=data))
    with pytest.raises(RecordError, match=r"toolbox \(it has none\), got 'h'"):
        TrlBackend().check(job(data=data, toolbox=None))


@pytest.mark.parametrize("algorithm", ["rloo", "online_dpo", "sft", "dpo"])
def test_a_toolbox_is_refused_where_it_would_do_nothing(any_job, algorithm):
    with pytest.raises(ConfigError, match=f"toolbox must be None for {algorithm}"):
        TrlBackend().check(any_job(algorithm, toolbox=Guessing))


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('hm[{"name": "g", "arguments": {"n": 1}}]<|end|>', [("g", {"n": 1})]),
        ('[{"name": "g", "arguments": {"n": 1}}, {"name": "g", "arguments": {}}]', [("g", {"n": 1}), ("g", {})]),
        ('[{"name": "g", "arguments": {"n": [1, {"a": "]"}]}}]<|end|>', [("g", {"n": [1, {"a": "]"}]})]),
        ('[{"name": "g", "arg<|end|>', []),
        ('[{"name": "g", "arguments": 1}]', []),
        ('[{"name": 1, "arguments": {}}]', []),
        ("12<|end|>", []),
    ],
)  # fmt: skip
def test_what_a_nano_model_wrote_is_read_as_calls_or_as_text(player, text, calls):
    tokenizer = AutoTokenizer.from_pretrained(player)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    read = parse_response(tokenizer, ids, prefix=[])
    got = [(c["function"]["name"], c["function"]["arguments"]) for c in read.get("tool_calls", [])]
    assert got == calls
    if not calls:
        assert read["content"] == tokenizer.decode(ids, skip_special_tokens=True)


def test_turns_that_are_no_messages_are_taken_for_their_text():
    task = Task("e", "t", (Message("user", "go"),))
    turns = [
        {"role": "assistant", "content": "hm", "tool_calls": 3},
        {"role": "tool", "content": "x"},
    ]
    assert conversation(task, turns).messages[1:] == (
        Message("assistant", "hm"),
        Message("tool", "x"),
    )
