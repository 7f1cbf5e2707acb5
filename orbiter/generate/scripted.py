"""A policy that answers by rule: for tests, examples and rehearsals of a run without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import orjson

from orbiter.checks import check_number
from orbiter.errors import ConfigError, UserCodeError
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.records import Task
from orbiter.tasks.component import Spec, make_environment
from orbiter.tasks.environment import Environment, demonstration_of
from orbiter.tasks.streams import item_stream

Answers = Mapping[str, str | Sequence[str]] | Callable[[Request], "str | Completion | None"]

CHECKPOINT = "scripted.json"
"""File of a checkpoint that holds the accuracy to answer with from then on: ``{"accuracy": 0.5}``."""


class ScriptedPolicy(Policy):
    """Give a right answer with a fixed probability, and a corrupted one otherwise; deterministic per request.

    The right answers come from one of two places:

        ScriptedPolicy(environment={"name": "sorting", "length": 6}, accuracy=0.3)
        ScriptedPolicy(answers={"2+2=": "4"})
        ScriptedPolicy(answers=lambda request: request.messages[-1].text.upper())

    Args:
        environment: An environment, its name, or ``{"name": ..., **options}``; its ``demonstrate`` is asked.
        answers: Prompt to answer (of several, attempt i gives the i-th, round and round), or a function of the request that
            returns text, a Completion, or None for no answer.
        accuracy: Probability in [0, 1] that an answer is left as it is. A corrupted answer always differs from the right one.
        seed: Selects which requests are answered rightly.
    """

    name = "scripted"
    batch_size = 64

    def __init__(
        self,
        *,
        environment: Environment | Spec | None = None,
        answers: Answers | None = None,
        accuracy: float = 1.0,
        seed: int = 0,
    ) -> None:
        if (environment is None) == (answers is None):
            raise ConfigError("scripted policy must have either an environment or answers")
        if answers is not None and not callable(answers) and not isinstance(answers, Mapping):
            raise ConfigError(f"answers must be a mapping or a function, got {answers!r}")
        self.answers = answers
        self.environment = None if environment is None else make_environment(environment)
        self.accuracy = _check_accuracy(accuracy, what="accuracy")
        self.seed = seed

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request by the rule; of the sampling only the bound on length counts, a character being a token."""
        return [self._answer(request, sampling.max_new_tokens) for request in requests]

    def load(self, checkpoint: Path) -> None:
        """Take the accuracy from ``scripted.json`` in the folder, so that a rehearsed loop can improve."""
        path = Path(checkpoint) / CHECKPOINT
        try:
            accuracy = orjson.loads(path.read_bytes())["accuracy"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"checkpoint {str(checkpoint)!r} of a scripted policy must hold {CHECKPOINT} with an accuracy, "
                f"got {error!r}"
            ) from None
        self.accuracy = _check_accuracy(accuracy, what=f"accuracy in {path}")

    def _answer(self, request: Request, max_length: int) -> Completion:
        right = self._right_answer(request)
        if right is None:
            return Completion.failed("no scripted answer for this prompt")
        if isinstance(right, Completion):
            return right
        stream = item_stream(
            self.seed, request.seed, request.env, request.task_id, _prompt(request), request.attempt
        )
        text = right if stream.random() < self.accuracy else corrupted(right, stream)
        if len(text) > max_length:
            return Completion.of(text[:max_length], token_count=max_length, finish_reason="length")
        return Completion.of(text, token_count=len(text))

    def _right_answer(self, request: Request) -> str | Completion | None:
        if self.environment is not None:
            task = Task(request.env, request.task_id, request.messages, tools=request.tools)
            return demonstration_of(self.environment, task)
        if isinstance(self.answers, Mapping):
            known = self.answers.get(_prompt(request))
            if known is None or isinstance(known, str):
                return known
            return known[request.attempt % len(known)] if known else None
        assert self.answers is not None  # noqa: S101  # the constructor saw to it
        try:
            return self.answers(request)
        except Exception as error:
            raise UserCodeError(
                f"the answers function of a scripted policy raised {type(error).__name__}: {error}"
            ) from error


def corrupted(text: str, stream: Random) -> str:
    """Return ``text`` with one character replaced by another of the same sort; never ``text`` itself."""
    if not text:
        return "?"
    place = stream.randrange(len(text))
    sort = "0123456789" if text[place].isdigit() else "abcdefghijklmnopqrstuvwxyz"
    other = stream.choice([c for c in sort if c != text[place]])
    return text[:place] + other + text[place + 1 :]


def _prompt(request: Request) -> str:
    return next((m.text for m in reversed(request.messages) if m.role == "user"), "")


def _check_accuracy(value: object, *, what: str) -> float:
    return check_number(what, value, "[0, 1]")
