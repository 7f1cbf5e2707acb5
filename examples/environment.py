"""Write an environment: a source of tasks that are the same for ever, with a verifier that judges the answers."""

from orbiter.records import Task
from orbiter.tasks import Environment, TaskStream, item_stream
from orbiter.testing import check_environment
from orbiter.verify.audit import audit
from orbiter.verify.audit.probes import probes
from orbiter.verify.exact import ExactVerifier

NUMERALS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
    (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


class RomanNumerals(Environment):
    """Write a number in Roman numerals: ``roman 1994:`` -> ``MCMXCIV``.

    Args:
        largest: The largest number that is asked, at most 3999.
    """

    name = "roman"
    chars = "".join(sorted(set("roman 0123456789:IVXLCDM")))

    def __init__(self, *, largest: int = 3999) -> None:
        self.largest = largest

    def task(self, index: int, *, seed: int) -> Task:
        number = item_stream(self.name, self.largest, seed, index).randint(1, self.largest)
        # The id says what is asked, so one prompt has one id whatever the seed.
        return self.make_task(number, f"roman {number}:", answer=roman(number))

    def demonstrate(self, task: Task) -> str:
        return roman(int(task.prompt.removeprefix("roman ").removesuffix(":")))


def roman(number: int) -> str:
    out = ""
    for value, letters in NUMERALS:
        count, number = divmod(number, value)
        out += letters * count
    return out


environment = RomanNumerals()
train = TaskStream(environment, seed=7, split="train", share=0.1)
held_out = TaskStream(environment, seed=7, split="held_out", share=0.1)
for task in train.take(3):
    print(f"{task.task_id:12} {task.prompt:14} -> {environment.demonstrate(task)}")

shared = {t.prompt for t in train.take(1500)} & {t.prompt for t in held_out.take(150)}
print(
    f"prompts in both splits: {len(shared)} (a prompt is held out by its hash, so no list is kept)"
)

exact = ExactVerifier()
found = audit(exact, probes(environment, exact, count=300, seed=7))
print(
    f"exact verifier on {found.count} answers of known label: TPR {found.tpr.value:.3f}, "
    f"FPR {found.fpr.value:.3f}, at most {found.fpr.interval.high:.3f}"
)

check_environment(RomanNumerals)
print("RomanNumerals keeps the contract of an environment")
