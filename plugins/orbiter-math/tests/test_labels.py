"""Agreement with human labels, where the file of labelled model solutions lies at hand: it is not part of the repository.

ORBITER_GSM8K_SOLUTIONS names it: JSON lines with ``ground_truth`` and, per model, ``{"solution": ..., "is_correct": ...}``.
"""

import os
from pathlib import Path

import orjson
import pytest
from orbiter_math.gsm8k import Gsm8kVerifier
from orbiter_math.math_verifier import MathVerifier

from orbiter.records import Message, Task
from orbiter.verify.audit import LabelledAnswer, audit

SIBLING = Path(__file__).parents[4] / "shared/data/gsm8k_model_solutions_dev.jsonl"
FILE = Path(os.environ.get("ORBITER_GSM8K_SOLUTIONS", SIBLING))


@pytest.fixture(scope="module")
def labelled():
    if not FILE.is_file():
        pytest.skip("set ORBITER_GSM8K_SOLUTIONS to the file of labelled solutions")
    out = []
    for line in FILE.read_bytes().splitlines():
        row = orjson.loads(line)
        question = (Message("user", row["question"]),)
        task = Task("gsm8k", f"gsm8k:{row['index']}", question, row["ground_truth"])
        models = [value for value in row.values() if isinstance(value, dict)]
        out += [LabelledAnswer(task, one["solution"], one["is_correct"]) for one in models]
    return out


@pytest.mark.parametrize("verifier", [Gsm8kVerifier(), MathVerifier()], ids=["gsm8k", "math"])
def test_every_label_is_agreed_with(verifier, labelled):
    found = audit(verifier, labelled)
    shown = [(one.labelled.answer[-80:], one.verdict.reason) for one in found.disagreements]
    assert shown == []
    assert found.invalid_right == found.invalid_wrong == 0
    assert found.count == len(labelled) > 2_000
