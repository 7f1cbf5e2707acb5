import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.convert import unstructure
from orbiter.errors import RecordError
from orbiter.records import (
    ROLES,
    Message,
    Outcome,
    Pair,
    Task,
    Trajectory,
    TrajectoryItem,
    Verdict,
    content_hash,
)

texts = st.text(max_size=8)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, plain, max_size=3)
listed = st.lists(plain, max_size=2).map(tuple)
parts = st.fixed_dictionaries(
    {"type": st.just("text"), "text": texts}, optional={"x": plain}
) | st.fixed_dictionaries({"type": st.just("image_url")}, optional={"text": plain})


def extra(cls):
    known = {a.name for a in attrs.fields(cls)} - {"extra"}
    keys = (texts | st.sampled_from(["extra", "id", "x"])).filter(lambda key: key not in known)
    return st.dictionaries(keys, plain, max_size=2)


messages = st.builds(
    Message,
    role=st.sampled_from(ROLES),
    content=st.none() | texts | st.lists(parts, max_size=2),
    tool_calls=listed,
    tool_call_id=st.none() | texts,
    name=st.none() | texts,
    extra=extra(Message),
)
conversations = st.lists(messages, max_size=3).map(tuple)
shares = st.floats(0, 1) | st.integers(0, 1)
verdicts = st.one_of(
    st.builds(
        Verdict,
        outcome=st.sampled_from([Outcome.PASS, Outcome.FAIL]),
        score=shares,
        reason=texts,
        verifier=texts,
        version=texts,
        step_scores=st.lists(st.none() | shares, max_size=3).map(tuple),
        details=objects,
        extra=extra(Verdict),
    ),
    st.builds(Verdict.invalid, reason=st.text(min_size=1, max_size=5), details=objects),
)
trajectories = st.builds(
    Trajectory,
    messages=conversations,
    env=texts,
    task_id=texts,
    score=st.none() | shares,
    verdict=st.none() | verdicts,
    tools=listed,
    metadata=objects,
    generator=st.none() | texts,
    model=st.none() | texts,
    sampling=objects,
    seed=st.none() | st.integers(),
    round=st.none() | st.integers(),
    extra=extra(Trajectory),
)
tasks = st.builds(
    Task,
    env=texts,
    task_id=texts,
    messages=conversations,
    answer=plain,
    tools=listed,
    metadata=objects,
    extra=extra(Task),
)
items = st.builds(
    TrajectoryItem, state=plain, action=plain, reward=st.none() | shares, metadata=objects
)
pairs = st.builds(
    Pair,
    prompt=conversations,
    chosen=conversations,
    rejected=conversations,
    env=texts,
    task_id=texts,
    margin=st.none() | shares,
    metadata=objects,
    extra=extra(Pair),
)


@settings(deadline=None, max_examples=60)
@given(st.one_of(messages, verdicts, trajectories, tasks, items, pairs))
def test_a_record_comes_back_from_its_row(record):
    assert type(record).from_row(unstructure(record)) == record


@settings(deadline=None, max_examples=40)
@given(trajectories)
def test_a_trajectory_comes_back_from_its_row_with_id(trajectory):
    row = trajectory.to_row()
    assert Trajectory.from_row(row) == trajectory
    assert Trajectory.from_row(row).to_row() == row


@settings(deadline=None, max_examples=40)
@given(trajectories, texts)
def test_the_id_depends_on_what_was_asked_and_answered_alone(trajectory, word):
    same = attrs.evolve(trajectory, score=None, verdict=None, seed=7, metadata={"a": word})
    assert same.id == trajectory.id
    assert attrs.evolve(trajectory, env=trajectory.env + "x").id != trajectory.id
    assert attrs.evolve(trajectory, task_id=trajectory.task_id + "x").id != trajectory.id
    longer = (*trajectory.messages, Message("user", word))
    assert attrs.evolve(trajectory, messages=longer).id != trajectory.id


ROW = {
    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
    "env": "e",
    "task_id": "t",
    "score": 1,
}


def test_its_own_id_is_not_kept_twice_and_follows_a_change():
    trajectory = Trajectory.from_row(Trajectory.from_row(ROW).to_row())
    assert trajectory.extra == {}
    changed = attrs.evolve(trajectory, task_id="u")
    assert changed.to_row()["id"] == changed.id != trajectory.id


def test_a_foreign_id_is_kept():
    trajectory = Trajectory.from_row(ROW | {"id": "row-7"})
    assert trajectory.extra == {"id": "row-7"}
    assert trajectory.to_row()["id"] == "row-7"


def test_unknown_keys_are_kept_at_every_level():
    row = ROW | {
        "messages": [{"role": "user", "content": "q", "weight": 2, "extra": None}],
        "verdict": {"outcome": "pass", "score": 1, "judge": {"extra": 1}},
        "extra": "e",
        "more": [1],
        "id": 3,
    }
    assert Trajectory.from_row(row).to_row() == row


@pytest.mark.parametrize(
    ("part", "where"),
    [
        (7, "content[1]"),
        ("a", "content[1]"),
        (None, "content[1]"),
        ({"type": "text"}, "content[1].text"),
        ({"type": "text", "text": 7}, "content[1].text"),
    ],
)
def test_what_is_no_part_of_a_content_is_refused(part, where):
    with pytest.raises(RecordError) as caught:
        Message.from_row({"role": "user", "content": [{"type": "text", "text": "a"}, part]})
    assert caught.value.field == where


def test_an_integer_score_stays_an_integer():
    assert repr(Trajectory.from_row(ROW).to_row()["score"]) == "1"


