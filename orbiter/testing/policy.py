"""The check of a Policy."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from orbiter.errors import OrbiterError
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.records import Message
from orbiter.testing.contract import Contract, shown

FINISH_REASONS = ("stop", "length", "error")


def check_policy(
    make: Callable[[], Policy],
    requests: Sequence[Request],
    *,
    sampling: Sampling | None = None,
    stochastic: bool = False,
) -> None:
    """Check that a policy keeps its contract.

    The clauses: it is named; ``complete`` gives one completion per request, in their order, and none for none; each has an
    assistant turn or an error, a known finish reason and a token count within ``max_new_tokens``; the same batch is answered
    the same again, by a fresh instance too; a checkpoint that does not exist is refused.

        def test_parrot():
            check_policy(Parrot, [Request(messages=(Message("user", word),)) for word in ("a", "b", "c")])

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        requests: At least two, with different prompts.
        sampling: How to sample; the order is checked at temperature 0.
        stochastic: The policy samples: at the temperature of ``sampling``, other seeds must give other answers to some of the
            requests.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    if len({request.messages for request in map(_hashable, requests)}) < 2:
        raise ValueError("requests must hold at least two different prompts")
    asyncio.run(_check(make, list(requests), sampling or Sampling(), stochastic))


def _hashable(request: Request) -> Any:
    return attrs.evolve(request, messages=repr(request.messages))  # type: ignore[arg-type]


async def _check(
    make: Callable[[], Policy], requests: list[Request], sampling: Sampling, stochastic: bool
) -> None:
    policy, fresh = make(), make()
    contract = Contract("policy", str(getattr(policy, "name", type(policy).__name__)))
    try:
        _check_attributes(contract, policy)
        answers = await _complete(contract, policy, requests, sampling)
        for again, whose in ((policy, "the same"), (fresh, "a fresh")):
            other = await _complete(contract, again, requests, sampling)
            contract.clause(
                "same answers again",
                _said(other) == _said(answers),
                f"{whose} instance must answer the same batch the same, "
                f"got {shown(_said(other))} after {shown(_said(answers))}",
            )
        await _check_order(contract, policy, requests, attrs.evolve(sampling, temperature=0.0))
        contract.clause(
            "no requests",
            await _complete(contract, policy, [], sampling) == [],
            "no requests must give no completions",
        )
        if stochastic:
            reseeded = [attrs.evolve(r, seed=r.seed + 1_000_003) for r in requests]
            other = await _complete(contract, policy, reseeded, sampling)
            contract.clause(
                "seeds",
                _said(other) != _said(answers),
                "other seeds must give other answers, got the same",
            )
        _check_load(contract, fresh)
    finally:
        await policy.aclose()
        await fresh.aclose()


def _check_attributes(contract: Contract, policy: Policy) -> None:
    name = getattr(policy, "name", None)
    contract.clause("name", isinstance(name, str) and name, f"name must be a text, got {name!r}")
    for attribute in ("batch_size", "concurrency"):
        value = getattr(policy, attribute)
        contract.clause(
            attribute,
            type(value) is int and value >= 1,
            f"{attribute} must be an integer >= 1, got {value!r}",
        )
    model = policy.model
    contract.clause(
        "model",
        model is None or isinstance(model, str),
        f"model must be text or None, got {model!r}",
    )


async def _complete(
    contract: Contract, policy: Policy, requests: list[Request], sampling: Sampling
) -> list[Completion]:
    with contract.without_error("completions", "complete()"):
        call = policy.complete(tuple(requests), sampling)
        contract.clause(
            "completions", inspect.isawaitable(call), f"complete() must be async, got {shown(call)}"
        )
        answers = await call
    contract.clause(
        "completions",
        isinstance(answers, list) and all(isinstance(a, Completion) for a in answers),
        f"complete() must return a list of Completions, got {shown(answers)}",
    )
    contract.clause(
        "one completion per request",
        len(answers) == len(requests),
        f"{len(requests)} requests must give as many completions, got {len(answers)}",
    )
    for answer in answers:
        _check_completion(contract, answer, sampling)
    return answers


def _check_completion(contract: Contract, answer: Completion, sampling: Sampling) -> None:
    contract.clause(
        "finish reasons",
        answer.finish_reason in FINISH_REASONS,
        f"finish_reason must be one of {', '.join(FINISH_REASONS)}, got {answer.finish_reason!r}",
    )
    failed = answer.finish_reason == "error"
    contract.clause(
        "finish reasons",
        failed == bool(answer.error),
        f"finish_reason 'error' and an error text come together, got {shown(answer)}",
    )
    contract.clause(
        "answers",
        failed
        or (
            answer.messages
            and all(isinstance(m, Message) for m in answer.messages)
            and answer.messages[0].role == "assistant"
        ),
        f"a completion must begin with an assistant message or be an error, got {shown(answer)}",
    )
    contract.clause(
        "answers",
        not (failed and answer.messages),
        f"a completion with an error must hold no messages, got {shown(answer)}",
    )
    contract.clause(
        "token counts",
        type(answer.token_count) is int
        and answer.token_count >= 0
        and (len(answer.messages) != 1 or answer.token_count <= sampling.max_new_tokens),
        f"token_count must be an integer in [0, max_new_tokens], got {answer.token_count!r}",
    )


async def _check_order(
    contract: Contract, policy: Policy, requests: list[Request], greedy: Sampling
) -> None:
    forwards = await _complete(contract, policy, requests, greedy)
    backwards = await _complete(contract, policy, requests[::-1], greedy)
    contract.clause(
        "order",
        _said(backwards)[::-1] == _said(forwards),
        "completions must come in the order of the requests: at temperature 0, requests in reverse must give the answers "
        f"in reverse, got {shown(_said(backwards))} for {shown(_said(forwards))}",
    )


def _check_load(contract: Contract, policy: Policy) -> None:
    nowhere = Path("/nonexistent/orbiter-checkpoint")
    with contract.refusal("checkpoints", "load() of a folder that does not exist", OrbiterError):
        policy.load(nowhere)


def _said(answers: Sequence[Completion]) -> list[tuple[object, ...]]:
    return [(a.messages, a.finish_reason, a.token_count, a.error is None) for a in answers]
