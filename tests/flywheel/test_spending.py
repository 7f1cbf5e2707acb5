"""Every answer that a run asks of any policy is in its account: of writers, critics, simulated users and engines of demonstrations too."""

import html
import json

import pytest

from orbiter.cli import main
from orbiter.flywheel.account import read_account
from orbiter.flywheel.probe import estimate
from orbiter.flywheel.report import write_report
from orbiter.flywheel.spending import spending_of
from orbiter.generate import policy as policies
from orbiter.generate.policy import Completion, Spending
from orbiter.generate.scripted import ScriptedPolicy

PARTS = """
import re
from orbiter.generate.policy import Completion
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.tasks import item_stream

class Own(ScriptedPolicy):
    '''Answers, revises, and tells what half of its answers cost.'''
    name, batch_size, concurrency = "own", 5, 1
    def __init__(self):
        super().__init__(answers=self.say)
    def say(self, request):
        right = "".join(sorted(re.sub(r"\\D", "", request.messages[0].text)))
        return Completion.of(right, token_count=3, cost=0.5 if request.seed % 2 else None)

class Writer(ScriptedPolicy):
    '''Writes prompts, critiques and users' turns; says nothing to every fifth, and breaks at every seventh.'''
    name, batch_size = "writer", 7
    def __init__(self):
        super().__init__(answers=self.say)
    def say(self, request):
        stream = item_stream(request.seed)
        if stream.random() < 1 / 7:
            return Completion.failed("down")
        if stream.random() < 1 / 5:
            return Completion.of("", token_count=1, cost=0.125)
        said = "look again" if request.messages[-1].text.startswith("You play") else f"sort {stream.randrange(10**6)}:"
        return Completion.of(said, token_count=2, cost=0.25)
"""

RECIPE = """\
name: spending
seed: 3
environment: {name: sorting, length: 5}
verifier: {name: "stage_parts.py:Sorted"}
policy: {name: "mine.py:Own"}
generate: {tasks: 12, samples: 2}
evaluate: {tasks: 0, audit: 0, share: 0.3}
gates: {max_invalid_rate: 0.9}
verify: {workers: 0}
stages:
"""
WRITER = 'writer: {name: "mine.py:Writer"}'
STAGES = {
    "evol": f"synthesise: {{name: evol, tasks: 12, depth: 2, samples: 2, {WRITER}}}",
    "self_instruct": f"synthesise: {{name: self_instruct, tasks: 12, waves: 2, {WRITER}}}",
    "back_translation": f"synthesise: {{name: back_translation, tasks: 12, {WRITER}}}",
    "multi_turn": 'synthesise: {name: multi_turn, tasks: 12, simulator: {name: "mine.py:Writer"}}',
    "hard_negatives": "synthesise: {name: hard_negatives, tasks: 6, kinds: [wrong, terse], prompted: [terse]}",
    "spin": "synthesise: {name: spin, tasks: 12, samples: 2}",
    "revise": 'generate: {}, revise: {rounds: 2, critic: {name: "mine.py:Writer"}}',
    "hint": 'generate: {hint: " = {answer}"}',
    "demonstrate": 'demonstrate: {count: 5, synthesisers: [{name: evol, environment: {name: sorting, length: 5}, policy: {name: "mine.py:Own"}, verifier: {name: "stage_parts.py:Sorted"}, WRITER}]}, generate: {}'.replace("WRITER", WRITER),
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """All that policies answered, but for what an engine proposes, which is told and not asked again."""
    answers: list[Completion] = []
    whole = policies.ask

    async def counted(policy, requests, sampling):
        given = await whole(policy, requests, sampling)
        if isinstance(policy, ScriptedPolicy) and policy.name in ("own", "writer"):
            answers.extend(given)
        return given

    for place in ("policy", "revising"):
        monkeypatch.setattr(f"orbiter.generate.{place}.ask", counted)
    for place in ("rollout", "exchanges"):
        monkeypatch.setattr(f"orbiter.flywheel.{place}.ask", counted)
    return answers


@pytest.mark.filterwarnings("ignore::orbiter.errors.OrbiterWarning")
@pytest.mark.parametrize("stage", STAGES)
def test_every_answer_of_any_policy_is_in_the_account(wheel, asked, stage):
    result = wheel(text=f"{RECIPE}  one: {{{STAGES[stage]}}}\n").run()
    row = result.rounds[1]
    assert asked
    assert row["asked"]["samples"] == row["spent"]["samples"] == len(asked)
    assert row["asked"]["tokens"] == row["spent"]["tokens"] == sum(a.token_count for a in asked)
    told = read_account(result.path)
    assert spending_of(told.spent) == spending_of(row["asked"])
    priced = [a.cost for a in asked if a.cost is not None]
    if stage in ("revise", "multi_turn"):  # an answer of several is priced if all of them are
        assert 0 < told.spent["priced"] <= len(priced)
        assert 0 < told.spent["cost"] <= sum(priced)
    else:
        assert (told.spent["cost"], told.spent["priced"]) == (sum(priced), len(priced))


def test_a_run_of_a_version_that_did_not_count_shows_no_zero(wheel, capsys):
    run = wheel(text=f"{RECIPE}  one: {{{STAGES['evol']}}}\n").run().path
    events = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for event in (one for one in events if one["event"] == "stage_done"):
        for name in ("asked", "beside", "spent", "samples", "priced"):
            event.pop(name, None)
    (run / "rounds.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert "per kept row" not in write_report(run).read_text()
    assert main(["yield", str(run)]) == 0
    assert "given up by evol" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - {"demonstrate"}))
