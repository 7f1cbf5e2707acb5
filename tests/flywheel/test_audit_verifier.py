"""A second verifier that never filters: its opinions in the ledger, and the gate that rests on them."""

import pytest

from orbiter.flywheel.account import read_account
from orbiter.ledger import History, Ledger
from orbiter.verify.exact import ExactVerifier

GATE = """
from orbiter.records import Verdict
from orbiter.verify import Verifier
from orbiter.generate.scripted import ScriptedPolicy

class Long(Verifier):
    name, version = "long", "1"
    def verify(self, task, trajectory):
        return Verdict.passed() if len(trajectory.answer) > 5 else Verdict.failed("short")

class Hacker(ScriptedPolicy):
    '''Learns to write long answers, which are never right.'''
    name = "hacker"
    def __init__(self):
        self.calls = 0
        super().__init__(answers=self.answer)
    def answer(self, request):
        self.calls += 1
        long = self.calls > 75
        return "123456" if long and self.calls % 3 else "".join(sorted(request.messages[0].text[5:-1]))
"""


def test_goodhart_gate_stops_when_only_the_visible_yield_rises(wheel, tmp_path, small_recipe):
    (tmp_path / "mine.py").write_text(GATE)
    text = small_recipe.replace(
        "name: scripted\n  accuracy: 0.5\n  environment: {name: sorting, length: 5}",
        "name: mine.py:Hacker",
    )
    text += "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    result = wheel("generate.tasks=20", "evaluate.audit=0", "rounds=3", text=text).run()
    assert "while the audited one fell from 1.000" in result.stopped
    assert len(result.rounds) == 2


def test_second_opinions_stand_in_the_ledger_beside_the_verdicts_of_record(
    wheel, tmp_path, small_recipe
):
    (tmp_path / "mine.py").write_text(GATE)
    text = small_recipe + "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    overrides = ("generate.tasks=4", "evaluate.audit=0", "rounds=1", "evaluate.samples=3")
    result = wheel(*overrides, text=text).run()
    for row in result.rounds:
        with History.open(result.path) as ledger:
            attempts = list(ledger.attempts(row["round"], "held_out"))
            trails = [ledger.verdicts_of(attempt.key) for attempt in attempts]
        assert len(attempts) == 20 * 3
        assert {tuple(v.verifier for v in trail) for trail in trails} == {("long", "exact")}
        assert row["audited"] == sum(trail[1].outcome == "pass" for trail in trails) / 60
        assert row["held_out"] == sum(trail[0].outcome == "pass" for trail in trails) / 60
    (account,) = (
        row
        for row in read_account(result.path).rounds
        if row["engine"] == "held_out" and row["round"]
    )
    assert (account["passed"], account["planned"]) == (0, 60)
    assert account["yield_high"] == result.rounds[1]["held_out_high"]


def test_second_opinions_of_a_run_that_was_stopped_among_them_are_not_asked_again(
    wheel, tmp_path, monkeypatch, small_recipe
):
    (tmp_path / "mine.py").write_text(GATE)
    text = small_recipe + "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    overrides = ("generate.tasks=4", "evaluate.audit=0", "rounds=1")
    whole = wheel(*overrides, text=text, folder="whole").run()
    add_event = Ledger.add_event

    def stop(self, event, **fields):
        if fields.get("stage") == "evaluate" and fields.get("round") == 1:
            raise KeyboardInterrupt
        add_event(self, event, **fields)

    stopped = wheel(*overrides, text=text)
    monkeypatch.setattr(Ledger, "add_event", stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    monkeypatch.setattr(Ledger, "add_event", add_event)

    def refuse(self, task, trajectory):
        raise AssertionError("asked again")

    monkeypatch.setattr(ExactVerifier, "verify", refuse)
    result = wheel(*overrides, text=text).run()
    assert result.rounds[1]["audited"] == whole.rounds[1]["audited"] > 0
    assert (result.path / "verdicts.jsonl").read_bytes() == (
        whole.path / "verdicts.jsonl"
    ).read_bytes()


def test_one_verifier_in_both_roles_is_recorded_once(wheel, small_recipe):
    text = small_recipe + "audit_verifier: {name: exact}\n"
    result = wheel("generate.tasks=4", "evaluate.audit=0", "rounds=1", text=text).run()
    assert result.rounds[1]["audited"] == result.rounds[1]["held_out"]
    with History.open(result.path) as ledger:
        assert {len(ledger.verdicts_of(a.key)) for a in ledger.attempts(1, "held_out")} == {1}
