"""Each built-in passes the conformance kit."""

import asyncio
import functools
import json
import re
from pathlib import Path

import attrs
import pytest

from orbiter import hookimpl, jsonl
from orbiter.builtins import NAMES
from orbiter.curate import UnpairedPreference
from orbiter.errors import ConfigError
from orbiter.generate import Request, Sampling
from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.plugin import plugin_manager, registry
from orbiter.records import Message, Pair, Task, Trajectory, Verdict
from orbiter.testing import (
    ChatServer,
    chat,
    check_environment,
    check_exporter,
    check_policy,
    check_strategy,
    check_synthesiser,
    check_trainer,
    check_verifier,
)
from orbiter.testing import Reply as ServerReply
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.train.rewards import RewardSpec
from orbiter.verify import Verifier
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.judges import JudgeModel, Reply

PLUGINS = Path(__file__).parents[2] / "plugins"
USER, ANSWER, WRONG = Message("user", "2+2="), Message("assistant", "4"), Message("assistant", "5")
SYSTEM = Message("system", "be brief")
TASK = Task("sums", "sums:0", (SYSTEM, USER), answer="4")
TRAJECTORY = Trajectory(
    (SYSTEM, USER, ANSWER), "sums", "sums:0", 1.0, verdict=Verdict.passed(), generator="policy"
)
PAIR = Pair((SYSTEM, USER), (ANSWER,), (WRONG,), "sums", "sums:0")
UNPAIRED = UnpairedPreference((SYSTEM, USER), (WRONG,), False, "sums", "sums:0")


def made(kind, name, **options):
    """Return what makes the component that a recipe gets by this name."""
    return functools.partial(registry().create, kind, name, options)


# --- environments


def environments(name, _):
    check_environment(made("environment", name))


def file_of_tasks(folder):
    jsonl.write(
        folder / "tasks.jsonl",
        [attrs.evolve(TASK, task_id=f"sums:{n}", messages=(Message("user", f"{n}+{n}="),), answer=str(2 * n)) for n in range(9)],
    )  # fmt: skip
    check_environment(made("environment", "jsonl", path=folder / "tasks.jsonl"))
    check_environment(made("environment", "jsonl", path=folder / "tasks.jsonl", shuffle=True))


# --- verifiers


def verdicts(name, reference, *, right, wrong, task=None, **options):
    """Check a verifier on the answers to one task: texts, or turns after the prompt."""
    task = task or Task("e", "e:1", (Message("user", "q"),), answer=reference)
    labelled = [LabelledAnswer(task, after(task, answer), True) for answer in right]
    labelled += [LabelledAnswer(task, after(task, answer), False) for answer in wrong]
    check_verifier(made("verifier", name, **options), labelled)


def after(task, answer):
    """Return a text as it is, and messages as what follows the prompt of the task."""
    if isinstance(answer, str):
        return answer
    return Trajectory((*task.messages, *answer), task.env, task.task_id, None)


def calling(query, *more, end=()):
    call = {"id": "c1", "function": {"name": "look", "arguments": json.dumps({"q": query})}}
    return (Message("assistant", tool_calls=(call, *more)), *end)


LOOKED = [{"name": "look", "arguments": {"q": "sky"}}]
LOOKING = Task(
    "e",
    "e:2",
    (Message("user", "q"),),
    answer="blue",
    tools=(
        {
            "type": "function",
            "function": {"name": "look", "parameters": {"type": "object", "properties": {"q": {}}}},
        },
    ),
    metadata={"calls": LOOKED, "trace": {"expected": LOOKED}},
)
BLUE, RED = (
    (Message("tool", "...", tool_call_id="c1"), Message("assistant", text))
    for text in ("blue", "red")
)
TRACES = {
    "reference": None,
    "task": LOOKING,
    "right": [calling("sky", end=BLUE)],
    "wrong": ["blue", calling("sea", end=BLUE), calling("sky", "look", end=BLUE), ()],
}
TAGGED = "<think>6*7</think><answer>42</answer>"


class Grader(JudgeModel):
    """A judge model that looks for 42 in the first section with an answer."""

    model = "grader"

    def ask(self, questions):
        return [Reply(text=self.say(question.messages[1].text)) for question in questions]

    def say(self, shown):
        answer = shown.partition("[[BEGIN ANSWER ")[2].partition("[[END ")[0]
        good = "| 42" in answer
        if "[[BEGIN ANSWER A " in shown:
            return json.dumps({"better": "A" if good else "B"})
        return json.dumps({"score": 10 * good, "principles": {"P1": "kept" if good else "broken"}})


