import shutil
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orbiter.errors import LedgerError
from orbiter.ledger import Account, Attempt, AttemptKey, Decision, History, Ledger
from orbiter.ledger.account import total
from orbiter.records import Message, Outcome, Trajectory, Verdict

WHOLE = Account(
    planned=10,
    generated=7,
    passed=2,
    failed=1,
    invalid={"timeout": 1, "crash": 1},
    pending=5,
    decisions={"accepted": {"": 2}, "rejected": {"wrong": 1, "low": 1}},
    undecided=3,
)


def test_a_conserved_account_passes():
    assert WHOLE.check() is WHOLE
    assert (WHOLE.invalid_count, WHOLE.unverified) == (2, 2)
    assert WHOLE.decided("rejected") == 2
    assert WHOLE.decided("duplicate") == 0
    assert WHOLE.passed_rate == 2 / 3
    assert WHOLE.invalid_rate == 2 / 5


def test_unknown_rates_are_none_not_zero():
    assert (Account().passed_rate, Account().invalid_rate) == (None, None)
    assert Account(planned=1, generated=1, invalid={"crash": 1}).passed_rate is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"passed": 3},
            "account must be conserved: planned 10 = passed 3 + failed 1 + invalid 2 + pending 5, got the sum 11",
        ),
        (
            {"undecided": 2},
            "funnel must be conserved: generated 7 = accepted 2 + rejected 2 + undecided 2, got the sum 6",
        ),
        (
            {"generated": 4, "undecided": 0},
            "account must not judge more attempts than were generated, 4, got passed 2 + failed 1 + invalid 2",
        ),
    ],
)
def test_an_account_that_is_not_conserved_says_how(change, message):
    with pytest.raises(LedgerError) as caught:
        attrs.evolve(WHOLE, **change).check()
    assert caught.value.message == message


def test_accounts_add_up():
    both = total([WHOLE, WHOLE]).check()
    assert (both.planned, both.invalid["crash"], both.decided("rejected")) == (20, 2, 4)
    assert both.decisions["rejected"] == {"wrong": 2, "low": 2}
    assert total([]) == Account()


class LedgerMachine(RuleBasedStateMachine):
    """A ledger against a plain model of it, through reopening and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "run"
        self.planned: set[AttemptKey] = set()
        self.made: dict[AttemptKey, str | None] = {}
        self.judged: dict[AttemptKey, Outcome] = {}
        self.decided: dict[AttemptKey, str] = {}

    @initialize(commit_rows=st.sampled_from([1, 1, 3, 50]))
    def open(self, commit_rows):
        self.commit_rows = commit_rows
        self.ledger = Ledger.open(self.path, commit_rows=commit_rows, commit_s=1000)

    def teardown(self):
        if hasattr(self, "ledger"):
            self.check()
            self.ledger.close()
        shutil.rmtree(self.path.parent)

    @rule(
        number=st.integers(0, 1),
        engine=st.sampled_from(["policy", "held_out"]),
        tasks=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=4, unique=True),
        samples=st.integers(1, 3),
    )  # fmt: skip
    def plan(self, number, engine, tasks, samples):
        self.ledger.plan(number, engine, tasks, samples=samples)
        self.planned |= {
            AttemptKey(number, engine, e, t, n) for e, t in tasks for n in range(samples)
        }

    def pick(self, data, keys):
        return data.draw(
            st.lists(st.sampled_from(sorted(keys)), min_size=1, max_size=4, unique=True)
        )

    @precondition(lambda self: self.planned - self.made.keys())
    @rule(data=st.data(), error=st.sampled_from([None, None, "timeout"]))
    def make(self, data, error):
        keys = self.pick(data, self.planned - self.made.keys())
        self.ledger.add_attempts(
            [
                Attempt(key=k, trajectory=Trajectory((Message("user", str(k)),), k.env, k.task_id, None), error=error)
                for k in keys
            ]
        )  # fmt: skip
        self.made |= dict.fromkeys(keys, error)

    @precondition(lambda self: self.made.keys() - self.judged.keys())
    @rule(data=st.data(), outcome=st.sampled_from(Outcome), version=st.sampled_from("12"))
    def judge(self, data, outcome, version):
        keys = self.pick(data, self.made.keys() - self.judged.keys())
        score = {Outcome.PASS: 1.0, Outcome.FAIL: 0.0}.get(outcome)
        verdict = Verdict(outcome, score, "because", "v", version)
        self.ledger.add_verdicts([(key, verdict) for key in keys])
        self.judged |= dict.fromkeys(keys, outcome)

    @precondition(lambda self: self.judged)
    @rule(data=st.data())
    def judge_again(self, data):
        key = data.draw(st.sampled_from(sorted(self.judged)))
        self.ledger.add_verdicts([(key, Verdict.failed("again", verifier="later", version="1"))])

    @precondition(lambda self: self.made.keys() - self.decided.keys())
    @rule(data=st.data(), decision=st.sampled_from(["accepted", "rejected", "truncated"]))
    def decide(self, data, decision):
        keys = self.pick(data, self.made.keys() - self.decided.keys())
        self.ledger.add_decisions([(key, Decision(decision)) for key in keys])
        self.decided |= dict.fromkeys(keys, decision)

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = Ledger.open(self.path, commit_rows=self.commit_rows, commit_s=1000)
        self.check()

    @rule()
    def crash(self):
        """Die without writing what waits: the model forgets that, and must agree again."""
        with History.open(self.path) as durable:
            self.made = {a.key: a.error for a in durable.attempts()}
            verdicts = {k: durable.verdicts_of(k) for k in self.made}
            self.judged = {k: v[0].outcome for k, v in verdicts.items() if v}
            self.decided = {k: d.decision for k in self.made if (d := durable.decision_of(k))}
        self.ledger._release()
        self.ledger = Ledger.open(self.path, commit_rows=self.commit_rows, commit_s=1000)
        self.check()

    @rule()
    def check(self):
        account = self.ledger.account()  # conserved, or it raises
        outcomes = {k: Outcome.INVALID for k, error in self.made.items() if error} | self.judged
        by_outcome = [sum(o is wanted for o in outcomes.values()) for wanted in Outcome]
        assert [account.passed, account.failed, account.invalid_count] == by_outcome
        assert (account.planned, account.generated) == (len(self.planned), len(self.made))
        assert account.pending == len(self.planned) - len(outcomes)
        assert account.undecided == len(self.made) - len(self.decided)
        assert sum(account.decided(name) for name in account.decisions) == len(self.decided)
        assert set(self.ledger.pending()) == self.planned - self.made.keys()
        assert [a.key.round for a in self.ledger.attempts()] == sorted(k.round for k in self.made)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