def test_a_plan_foretells_the_most_that_is_asked(wheel, asked, stage):
    text = f"{RECIPE}  one: {{{STAGES[stage]}}}\n"
    wheel(text=text).run()
    taken = len(asked)
    most = estimate(wheel(text=text, folder="plan"), tasks=2).samples
    assert taken <= most <= 3 * taken


def test_what_it_took_is_told_by_round_and_per_kept_row(wheel, asked, capsys):
    result = wheel(text=f"{RECIPE}  one: {{{STAGES['evol']}}}\n").run()
    row, spent = result.rounds[1], Spending.of(asked)
    beside = [a for a in asked if a.messages and a.messages[0].text.startswith("sort")]
    assert main(["yield", str(result.path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"spent: {len(asked)} answers, {spent.tokens} tokens, cost {spent.cost:g} (unknown of {len(asked) - spent.priced} of {len(asked)} answers)" in said  # fmt: skip
    assert "round 1 beside its attempts: " in said
    dropped = row["synthesised"]["dropped"]
    assert f"round 1 given up by evol before a verdict: {', '.join(f'{n} {why}' for why, n in dropped.items())}" in said  # fmt: skip
    assert main(["yield", str(result.path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["rounds"]
    assert told["beside"]["samples"] + told["samples"] == len(asked)
    assert told["beside"]["samples"] >= len(beside) > 0
    page = html.unescape(write_report(result.path).read_text())
    for name, value in (
        ("samples per kept row", f"{len(asked) / row['kept']:.2f}"),
        ("tokens per kept row", f"{spent.tokens / row['kept']:,.0f}"),
        ("cost per kept row", f"{spent.cost / row['kept']:.4g} (unknown of"),
    ):
        assert f"{name}</span><b>{value}" in page


def test_a_budget_counts_what_writers_took(wheel):
    stage = f"{RECIPE}  one: {{rounds: 2, {STAGES['evol']}}}\n"
    free = wheel(text=stage, folder="free").run()
    spent = free.rounds[1]["spent"]
    (attempts, _) = read_account(free.path).rounds
    for bound in ("samples", "tokens", "cost"):
        assert attempts[bound] < spent[bound]  # without them it would go on
        result = wheel(f"gates.max_{bound}={spent[bound]}", text=stage, folder=bound).run()
        assert len(result.rounds) == 2
        assert "is used up" in result.stopped