JUDGED = {
    "reference": "it is 42",
    "right": ["42", "42!"],
    "wrong": ["41", ":", ""],
    "model": Grader(),
}
BOTH = ["exact", "numeric"]
VERIFIERS = {
    "constitution_judge": {**JUDGED, "principles": ["say 42"]},
    "pairwise_judge": {**JUDGED, "rubric": "it says 42"},
    "pointwise_judge": {**JUDGED, "rubric": "it says 42"},
    "all_of": {"reference": "42", "right": ["42", " 42 "], "wrong": ["42.0", "41"], "verifiers": BOTH},
    "any_of": {"reference": "42", "right": ["42", "42.0"], "wrong": ["41", "no"], "verifiers": BOTH},
    "countdown": {
        "reference": {"target": 6, "numbers": [2, 3]},
        "right": ["2*3", "3*2 = 6", "(2)*3"],
        "wrong": ["3+3", "6", "2*3=7", "2*", "__import__('os')"],
    },
    "exact": {"reference": "abc", "right": ["abc", " abc\n"], "wrong": ["abd", "ABC", "ab c", ""]},
    "numeric": {"reference": "0.5", "right": ["1/2", ".5", "5e-1"], "wrong": ["0.51", "1/2 or 1", "nan"]},
    "regex": {"reference": None, "right": ["42", "7"], "wrong": ["forty-two", "4 2"], "pattern": "[0-9]+"},
    "cascade": {"reference": "42", "right": ["42", "42.0"], "wrong": ["41", "no"], "verifiers": ["countdown", "numeric"]},
    "format": {"reference": None, "right": [TAGGED], "wrong": ["42", TAGGED * 2, "<think></think>" + TAGGED]},
    "gate": {
        "reference": "42", "right": [TAGGED], "wrong": ["42", TAGGED.replace("42", "41"), TAGGED + "."],
        "gate": "format", "verifier": {"name": "section", "verifier": "exact"},
    },
    "language": {"reference": None, "right": ["天是蓝的", "42"], "wrong": ["the sky is blue"], "languages": ["zh"]},
    "length": {"reference": None, "right": ["12345", "1234567"], "wrong": ["1" * 11, ""], "max_length": 10, "cache": 5},
    "majority": {"reference": "42", "right": ["42"], "wrong": ["42.0!", "x"], "verifiers": [*BOTH, "static"]},
    "process": {**TRACES, "verifier": "static"},
    "repetition": {"reference": None, "right": ["it is 42"], "wrong": ["it is " * 99, ""]},
    "section": {"reference": "42", "right": [TAGGED], "wrong": ["42", TAGGED * 2], "verifier": "exact"},
    "static": {**TRACES, "wrong": [*TRACES["wrong"], calling("sky"), calling("sky", end=RED)]},
    "tool_call": {**TRACES, "right": [*TRACES["right"], calling("sky"), calling("sky", end=RED)]},
    "turns": {"reference": "42", "right": ["42"], "wrong": ["42.0", "x"], "verifier": "exact"},
    "weighted": {
        "reference": "42", "right": ["42"], "wrong": ["42.0", "x"], "verifiers": BOTH, "weights": [1, 3]
    },
}  # fmt: skip


# --- policies

REQUESTS = [
    Request(messages=(Message("user", f"sort {digits}:"),), env="sorting", attempt=n, seed=n)
    for n, digits in enumerate(("312", "321", "231", "132", "213", "321"))
]


def backwards(asked):
    """Answer with the prompt backwards and, unless greedy, the seed, in three tokens."""
    text = asked["messages"][-1]["content"][::-1]
    text = f"{text} {asked['seed']}" if asked["temperature"] > 0 else text
    return ServerReply(body=chat(text) | {"usage": {"completion_tokens": 3}})


def asked_over_http(_):
    with ChatServer(backwards) as server:
        make = made("policy", "openai", base_url=server.url, model="m", retries=0, timeout_s=10)
        check_policy(make, REQUESTS, stochastic=True)
        check_policy(make, REQUESTS, sampling=Sampling(temperature=0.0, max_new_tokens=3))


