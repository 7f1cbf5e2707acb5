"""A stage with an engine: its proposals are written down, judged, recorded and kept like answers of the policy."""

import html
import json
import shutil

import pytest
from engine_parts import ALL, BACK, NEGATIVES, SPIN, wheels_in

from orbiter import jsonl
from orbiter.cli import main
from orbiter.flywheel import load_recipe
from orbiter.flywheel.account import read_account
from orbiter.flywheel.probe import estimate
from orbiter.flywheel.recipe_file import dump_recipe
from orbiter.flywheel.report import write_report
from orbiter.ledger import History, Ledger
from orbiter.records import Pair, Trajectory


@pytest.fixture
def wheel(tmp_path):
    return wheels_in(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of a run with every engine."""
    return wheels_in(tmp_path_factory.mktemp("engines"))(ALL).run()


def lines(result, name):
    return [row for _, row in jsonl.read_objects(result.path / "data" / name)]


def rows(result, number):
    return list(jsonl.read(result.path / f"data/round-{number}-kept.jsonl", Trajectory))


def test_every_attempt_of_an_engine_is_accounted_for(whole):
    account = read_account(whole.path)
    assert account.total.pending == account.total.undecided - 6 == 0  # six are held-out answers
    for row in whole.rounds[1:]:
        told, proposed = row["synthesised"], lines(whole, f"round-{row['round']}-proposed.jsonl")
        assert row["sampled"] == row["passed"] + row["failed"] + row["invalid"]
        assert sum("task" in line for line in proposed) == row["sampled"] > 0
        assert sum("dropped" in line for line in proposed) == sum(told["dropped"].values())
        assert sum(row["decisions"].values()) == row["sampled"]
        assert row["kept"] == row["decisions"]["accepted"] > 0
        assert "yield" not in row  # what is made to fail is none
    assert [row["engine"] for row in account.rounds if "yield" in row] == ["held_out"]
    names = ["hard_negatives", "evol", "back_translation", "multi_turn", "spin"]
    assert [row["synthesised"]["by"] for row in whole.rounds[1:]] == names


def test_nothing_is_kept_without_a_verdict_that_passed(whole):
    for number in range(1, 6):
        kept = rows(whole, number)
        assert {(row.score, row.extra["engine"], row.round) for row in kept} == {
            (1.0, "synthesised", number)
        }
        with History.open(whole.path) as ledger:
            for attempt in ledger.attempts(number, "synthesised"):
                assert ledger.verdict_of(attempt.key) is not None
                assert ledger.decision_of(attempt.key) is not None


def test_pairs_of_negatives_are_tagged_and_fail(whole):
    pairs = list(jsonl.read(whole.path / "data/round-1-pairs.jsonl", Pair))
    kinds = {pair.metadata["negative"] for pair in pairs}
    assert kinds == {"refusal", "wrong", "off_topic", "format", "verbose", "terse"}
    for pair in pairs:
        right = "".join(sorted(pair.task_id.removeprefix("sorting:")))
        assert pair.chosen[0].text == right != pair.rejected[0].text
    spun = list(jsonl.read(whole.path / "data/round-5-pairs.jsonl", Pair))
    assert spun
    assert all("negative" not in pair.metadata for pair in spun)


def test_a_negative_that_passes_is_neither_kept_nor_chosen_nor_rejected(wheel):
    result = wheel(
        NEGATIVES, 'stages.bad.verifier={name: "mine.py:Holds"}', "evaluate.tasks=0"
    ).run()
    row = result.rounds[1]
    assert row["passed"] > row["kept"] == 8
    pairs = list(jsonl.read(result.path / "data/round-1-pairs.jsonl", Pair))
    assert {pair.metadata["negative"] for pair in pairs} == {
        "refusal",
        "wrong",
        "off_topic",
        "terse",
    }
    assert len(pairs) == row["failed"]
    with History.open(result.path) as ledger:
        decided = ledger.account(1, engine="synthesised").decisions["rejected"]
    assert decided["meant to be rejected, and passed"] == row["passed"] - 8
    again = wheel(NEGATIVES, runs="again").run()
    assert again.rounds[1]["passed"] == 8


def test_tokens_of_writers_are_spent_too_and_none_on_what_is_dropped(whole):
    with History.open(whole.path) as ledger:
        answers = sum(attempt.token_count for attempt in ledger.attempts(2, "synthesised"))
    # Two of the writer for each of 24 orders.
    assert whole.rounds[2]["spent"]["tokens"] == answers + 48
    assert lines(whole, "round-2-proposed.jsonl")[-1]["beside"]["tokens"] == 48


def test_a_document_leads_back_to_the_answer_that_tested_its_instruction(wheel, capsys):
    lax = 'stages.back.verifier={name: "mine.py:Lax"}'
    result = wheel(BACK, lax, "policy.accuracy=0.0", "evaluate.tasks=0").run()
    kept = lines(result, "round-1-kept.jsonl")
    assert len(kept) > 5
    with History.open(result.path) as ledger:
        attempts = {a.trajectory.id: a.trajectory for a in ledger.attempts(1, "synthesised")}
    for row in kept:
        attempt = attempts[row["id"]]
        assert row["messages"][-1]["content"] == attempt.metadata["document"] != attempt.answer
        assert row["metadata"]["round_trip"] == attempt.answer
    assert main(["explain", str(result.path), kept[0]["id"]]) == 0
    assert "data/round-1-kept.jsonl" in capsys.readouterr().out


def test_a_negative_that_passes_with_a_higher_score_takes_no_place_of_the_right_answer(wheel):
    wordy = 'stages.bad.verifier={name: "mine.py:Wordy"}'
    result = wheel(NEGATIVES, wordy, "curate.max_per_task=1", "evaluate.tasks=0").run()
    assert {row.metadata["role"] for row in rows(result, 1)} == {"chosen"}
    assert len(rows(result, 1)) == 8


def test_what_a_policy_notes_of_its_answers_is_no_word_of_an_engine(wheel):
    told = ['policy={name: "mine.py:Noting"}', "evaluate.tasks=0"]
    result = wheel("  own: {generate: {tasks: 4, samples: 1}}\n", *told).run()
    kept = rows(result, 1)
    assert [row.answer for row in kept] == [
        "".join(sorted(row.prompt[0].text[5:-1])) for row in kept
    ]
    assert len(kept) == 4
    assert {row.metadata["document"] for row in kept} == {"from a book"}


def test_rows_say_where_they_come_from(whole):
    evolved = rows(whole, 2)
    assert {row.metadata["lineage"]["depth"] for row in evolved} == {1, 2}
    assert {row.generator for row in evolved} == {"evol"}
    back = rows(whole, 3)
    assert all(row.metadata["round_trip"] == row.answer for row in back)
    assert all("document" not in row.metadata for row in back)
    talks = rows(whole, 4)
    assert all(len(row.verdict.step_scores) == len(row.messages) // 2 for row in talks)
    assert {row.metadata["end"] for row in talks} <= {"stop", "turns"}


def test_the_same_seed_gives_the_same_bytes(whole, wheel):
    again = wheel(ALL).run()
    other = wheel(ALL, "seed=4", runs="other").run()
    for path in sorted((whole.path / "data").iterdir()):
        assert (again.path / "data" / path.name).read_bytes() == path.read_bytes()
    assert lines(other, "round-1-proposed.jsonl") != lines(again, "round-1-proposed.jsonl")


@pytest.mark.parametrize(
    ("place", "at"),
    [("add_attempts", 3), ("add_verdicts", 3), ("add_decisions", 3), ("add_decisions", 5)],
)
def test_a_run_that_was_cut_short_ends_as_if_it_had_not_been(whole, wheel, monkeypatch, place, at):
    calls, add = 0, getattr(Ledger, place)

    def interrupted(self, items):
        nonlocal calls
        items = list(items)
        calls += 1
        if calls == at:
            add(self, items[: len(items) // 2])
            raise KeyboardInterrupt
        return add(self, items)

    monkeypatch.setattr(Ledger, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        wheel(ALL).run()
    monkeypatch.setattr(Ledger, place, add)
    result = wheel(ALL).run()
    for path in sorted((whole.path / "data").iterdir()):
        assert (result.path / "data" / path.name).read_bytes() == path.read_bytes()
    assert read_account(result.path).total == read_account(whole.path).total


def test_what_was_proposed_is_not_asked_for_again(wheel, asked, monkeypatch):
    add = Ledger.add_verdicts

    def broken(self, verdicts):
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "add_verdicts", broken)
    with pytest.raises(KeyboardInterrupt):
        wheel(SPIN, "evaluate.tasks=0").run()
    monkeypatch.setattr(Ledger, "add_verdicts", add)
    assert len(asked) == 24
    row = wheel(SPIN, "evaluate.tasks=0").run().rounds[1]
    assert len(asked) == 24
    assert row["sampled"] + sum(row["synthesised"]["dropped"].values()) == 8 + 24


def test_a_run_with_engines_can_be_judged_again_and_exported(whole, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(whole.path.parent.parent, folder)
    run = folder / "runs" / "engines"
    lax = f"{folder / 'mine.py'}:Lax"
    assert main(["verify", "--rescore", str(run), "--verifier", lax, "--workers", "0"]) == 0
    told = capsys.readouterr().out
    judged = sum(row["sampled"] for row in whole.rounds[1:]) + 6
    assert f"{judged} attempts judged with lax 1, 0 judged before" in told
    out = folder / "pairs.jsonl"
    assert main(["export", str(run), "trl-preference", "--out", str(out)]) == 0
    rejected = [json.loads(line)["rejected"][0]["content"] for line in out.read_text().splitlines()]
    assert any("can't" in text or "not able" in text or "sorry" in text for text in rejected)


def test_the_report_shows_attempts_of_engines_and_what_they_gave_up(whole):
    text = html.unescape(write_report(whole.path).read_text())
    given_up = text.partition("What engines gave up")[2]
    reasons = {reason for row in whole.rounds[1:] for reason in row["synthesised"]["dropped"]}
    assert len(reasons) > 2
    assert all(reason in given_up for reason in reasons)
    with History.open(whole.path) as ledger:
        first = next(iter(ledger.attempts(1, "synthesised"))).trajectory
    assert first.answer in given_up


def test_a_plan_says_what_engines_make_at_most_and_foretells_no_rows(wheel, tmp_path, capsys):
    made = wheel(ALL)
    most = 8 * 6 * 2 + 12 * 2 * 3 + 12 * 2 + 10 * 5 + 8 * 3 + 6 * 6
    spent = sum(row["asked"]["samples"] for row in wheel(ALL).run().rounds[1:])
    assert estimate(made, tasks=2).samples == most >= spent > most / 2
    assert main(["plan", str(tmp_path / "recipe.yaml")]) == 0
    said = capsys.readouterr().out
    assert f"{most} (held-out ones included, and all that engines may make)" in said
    assert "hard_negatives of 8 tasks" in said
    assert "kept" not in said


def test_a_recipe_with_an_engine_written_out_reads_back_equal(wheel, tmp_path):
    recipe = wheel(ALL).recipe
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe
