import pickle

import attrs
import orjson
import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.teacher import TeacherGenerator
from orbiter_liveweb.verifier import LiveWebVerifier

from orbiter.records import Message, Task
from orbiter.user_file import looking_in
from orbiter.verify.verifier import judge


@pytest.fixture(scope="module")
def made(teacher):
    return teacher.compose(
        seed=1, num_subtasks=2, templates=["catalogue/maker_town", "catalogue/item_fact"]
    )


@pytest.fixture(scope="module")
def verifier(web):
    return LiveWebVerifier(cache_dir=web)


def says(verifier, made, messages=None, task=None):
    trajectory = (
        made.trajectory
        if messages is None
        else attrs.evolve(made.trajectory, messages=tuple(messages))
    )
    verdict = judge(verifier, task or made.task, trajectory)
    return verdict.outcome.value, verdict.reason


def answered(made, answer):
    """The trajectory with another answer."""
    messages = list(made.trajectory.messages)
    (stop,) = messages[-3].tool_calls
    arguments = orjson.dumps({"answer": answer}).decode()
    other = {**stop, "function": {"name": "stop", "arguments": arguments}}
    messages[-3] = attrs.evolve(messages[-3], tool_calls=(other,))
    return [*messages[:-1], Message("assistant", answer)]


def test_what_the_teacher_did_passes(verifier, made):
    assert says(verifier, made) == ("pass", "")
    assert says(pickle.loads(pickle.dumps(verifier)), made) == ("pass", "")


def test_a_site_beside_the_recipe_is_found_from_everywhere(web, tmp_path, monkeypatch):
    """A worker looks for it later, and in another folder."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "mine.py").write_text(
        "from orbiter_liveweb.sites.catalogue import Catalogue\n"
        'class Mine(Catalogue):\n    """Mine."""\n    name = "mine"\n'
    )
    with looking_in(tmp_path / "sites"):
        teacher = TeacherGenerator(web, ["mine.py:Mine"])
    assert teacher.verifier.version.endswith(";include_plugins=['mine.py:Mine']")
    monkeypatch.chdir(tmp_path)
    assert says(pickle.loads(pickle.dumps(teacher.verifier)), teacher.compose(seed=1)) == (
        "pass",
        "",
    )


def test_a_claim_of_success_is_not_read(verifier, made):
    wrong = answered(made, "1. nowhere\n2. 3")
    row = attrs.evolve(made.trajectory, messages=tuple(wrong), score=1.0, metadata={"score": 1.0})
    assert judge(verifier, made.task, row).score == 0.0


def test_wrong_answers_fail_by_number(verifier, made):
    right = made.trajectory.answer.splitlines()
    assert says(verifier, made, answered(made, f"{right[0]}\n2. 12345")) == (
        "fail",
        "answer 2 is wrong",
    )
    assert says(verifier, made, answered(made, f"1. x\n{right[1]}")) == (
        "fail",
        "answer 1 is wrong",
    )
    assert (
        says(verifier, made, answered(made, f"1. {right[1][3:]}\n2. {right[0][3:]}"))[0] == "fail"
    )
    for odd in (
        right[0],
        "\n".join([*right, right[0]]),
        "\n".join(reversed(right)),
        " or ".join(right),
        "",
    ):
        assert says(verifier, made, answered(made, odd)) == ("fail", "not one answer per question")


def test_an_answer_must_be_founded_on_a_visit(verifier, made):
    messages = made.trajectory.messages
    knowing = [*messages[:4], *messages[-3:]]  # the first page, then the right answer
    outcome, reason = says(verifier, made, knowing)
    assert outcome == "fail"
    assert "answer 1 is not founded on a visit to https://catalogue.example/item/" in reason


def test_a_trace_without_stop_fails(verifier, made):
    messages = made.trajectory.messages
    assert says(verifier, made, [*messages[:-3], messages[-1]]) == ("fail", "stop was not called")
    assert says(verifier, made, messages[:2]) == ("fail", "no answer")


@pytest.mark.parametrize("where", [3, 5, 9])
def test_an_observation_that_was_made_up_is_found(verifier, made, where):
    messages = list(made.trajectory.messages)
    shown = messages[where]
    assert shown.role == "tool"
    messages[where] = attrs.evolve(shown, content=shown.text.replace("- link", "- button", 1))
    outcome, reason = says(verifier, made, messages)
    assert outcome == "fail"
    assert reason.startswith(
        f"call {(where - 1) // 2} shows something else than the cache; page https://catalogue.example/"
    )


def test_a_page_that_is_gone_is_named(own_web, made):
    verifier = LiveWebVerifier(cache_dir=own_web)
    assert says(verifier, made) == ("pass", "")
    url = next(
        m.text.split("\n")[0][5:]
        for m in made.trajectory.messages
        if m.text.startswith("URL: https://catalogue.example/item/")
    )
    own_web.path_of(url).unlink()
    outcome, reason = says(LiveWebVerifier(cache_dir=Cache(own_web.folder)), made)
    assert outcome == "invalid"
    assert url in reason


def test_a_page_that_was_altered_is_named(own_web, made):
    url = next(
        m.text.split("\n")[0][5:]
        for m in made.trajectory.messages
        if m.text.startswith("URL: https://catalogue.example/maker/")
    )
    path = own_web.path_of(url)
    path.write_bytes(path.read_bytes().replace(b"Founded", b"FOUNDED"))
    outcome, reason = says(LiveWebVerifier(cache_dir=Cache(own_web.folder)), made)
    assert (outcome, f"page {url} was altered" in reason) == ("invalid", True)


def test_the_question_is_that_of_the_id(verifier, made, teacher):
    other = teacher.compose(seed=2, num_subtasks=1, templates=["league/nth_club"])
    easy = attrs.evolve(made.task, task_id=other.task.task_id)
    assert says(verifier, made, task=easy) == (
        "invalid",
        "the prompt is not the one of the task's id",
    )
    for name in (
        "liveweb:",
        "liveweb:a/b",
        "x:catalogue/item_fact/a",
        "liveweb:catalogue/none/a",
        "liveweb:catalogue/item_fact/gone,price",
    ):
        task = Task("liveweb", name, made.task.messages)
        assert says(verifier, made, task=task)[0] == "invalid"


def test_another_web_is_another_version(web, own_web, made):
    before = LiveWebVerifier(cache_dir=own_web).version
    assert before == LiveWebVerifier(cache_dir=web).version  # a copy is no other web
    snapshot = own_web.get(own_web.urls()[0])
    own_web.put(attrs.evolve(snapshot, fetched_at="2001-01-01T00:00:00Z"))
    assert LiveWebVerifier(cache_dir=own_web).version != before