def replayed(folder):
    rows = [
        Trajectory((*request.messages, Message("assistant", f"{n}")), "sorting", "", None)
        for n, request in enumerate(REQUESTS)
    ]
    jsonl.write(folder / "recorded.jsonl", rows)
    check_policy(made("policy", "replay", path=folder / "recorded.jsonl"), REQUESTS)
    solved = {r.messages[-1].text: {"prompt": r.messages[-1].text, "m": {"solution": "123"}} for r in REQUESTS}  # fmt: skip
    jsonl.write(folder / "solved.jsonl", solved.values())
    options = {"path": folder / "solved.jsonl", "solution_key": "solution"}
    check_policy(made("policy", "replay", **options), REQUESTS)


def scripted(_):
    check_policy(made("policy", "scripted", environment="sorting"), REQUESTS)
    options = {"environment": "sorting", "accuracy": 0.5}
    check_policy(made("policy", "scripted", **options), REQUESTS, stochastic=True)


# --- synthesisers and strategies


def templates(_):
    options = {"templates": ["{x} and {y}", "{x}?"], "variables": {"x": ["p", "q"], "y": ["r", "s", "t"]}}  # fmt: skip
    for count in (1, 5, 100):
        check_synthesiser(made("synthesiser", "template", **options), count=count, source=["seed"])


def say_more(request):
    """Return another sorting task for every order, a user who is done, and answers that are wrong now and then."""
    text = request.messages[-1].text
    digits = "".join(sorted(f"{request.seed:018d}"))
    if text.startswith("You play the user"):
        return "DONE" if request.seed % 2 else "look again"
    if text.startswith("Below is a text"):
        return f"sort {text.split()[-1][::-1]}:"
    if text.startswith("Below"):
        return f"sort {digits}:"
    asked = request.messages[0].text
    return "".join(sorted(re.findall("[0-9]+", asked)[0])) if request.seed % 3 else "?"


class ByPrompt(Verifier):
    name, version = "by_prompt", "1"

    def verify(self, task, trajectory):
        right = "".join(sorted(re.findall("[0-9]+", task.prompt)[0]))
        return Verdict.passed() if trajectory.answer == right else Verdict.failed("wrong")


ENGINES = {
    "back_translation": {},
    "evol": {"depth": 2},
    "hard_negatives": {"per_kind": 2, "prompted": ["wrong"]},
    "multi_turn": {"samples": 2},
    "self_instruct": {"waves": 2, "min_words": 2},
    "spin": {"samples": 2},
}


def engine(name, _):
    def make():
        given = {"policy": ScriptedPolicy(answers=say_more), "verifier": ByPrompt()}
        return registry().create("synthesiser", name, {"environment": "sorting", **given, **ENGINES[name]})  # fmt: skip

    tasks = [make().environment.task(n, seed=0) for n in range(4)]
    check_synthesiser(make, count=9, source=tasks)
    assert make().name == name
    assert asyncio.run(make().synthesise(tasks, SynthesisConfig(target_size=1)))


# --- trainers


class Counting(Backend):
    """A backend that learns nothing but how many rows there are."""

    name = "verl"
    algorithms = {"sft": Trajectory, "grpo": Task}  # noqa: RUF012

    def check(self, job):
        if not job.data.is_file():
            raise ConfigError(f"data must be a file, got {str(job.data)!r}")

    def train(self, job):
        rows = list(jsonl.read(job.data, self.algorithms[job.algorithm]))
        job.on_metrics(1, {"loss": 0.5})
        metrics = TrainMetrics(loss=0.5, steps=len(rows))
        return TrainResult(checkpoint=job.output_dir / "checkpoint", metrics=metrics)


def model_trainer(folder):
    check_trainer(made("trainer", "model", model="m", data=[TRAJECTORY], backend=Counting(), output_dir=folder))  # fmt: skip


class VerlPlugin:
    @hookimpl
    def orbiter_register(self, registry):
        registry.add("backend", "verl", Counting)


