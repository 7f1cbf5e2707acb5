"""Rows of others: where their tasks are, verdicts in order, and what they come to."""

import pytest

from orbiter import jsonl
from orbiter.errors import RecordError, UserCodeError
from orbiter.intervals import effective_size, wilson
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.tasks.environment import Environment
from orbiter.tasks.sorting import Sorting
from orbiter.verify import Verifier
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool
from orbiter.verify.scoring import (
    AHEAD,
    GROUP,
    Count,
    Tally,
    check_rows,
    judge_rows,
    own_task,
    scored,
    task_among,
    tasks_of,
)


def row(text, task_id="e:1", env="e", *, prompt="q", **more):
    messages = (Message("user", prompt), Message("assistant", text))
    return Trajectory(messages, env, task_id, None, **more)


def test_the_task_of_a_self_contained_row_is_its_prompt_and_its_answer():
    given = row("a", tools=({"type": "function"},), metadata={"k": 1}, extra={"answer": ["a", "b"]})
    assert own_task(given) == Task(
        "e", "e:1", (Message("user", "q"),), ["a", "b"], ({"type": "function"},), {"k": 1}
    )
    assert own_task(row("a")).answer is None


def test_a_task_is_found_by_env_and_id():
    tasks = [Task("e", "e:1", (), answer="x"), Task("f", "e:1", (), answer="y")]
    find = task_among(tasks, of="the file")
    assert find(row("a")).answer == "x"
    assert find(row("a", env="f")).answer == "y"
    with pytest.raises(RecordError, match="'task_id' must name a task of the file, got 'e:2'"):
        find(row("a", "e:2"))


def test_an_environment_without_end_is_looked_through_until_all_is_found():
    environment, asked = Sorting(length=5), []

    class Watched(Environment):
        name = "sorting"

        def task(self, index, *, seed):
            asked.append((index, seed))
            return environment.task(index, seed=seed)

    wanted = [environment.task(n, seed=4) for n in (7, 2, 7)]
    rows = [row("a", task.task_id, "sorting") for task in wanted]
    assert list(tasks_of(Watched(), rows, seed=4)) == [wanted[1], wanted[0]]
    assert asked == [(n, 4) for n in range(8)]


def test_an_environment_with_an_end_gives_what_it_has():
    class Three(Environment):
        name, size = "three", 3

        def task(self, index, *, seed):
            return self.make_task(index, "q")

    found = tasks_of(Three(), [row("a", "three:1"), row("a", "three:9")], seed=0)
    assert [task.task_id for task in found] == ["three:1"]


def test_an_environment_that_raises_is_named():
    class Broken(Environment):
        name = "broken"

        def task(self, index, *, seed):
            raise KeyError("x")

    with pytest.raises(UserCodeError, match=r"'broken' raised in task\(0, seed=1\): KeyError"):
        list(tasks_of(Broken(), [row("a")], seed=1))


def test_rows_are_checked_before_anything_is_judged(tmp_path):
    path = tmp_path / "rows.jsonl"
    find = task_among([Task("e", "e:1", ())], of="it")
    jsonl.write(path, [row("a"), row("b")])
    assert check_rows(path, find) == 2
    jsonl.write(path, [row("a"), row("b"), row("c", "e:3")])
    with pytest.raises(RecordError) as caught:
        check_rows(path, find)
    assert (caught.value.source, caught.value.line, caught.value.field) == (str(path), 3, "task_id")
    path.write_text("")
    with pytest.raises(RecordError, match="must hold at least one row"):
        check_rows(path, find)


class Ends(Verifier):
    """Passes answers that end in a 1; notes in which order they were asked and wanted."""

    name = "ends"

    def __init__(self, events):
        self.events = events

    def verify(self, task, trajectory):
        self.events.append("judged")
        return Verdict.passed() if trajectory.answer.endswith("1") else Verdict.failed("no")


@pytest.mark.parametrize("count", [1, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 7])
def test_verdicts_keep_the_order_of_rows_over_groups(count):
    rows = [row(str(n), extra={"answer": "x"}) for n in range(count)]
    with VerifierPool(Ends([]), workers=0) as pool:
        found = list(judge_rows(iter(rows), pool, task_of=own_task))
    assert [r for r, _ in found] == rows
    assert [v.outcome is Outcome.PASS for _, v in found] == [n % 10 == 1 for n in range(count)]


def test_rows_are_read_as_verdicts_come_and_not_all_at_once():
    events = []

    def rows():
        for n in range(4 * GROUP):
            events.append("read")
            yield row(str(n))

    with VerifierPool(Ends(events), workers=0) as pool:
        next(judge_rows(rows(), pool, task_of=own_task))
    assert events.count("read") <= 2 * GROUP


def test_in_workers_too():
    rows = [row("b" if n % 3 else "a", extra={"answer": "a"}) for n in range(3 * AHEAD * GROUP + 1)]
    with VerifierPool(ExactVerifier(), workers=1) as pool:
        found = list(judge_rows(rows, pool, task_of=own_task))
    assert [v.outcome is Outcome.PASS for _, v in found] == [n % 3 == 0 for n in range(len(rows))]


def test_a_scored_row_has_the_new_verdict_alone():
    given = row("a", generator="g", extra={"attempt": 1})
    verdict = Verdict.failed("no", score=0.25)
    new = scored(scored(given, Verdict.passed()), verdict)
    assert (new.score, new.verdict) == (0.25, verdict)
    assert (new.messages, new.generator, new.extra) == (given.messages, "g", {"attempt": 1})


def test_counts_by_env_and_model_and_the_commonest_reason_first():
    tally = Tally()
    rows = [
        ("f", "m", Verdict.passed()),
        ("e", "m", Verdict.passed()),
        ("e", "m", Verdict.failed("no")),
        ("e", None, Verdict.invalid("rare")),
        ("e", "m", Verdict.invalid("often")),
        ("f", "m", Verdict.invalid("often")),
    ]
    for number, (env, model, verdict) in enumerate(rows):
        tally.add(row("a", env=env, prompt=f"q{number}", model=model), verdict)
    summary = tally.summary
    assert summary.counts == {
        ("e", ""): Count(invalid=1),
        ("e", "m"): Count(passed=1, failed=1, invalid=1),
        ("f", "m"): Count(passed=1, invalid=1),
    }
    assert list(summary.counts) == sorted(summary.counts)
    assert list(summary.reasons.items()) == [("often", 2), ("rare", 1)]
    assert summary.total == Count(passed=2, failed=1, invalid=3)


def test_several_answers_to_a_prompt_tell_less_than_as_many_prompts():
    tally = Tally()
    for task in range(20):
        verdict = Verdict.passed() if task % 2 else Verdict.failed("no")
        for answer in "abcd":
            tally.add(row(answer, prompt=f"q{task}", model=f"m{answer in 'ab'}"), verdict)
    apart, total = tally.summary.counts["e", "mTrue"], tally.summary.total
    clusters = [(0, 2), (2, 2)] * 10
    assert apart.pass_rate.interval == wilson(20, 40, effective=effective_size(clusters))
    assert total.pass_rate.interval.width == pytest.approx(apart.pass_rate.interval.width, rel=0.05)
    assert total.pass_rate.interval.width > 1.9 * wilson(40, 80).width


def test_a_pass_rate_is_of_the_valid_rows():
    rate = Count(passed=3, failed=1, invalid=96).pass_rate
    assert (rate.value, rate.interval) == (0.75, wilson(3, 4))
    assert Count(invalid=5).pass_rate.value is None
