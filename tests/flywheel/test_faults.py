"""A rollout of one's own parts: what fails for a while, what nobody can judge, and whose code it was."""

import pytest

from orbiter.errors import (
    BudgetExceededError,
    ConfigError,
    LedgerError,
    PolicyError,
    RecordError,
    UserCodeError,
)
from orbiter.flywheel.account import read_account
from orbiter.flywheel.summary import summarise_round

PARTS = """
from pathlib import Path

from orbiter.generate.policy import Completion, Policy
from orbiter.records import Verdict
from orbiter.tasks import Environment
from orbiter.verify import Verifier

HERE = Path(__file__).parent

class Doubling(Environment):
    name = "doubling"
    def task(self, index, *, seed):
        prefix = "new-" if (HERE / "new-ids").exists() else ""
        return self.make_task(f"{prefix}{index}", f"double {index}", answer=str(2 * index))
    def demonstrate(self, task):
        if (HERE / "no-demonstrations").exists():
            raise KeyError("two")
        return str(2 * int(task.prompt.split()[1]))

class Doubled(Verifier):
    name, version = "doubled", "1"
    def verify(self, task, trajectory):
        if (HERE / "verifier-down").exists():
            raise ConnectionError("sandbox is down")
        return Verdict.passed() if trajectory.answer == task.answer else Verdict.failed("wrong")

class Guess(Policy):
    name = "guess"
    batch_size = 5
    def __init__(self, *, silent_on=-1, nothing=False):
        self.silent_on, self.nothing = silent_on, nothing
    async def complete(self, requests, sampling):
        if self.nothing:
            return [None for request in requests]
        out = []
        for request in requests:
            number = int(request.messages[-1].text.split()[1])
            down = (HERE / "server-down").exists() and number % 2
            if down or number % 4 == self.silent_on:
                out.append(Completion.failed("server is down"))
            else:
                out.append(Completion.of(str(2 * number + request.attempt), token_count=2))
        return out
"""

RECIPE = """\
name: mine
rounds: 1
environment: {name: mine.py:Doubling}
verifier: {name: mine.py:Doubled}
audit_verifier: {name: exact}
policy: {name: mine.py:Guess}
generate: {tasks: 20, samples: 3}
evaluate: {tasks: 12, share: 0.3, audit: 0}
verify: {workers: 0}
gates: {max_invalid_rate: 0.2}
"""


@pytest.mark.parametrize("fault", ["server-down", "verifier-down"])
def test_what_failed_is_done_again_when_the_cause_is_mended(wheel, tmp_path, fault, data_of):
    whole = wheel(folder="whole").run()
    (tmp_path / fault).touch()
    with pytest.raises(
        BudgetExceededError, match=r"invalid held_out attempts of round 0 .*is down"
    ):
        wheel().run()
    assert sum(read_account(wheel().path).total.invalid.values()) <= 0.2 * 12
    (tmp_path / fault).unlink()
    mended = wheel().run()
    assert mended.rounds[1]["yield"] == whole.rounds[1]["yield"] == 1 / 3
    if fault == "verifier-down":  # nothing was lost, so it is the run that never failed
        assert data_of(mended.path) == data_of(whole.path)


def test_budget_stops_a_round_before_all_of_it_is_spent(wheel, tmp_path):
    (tmp_path / "server-down").touch()
    with pytest.raises(BudgetExceededError, match=r"invalid attempts of round 1 .* of 60: "):
        wheel("evaluate.tasks=0").run()
    assert read_account(wheel().path).total.pending > 30


def test_audit_verifier_is_not_asked_about_what_was_not_answered(wheel):
    row = wheel("policy.silent_on=1", "gates.max_invalid_rate=1").run().rounds[0]
    assert 0 < row["held_out_valid"] < 12
    assert row["audited"] == row["held_out"] == 1


def test_rate_of_tokens_is_that_of_the_tokens_that_were_timed():
    made = {"passed": 1, "failed": 1, "tokens": 1000, "timed_tokens": 30, "generate_s": 2.0}
    row = summarise_round(1, {"generate": made}, before=None, audit={})
    assert (row["tokens"], row["tokens_per_s"]) == (1000, 15.0)
    idle = summarise_round(1, {"generate": made | {"timed_tokens": 0}}, before=None, audit={})
    assert idle["tokens_per_s"] is None


def test_policy_that_returns_something_else_is_named(wheel):
    with pytest.raises(PolicyError, match=r"policy 'guess' must return completions, got None"):
        wheel("policy.nothing=true").run()


def test_environment_that_raises_is_named(wheel, tmp_path):
    (tmp_path / "no-demonstrations").touch()
    with pytest.raises(UserCodeError, match=r"'doubling' raised in demonstrate: KeyError: 'two'"):
        wheel("evaluate.audit=5").run()


def test_environment_that_changed_under_a_run_is_refused(wheel, tmp_path):
    (tmp_path / "server-down").touch()
    with pytest.raises(BudgetExceededError):
        wheel("evaluate.tasks=0").run()
    (tmp_path / "server-down").unlink()
    (tmp_path / "new-ids").touch()
    with pytest.raises(LedgerError, match="environment must give the tasks that it gave"):
        wheel("evaluate.tasks=0").run()


def test_environment_too_small_to_hold_anything_out_is_refused_before_the_run(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(PARTS.replace('"doubling"\n', '"doubling"\n    size = 2\n'))
    with pytest.raises(ConfigError, match="must have a held-out task, got none"):
        wheel("evaluate.share=0.01").run()
    assert not wheel("evaluate.share=0.01").path.exists()


def test_measuring_on_a_share_of_nothing_is_refused_with_the_recipe(wheel):
    with pytest.raises(RecordError, match="above 0 unless tasks is 0"):
        wheel("evaluate.share=0")
    wheel("evaluate.share=0", "evaluate.tasks=0")
