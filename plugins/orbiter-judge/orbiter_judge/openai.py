"""The judge model behind any server with an OpenAI-compatible chat API."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from orbiter.generate.openai import OpenAIPolicy
from orbiter_judge.policy import PolicyJudgeModel


class OpenAIJudgeModel(PolicyJudgeModel):
    """Ask through ``POST {base_url}/chat/completions``.

    Retries, Retry-After and time limits are those of :class:`orbiter.generate.openai.OpenAIPolicy`. A question that is still
    unanswered after the retries, or that the server refuses, has no reply; so it is with a refused key.

    Args:
        base_url: Address of the API, such as ``http://127.0.0.1:8000/v1``; without user name and password.
        model: Name of the model, as the server knows it.
        api_key_env: Name of the environment variable that holds the key; None sends no key.
        concurrency: How many questions may be under way at once.
        timeout_s: Time limit of one try, in seconds.
        retries: How often a question is put again before it is given up.
        retry_wait_s: Pause before the first retry, in seconds; it doubles each time, with jitter, up to 60.
        extra: Fields of the request body to be set on top; one that is null is left out: ``{"temperature": None}``.
        prompt_price: Price of a million prompt tokens, in any currency; None is unknown.
        completion_price: Price of a million tokens of replies, in the same currency; None is unknown.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 60.0,
        retries: int = 3,
        retry_wait_s: float = 0.5,
        extra: Mapping[str, Any] | None = None,
        prompt_price: float | None = None,
        completion_price: float | None = None,
    ) -> None:
        asked: dict[str, Any] = {
            "base_url": base_url,
            "model": model,
            "api_key_env": api_key_env,
            "concurrency": concurrency,
            "timeout_s": timeout_s,
            "retries": retries,
            "retry_wait_s": retry_wait_s,
            "extra": extra,
        }
        prices: dict[str, Any] = {
            "prompt_price": prompt_price,
            "completion_price": completion_price,
        }
        super().__init__(OpenAIPolicy(**asked), **prices)
        self._options = {**asked, **prices}
        self.needs_env = () if api_key_env is None else (api_key_env,)

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew from its options on the other side: the key stays out of every pickle.
        return functools.partial(type(self), **self._options), ()
