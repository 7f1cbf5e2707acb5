"""Write a policy, and see what more samples buy: best-of-N against 1 - (1 - p)^N."""

import asyncio
from collections.abc import Sequence

from orbiter.flywheel.odds import best_of_n_kl, best_of_n_success
from orbiter.generate import Completion, Policy, Request, Sampling
from orbiter.records import Outcome
from orbiter.tasks import item_seed, item_stream
from orbiter.tasks.addition import Addition
from orbiter.testing import check_policy
from orbiter.verify import judge
from orbiter.verify.answer import answered
from orbiter.verify.exact import ExactVerifier

TASKS, SAMPLES = 400, 16


class ForgetfulPolicy(Policy):
    """Adds column by column and forgets each carry with a fixed probability.

    Args:
        forget_rate: Probability in [0, 1] that a carry is forgotten.
    """

    name = "forgetful"
    batch_size = 64

    def __init__(self, *, forget_rate: float = 0.5) -> None:
        self.forget_rate = forget_rate

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        # The stream hangs on the request alone, so the same batch is answered the same again.
        stream = item_stream("forgetful", request.seed, request.attempt)
        left, _, right = request.messages[-1].text.removesuffix("=").partition("+")
        if not (left.isdigit() and right.isdigit()):
            return Completion.failed("prompt is not an addition")
        out, carry = "", 0
        for a, b in zip(left.zfill(4)[::-1], right.zfill(4)[::-1], strict=True):
            carry, digit = divmod(int(a) + int(b) + carry, 10)
            out = str(digit) + out
            carry = 0 if carry and stream.random() < self.forget_rate else carry
        text = out.lstrip("0") or "0"
        return Completion.of(text, token_count=len(text))


def requests_of(environment: Addition, count: int) -> list[Request]:
    return [
        Request(
            messages=(task := environment.task(index, seed=1)).messages,
            env=task.env,
            task_id=task.task_id,
            attempt=attempt,
            seed=item_seed(1, task.task_id, attempt),
        )
        for index in range(count)
        for attempt in range(SAMPLES)
    ]


environment, verifier = Addition(digits=3), ExactVerifier()
requests = requests_of(environment, TASKS)
completions = asyncio.run(ForgetfulPolicy().complete(requests, Sampling()))
passed = []
for number, completion in enumerate(completions):
    task = environment.task(number // SAMPLES, seed=1)
    verdict = judge(verifier, task, answered(task, completion.messages[0].text))
    passed.append(verdict.outcome is Outcome.PASS)
rate = sum(passed) / len(passed)
print(f"pass rate of one sample: {rate:.3f}")
print(" N  solved  1-(1-p)^N  KL in nats at p")
for n in (1, 2, 4, 8, 16):
    solved = sum(any(passed[i : i + n]) for i in range(0, len(passed), SAMPLES)) / TASKS
    print(
        f"{n:2}   {solved:.3f}      {best_of_n_success(rate, samples=n):.3f}  "
        f"{best_of_n_kl(rate, samples=n):.3f}"
    )
print("fewer are solved than the formula says, since the tasks are not equally hard")

check_policy(ForgetfulPolicy, requests[:SAMPLES] + requests[-SAMPLES:])
print("ForgetfulPolicy keeps the contract of a policy")
