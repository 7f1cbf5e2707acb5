"""Every built-in verifier keeps the contract of verifiers."""

import pytest

from orbiter.records import Message, Task
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.combine import AllOf, AnyOf, Weighted
from orbiter.verify.countdown import CountdownVerifier
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.numeric import NumericVerifier
from orbiter.verify.regex import RegexVerifier
from orbiter.verify.static import StaticTraceVerifier

CASES = {
    "exact": (ExactVerifier, "abc", "abc", "abd"),
    "numeric": (NumericVerifier, "0.5", "1/2", "0.51"),
    "regex": (lambda: RegexVerifier(r"[0-9]+"), None, "42", "forty-two"),
    "countdown": (CountdownVerifier, {"target": 6, "numbers": [2, 3]}, "2*3", "3+3"),
    "all_of": (lambda: AllOf(["exact", "numeric"]), "42", "42", "42.0"),
    "any_of": (lambda: AnyOf(["exact", "numeric"]), "42", "42.0", "43"),
    "weighted": (lambda: Weighted(["exact", "numeric"], weights=[1, 3]), "42", "42", "42.0"),
    "static": (StaticTraceVerifier, "42", "42", "41"),
}


@pytest.mark.parametrize(("make", "reference", "right", "wrong"), CASES.values(), ids=CASES)
def test_contract(make, reference, right, wrong):
    task = Task("e", "e:1", (Message("user", "q"),), answer=reference)
    check_verifier(make, [LabelledAnswer(task, right, True), LabelledAnswer(task, wrong, False)])
