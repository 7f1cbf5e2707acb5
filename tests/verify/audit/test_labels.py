"""What a reference can say of an answer for certain."""

import pytest

from orbiter.tasks.environment import Environment
from orbiter.verify.audit import reference_label


@pytest.mark.parametrize(
    ("reference", "answer", "label"),
    [
        ("42", "42", True),
        ("42", "43", False),
        ("42", " 42\n", None),
        ("42", "042", None),
        ("1,000", "1000.0", None),
        ("Yes", "yes", None),
        ("Yes", "No", False),
        ("so 6 * 7 #### 42", "so 6 * 8 #### 42", None),
        ("42", "1e999999999", False),
    ],
)
def test_the_reference_labels_only_what_it_can(reference, answer, label):
    class One(Environment):
        name = "one"

        def task(self, index, *, seed):
            return self.make_task(index, "?", answer=reference)

    environment = One()
    assert reference_label(environment)(environment.task(0, seed=0), answer) is label