def test_a_score_too_large_for_a_float_is_still_a_number():
    assert Trajectory.from_row(ROW | {"score": 10**400}).score == 10**400


def test_content_hash_does_not_depend_on_key_order():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    assert len(content_hash(None)) == 16


def test_text_of_messages():
    assert Message("user", "a").text == "a"
    assert Message("assistant").text == ""
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert Message("user", parts).text == "ab"


def test_prompt_and_answer():
    trajectory = Trajectory.from_row(ROW)
    assert trajectory.prompt == (Message("user", "q"),)
    assert trajectory.answer == "a"
    assert Task("e", "t", trajectory.messages).prompt == "q"
    unanswered = attrs.evolve(trajectory, messages=trajectory.prompt)
    assert (unanswered.prompt, unanswered.answer) == (trajectory.prompt, "")


def test_steps_put_the_terminal_score_on_the_last_turn():
    turns = tuple(Message(role, str(n)) for n, role in enumerate(["user", "assistant"] * 3))
    verdict = Verdict.passed(score=0.9, step_scores=(0.5, None))
    steps = list(Trajectory(turns, "e", "t", 0.9, verdict=verdict).steps())
    assert [step.reward for step in steps] == [0.5, None, 0.9]
    assert [len(step.state) for step in steps] == [1, 3, 5]
    assert steps[1].action == {"role": "assistant", "content": "3"}
    assert steps[2].metadata == {"env": "e", "task_id": "t", "step": 2}


def test_a_step_score_of_the_last_turn_stays():
    turns = (Message("user", "q"), Message("assistant", "a"))
    verdict = Verdict.failed(step_scores=(0.25,))
    (step,) = Trajectory(turns, "e", "t", 0.0, verdict=verdict).steps()
    assert step.reward == 0.25


def test_verdicts():
    assert Verdict.passed() == Verdict(Outcome.PASS, 1.0)
    assert Verdict.failed("wrong") == Verdict(Outcome.FAIL, 0.0, "wrong")
    assert Verdict.invalid("timeout").score is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Verdict(Outcome.PASS), "field 'score' must be a number in [0, 1], got None"),
        (lambda: Verdict.passed(score=1.5), "field 'score' must be a number in [0, 1], got 1.5"),
        (lambda: Verdict.passed(score=True), "field 'score' must be a finite number, got True"),
        (
            lambda: Verdict(Outcome.INVALID, 0.0, "x"),
            "field 'score' must be null when invalid, got 0.0",
        ),
        (lambda: Verdict.invalid(""), "field 'reason' must say why the verdict is invalid"),
        (
            lambda: Message("bot"),
            "field 'role' must be one of system, developer, user, assistant, tool, got 'bot'",
        ),
        (
            lambda: Trajectory((), "e", "t", float("nan")),
            "field 'score' must be a finite number, got nan",
        ),
        (
            lambda: TrajectoryItem(1, 2, float("inf")),
            "field 'reward' must be a finite number, got inf",
        ),
    ],
)
def test_records_that_cannot_be(make, message):
    with pytest.raises(RecordError) as caught:
        make()
    assert caught.value.message == message


# --- prompts that show assistant turns

SHOWN = (Message("user", "1+1="), Message("assistant", "2"), Message("user", "1+2="))
FEW_SHOT = Task("sums", "sums:few", SHOWN, answer="3", tools=({"type": "function"},))


def test_shown_turns_are_prompt_and_no_answer():
    row = Trajectory.following(FEW_SHOT, Message("assistant", "3"))
    assert row.prompt == SHOWN
    assert row.answer == "3"
    assert [item.action["content"] for item in row.steps()] == ["3"]
    assert (row.env, row.task_id, row.score, row.tools) == ("sums", "sums:few", None, FEW_SHOT.tools)  # fmt: skip
    assert Trajectory.from_row(row.to_row()) == row
    assert row.to_row()["prompt_size"] == 3


def test_step_scores_are_those_of_the_turns_after_the_prompt():
    turns = (Message("assistant", "3?"), Message("user", "?"), Message("assistant", "3"))
    verdict = Verdict.passed(step_scores=(0.5, None))
    row = Trajectory.following(FEW_SHOT, *turns, verdict=verdict)
    row = attrs.evolve(row, score=1.0)
    assert [item.reward for item in row.steps()] == [0.5, 1.0]
    assert [len(item.state) for item in row.steps()] == [3, 5]


def test_an_unanswered_prompt_has_no_answer():
    row = Trajectory.following(FEW_SHOT)
    assert (row.prompt, row.answer, list(row.steps())) == (SHOWN, "", [])


def test_a_prompt_without_assistant_turns_needs_no_size():
    row = Trajectory.following(
        attrs.evolve(FEW_SHOT, messages=SHOWN[:1]), Message("assistant", "2")
    )
    assert row.prompt_size is None
    assert "prompt_size" not in row.to_row()
    assert row.prompt == SHOWN[:1]


def test_the_size_of_the_prompt_is_not_part_of_the_id():
    row = Trajectory.following(FEW_SHOT, Message("assistant", "3"))
    assert attrs.evolve(row, prompt_size=None).id == row.id


@pytest.mark.parametrize("size", [-1, 4, True, "1", 1.0])
def test_the_size_of_the_prompt_must_fit_the_messages(size):
    row = {"messages": [{"role": "user"}] * 3, "env": "e", "task_id": "t", "score": None}
    with pytest.raises(RecordError, match="prompt_size"):
        Trajectory.from_row({**row, "prompt_size": size})