def verl_trainer(folder):
    rewards = [RewardSpec(name="short", fn=lambda output: 1 / (1 + len(output)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORBITER_PLUGINS", "")  # an installed backend of this name would clash
        plugin_manager.cache_clear()
        plugin_manager().register(VerlPlugin())
        try:
            check_trainer(
                made("trainer", "verl", rewards=rewards, dataset=[TASK], output_dir=folder)
            )
        finally:
            plugin_manager.cache_clear()


# --- exporters

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
WITH_TOOL = attrs.evolve(
    TRAJECTORY,
    messages=(USER, Message("assistant", tool_calls=(CALL,)), Message("tool", "4", tool_call_id="c1"), ANSWER),
    tools=(TOOL,),
)  # fmt: skip
ODD = attrs.evolve(TRAJECTORY, messages=(USER, Message("assistant", 'é\n"\u2028"\t')))
NO_ANSWER = attrs.evolve(TRAJECTORY, messages=(USER,))
TOOL_IN_PAIR = attrs.evolve(PAIR, chosen=(Message("tool", "4", tool_call_id="c1"),))
TOOL_IN_ANSWER = attrs.evolve(UNPAIRED, completion=(Message("tool", "4", tool_call_id="c1"),))
NO_PROMPT = attrs.evolve(TASK, messages=(SYSTEM,))
UNJUDGED = attrs.evolve(TRAJECTORY, verdict=None)
CALL_OF_USER = attrs.evolve(TASK, messages=(Message("user", "hi", tool_calls=(CALL,)),))

EXPORTERS = {
    "llama-factory": ([TRAJECTORY, ODD, WITH_TOOL, PAIR, UNPAIRED], [NO_ANSWER, TOOL_IN_PAIR, TOOL_IN_ANSWER]),
    "ms-swift": ([TRAJECTORY, ODD, WITH_TOOL, PAIR, UNPAIRED, TASK], [NO_ANSWER, TOOL_IN_PAIR, TOOL_IN_ANSWER, CALL_OF_USER]),
    "openai": ([TRAJECTORY, ODD, WITH_TOOL, PAIR], [NO_ANSWER, TOOL_IN_PAIR]),
    "sharegpt": ([TRAJECTORY, ODD, WITH_TOOL, PAIR, UNPAIRED], [NO_ANSWER, TOOL_IN_PAIR, TOOL_IN_ANSWER]),
    "trl-preference": ([PAIR, PAIR], [TOOL_IN_PAIR]),
    "trl-prompt-completion": ([TRAJECTORY, ODD], [NO_ANSWER, WITH_TOOL]),
    "trl-prompt-only": ([TASK, attrs.evolve(TASK, answer={"n": [4]})], [NO_PROMPT, CALL_OF_USER]),
    "trl-sft": ([TRAJECTORY, ODD, WITH_TOOL], [NO_ANSWER]),
    "trl-unpaired": ([UNPAIRED, TRAJECTORY, ODD], [TOOL_IN_ANSWER, UNJUDGED]),
    "verl": ([TASK, TRAJECTORY, ODD], [NO_ANSWER, WITH_TOOL, NO_PROMPT]),
}  # fmt: skip


def exported(name, _):
    records, unfit = EXPORTERS[name]
    check_exporter(made("exporter", name), records, unfit=unfit)


# --- every name

CHECKS = {
    "environment": {
        **{
            name: functools.partial(environments, name)
            for name in ("addition", "countdown", "reversal", "sorting")
        },
        "jsonl": file_of_tasks,
    },
    "verifier": {
        name: lambda _, name=name, case=case: verdicts(name, **case)
        for name, case in VERIFIERS.items()
    },
    "policy": {"openai": asked_over_http, "replay": replayed, "scripted": scripted},
    "synthesiser": {
        "template": templates,
        **{name: functools.partial(engine, name) for name in ENGINES},
    },
    "strategy": {"default": lambda _: check_strategy(made("strategy", "default"))},
    "trainer": {"model": model_trainer, "verl": verl_trainer},
    "exporter": {name: functools.partial(exported, name) for name in EXPORTERS},
}
"""Kind to name to what checks it, given an empty folder."""


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in sorted(names)]
)
def test_a_built_in_keeps_its_contract(kind, name, tmp_path):
    CHECKS[kind][name](tmp_path)


def test_every_built_in_name_is_checked():
    registered = {(e.kind, e.name) for e in registry().entries() if e.owner == "orbiter"}
    assert {(kind, name) for kind, names in CHECKS.items() for name in names} == registered


def test_every_plugin_checks_its_names():
    for folder in PLUGINS.glob("orbiter-*"):
        text = (folder / "tests" / "test_contract.py").read_text(encoding="utf-8")
        assert "def test_every_name_is_checked(" in text, folder.name
