"""Back-translation: an instruction is kept if it leads back to the document."""

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.back_translation import BackTranslation
from orbiter.generate.policy import Completion
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.judges import JudgeModel, PointwiseJudge, Reply

DOCUMENT = "The Loire is the longest river of France, with a length of about 1,006 km."
ASK = "Which is the longest river of France, and how long is it?"


def engine(saying, written, answer=DOCUMENT, **options):
    return BackTranslation(
        policy=saying(lambda _: answer),
        writer=saying(lambda _: written),
        verifier=ExactVerifier(),
        **options,
    )


def test_the_row_is_the_instruction_with_the_document(run, saying, task):
    made = engine(saying, f"Request: {ASK}", f"  {DOCUMENT}\n")
    (row,) = run(made, task("lost", DOCUMENT))
    assert [(m.role, m.text) for m in row.messages] == [("user", ASK), ("assistant", DOCUMENT)]
    assert row.metadata["round_trip"] == f"  {DOCUMENT}\n"
    assert row.metadata["lineage"] == {"parent": "quiz:lost", "operation": "write"}
    assert (row.score, row.verdict.verifier) == (1.0, "exact")
    (order,) = made.writer.asked
    assert DOCUMENT in order.messages[0].text
    assert "lost" not in order.messages[0].text
    # The policy sees the instruction alone.
    assert [[m.text for m in request.messages] for request in made.policy.asked] == [[ASK]]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (f"Say that {DOCUMENT.lower()}", "gives the document away"),
        (
            "Say: the Loire is the longest river of France, with a length of",
            "gives the document away",
        ),
        (DOCUMENT, "copy of its source"),
        ("I'm sorry, but I can't do that.", "refusal"),
        ("", "empty"),
        (Completion.failed("down"), "no answer: down"),
        ("word " * 500, "too long"),
    ],
)
def test_an_instruction_that_is_none_is_not_answered(run, saying, task, written, reason):
    made = engine(saying, written)
    assert run(made, task("lost", DOCUMENT)) == []
    assert made.report.dropped == {reason: 1}
    assert made.policy.asked == []


def test_what_does_not_lead_back_is_dropped_with_the_verdict(run, saying, task):
    made = engine(saying, ASK, "The Seine.")
    assert run(made, task("lost", DOCUMENT)) == []
    assert made.report.dropped == {"failed: wrong answer": 1}
    made = engine(saying, ASK, Completion.failed("down"))
    assert run(made, task("lost", DOCUMENT)) == []
    assert made.report.dropped == {"no answer: down": 1}


def test_one_instruction_for_two_documents_and_no_document_are_counted(run, saying, task):
    made = engine(saying, ASK)
    rows = run(made, task("lost", DOCUMENT), task("other", "The Loire."), task("none"))
    assert len(rows) == 1
    assert made.report.dropped == {"same instruction as another document's": 1, "no document": 1}


def test_a_short_document_is_given_away_by_its_own_words(run, saying, task):
    made = engine(saying, "Is 1,006 the length of the Loire?", "1,006")
    assert run(made, task("lost", "1,006")) == []
    assert made.report.dropped == {"gives the document away": 1}

    made = engine(saying, "What is 112 less 100?", "12")
    assert len(run(made, task("lost", "12"))) == 1


@pytest.mark.parametrize(("option", "value"), [("max_shared", 0), ("max_words", 0)])
def test_wrong_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option} must be"):
        BackTranslation(**{option: value})


class Lenient(JudgeModel):
    """Says that an answer is as good as the reference where it names the Loire."""

    model = "lenient"

    def ask(self, questions):
        shown = [question.messages[-1].text for question in questions]
        assert all(DOCUMENT in text for text in shown)
        scores = [10 if "It is the Loire" in text else 0 for text in shown]
        return [Reply(text=f'{{"score": {score}}}') for score in scores]


@pytest.mark.parametrize(("answer", "kept"), [("It is the Loire.", 1), ("It is the Seine.", 0)])
def test_a_judge_may_say_that_the_answer_says_the_same(run, saying, task, answer, kept):
    made = engine(saying, ASK, answer)
    made.verifier = PointwiseJudge(
        model=Lenient(), rubric="The answer says what the reference says."
    )
    rows = run(made, task("lost", DOCUMENT))
    assert [row.answer for row in rows] == [DOCUMENT] * kept
    assert [row.metadata["round_trip"] for row in rows] == [answer] * kept
