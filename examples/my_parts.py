"""Parts that the recipe ``my_parts.yaml`` names by file: an environment, a verifier and a policy of one's own."""

from orbiter.generate import Completion, Policy
from orbiter.records import Task, Trajectory, Verdict
from orbiter.tasks import Environment, item_stream
from orbiter.verify import Verifier
from orbiter.verify.answer import final_answer


class MyEnvironment(Environment):
    """Double a number: ``double 21`` -> ``42``."""

    name = "doubling"
    size = 900

    def task(self, index: int, *, seed: int) -> Task:
        number = item_stream(self.name, seed).sample(range(100, 1000), self.size)[index]
        return self.make_task(number, f"double {number}", answer=str(2 * number))


class MyVerifier(Verifier):
    """Passes the right number, and scores a wrong one by whether it is even, as every right one is.

    Args:
        even_score: Score of a wrong but even number, in [0, 1).
    """

    name = "doubling"

    def __init__(self, *, even_score: float = 0.0) -> None:
        self.even_score = even_score
        self.version = f"1;even_score={even_score}"  # other verdicts, so another version

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        text = final_answer(trajectory)
        if text is None or not text.isdigit():
            return Verdict.failed("no number")
        if text == task.answer:
            return Verdict.passed()
        is_even = text[-1] in "02468"
        return Verdict.failed("wrong number", score=self.even_score if is_even else 0.0)


class MyPolicy(Policy):
    """Doubles digit by digit and forgets a carry with a fixed probability.

    Args:
        forget_rate: Probability in [0, 1] that a carry is forgotten.
    """

    name = "carrier"
    batch_size = 32

    def __init__(self, *, forget_rate: float = 0.5) -> None:
        self.forget_rate = forget_rate

    async def complete(self, requests, sampling):
        texts = [self._double(request) for request in requests]
        return [Completion.of(text, token_count=len(text)) for text in texts]

    def _double(self, request) -> str:
        stream = item_stream("carrier", request.seed)
        out, carry = "", 0
        for digit in reversed("0" + request.messages[-1].text.split()[-1]):
            carry, rest = divmod(2 * int(digit) + carry, 10)
            out = str(rest) + out
            carry = 0 if carry and stream.random() < self.forget_rate else carry
        return out.lstrip("0") or "0"
