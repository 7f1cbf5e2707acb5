"""The policy: its options, what it posts, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from orbiter.checks import check_whole_number, is_number
from orbiter.convert import unstructure
from orbiter.errors import ConfigError
from orbiter.generate.openai.address import endpoint, key_of
from orbiter.generate.openai.answer import REASONING, Reading
from orbiter.generate.openai.client import Client
from orbiter.generate.openai.faults import Fault, Refusal
from orbiter.generate.openai.limit import Limit
from orbiter.generate.openai.patience import LATE, Patience
from orbiter.generate.policy import Completion, Policy, Request, Sampling


class OpenAIPolicy(Policy):
    """Answer through ``POST {base_url}/chat/completions``.

    A busy or broken server (429, 5xx, a lost connection, half a body, a body that is no answer) is asked again after a pause drawn
    from a growing range, or the time that its Retry-After says; when the retries or the time are used up, the completion holds
    the reason. On 429 and 5xx fewer requests are opened at once, and more again as answers come. A refused key (401, 403) stops
    the run. The key is read from the environment when the policy is made and is part of no message; an answer that shows it
    is none.

    Args:
        base_url: Address of the API, such as ``http://127.0.0.1:8000/v1``; without user name and password.
        model: Name of the model, as the server knows it.
        api_key_env: Name of the environment variable that holds the key; None sends no key.
        concurrency: How many requests may be open at once, when the server bears them.
        timeout_s: Time limit of one try, in seconds.
        deadline_s: Time limit of a request with all its tries and the pauses between them; None is none.
        retries: How often a request is made again before it is given up.
        retry_wait_s: Longest pause before the first retry, in seconds; it doubles each time, up to 60.
        samples_per_request: How many answers to one prompt are asked for in one request, as ``n``, where the server can do that. They have
            one ``seed``, that of the first; each says in its metadata which choice it was. What is missing is asked again.
        logprobs: Ask for the log-probability of each token, kept in ``metadata.logprobs``: ``tokens`` and ``logprobs`` in nats.
        reasoning: Where the reasoning of a model is kept that a server gives apart: ``message`` (``reasoning_content`` beside
            the content, which chat templates render), ``metadata`` (out of the conversation), or ``think`` (before the content, in
            ``<think>`` tags).
        prompt_price: Price of a million prompt tokens, in any currency; with the other one, each answer has its cost.
        completion_price: Price of a million generated tokens, in the same currency.
        extra: Fields of the request body to be set on top, such as ``{"chat_template_kwargs": {...}}``; a field that is null is
            left out: ``{"max_tokens": None, "max_completion_tokens": 512}``.
    """

    name = "openai"

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        deadline_s: float | None = None,
        retries: int = 8,
        retry_wait_s: float = 0.5,
        samples_per_request: int = 1,
        logprobs: bool = False,
        reasoning: str = "message",
        prompt_price: float | None = None,
        completion_price: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = endpoint(base_url)
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model must be the name of a model, got {model!r}")
        check_whole_number("concurrency", concurrency, low=1)
        check_whole_number("retries", retries, low=0)
        check_whole_number("samples_per_request", samples_per_request, low=1)
        _check_times(timeout_s=timeout_s, retry_wait_s=retry_wait_s, deadline_s=deadline_s)
        if type(logprobs) is not bool:
            raise ConfigError(f"logprobs must be true or false, got {logprobs!r}")
        if reasoning not in REASONING:
            raise ConfigError(f"reasoning must be one of {', '.join(REASONING)}, got {reasoning!r}")
        _check_prices(prompt_price, completion_price)
        if extra is not None and not isinstance(extra, Mapping):
            raise ConfigError(f"extra must be fields of the request body, got {extra!r}")
        if extra is not None and not {"n", "stream", "messages"}.isdisjoint(extra):
            raise ConfigError(
                f"extra must not hold n, stream or messages, got {sorted(extra)!r}",
                hint="several answers to one prompt are asked for by samples_per_request",
            )
        self._model, self._extra = model, dict(extra or {})
        self._key = key_of(api_key_env)
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._retries, self._retry_wait_s = retries, retry_wait_s
        self._logprobs = logprobs
        self._reading = Reading(
            model=model,
            logprobs=logprobs,
            reasoning=reasoning,
            prompt_price=prompt_price,
            completion_price=completion_price,
        )
        self.batch_size, self.concurrency = samples_per_request, concurrency
        self._client: Client | None = None
        self._limit = Limit(concurrency)

    @property
    def model(self) -> str:
        """The model's name, as the server knows it."""
        return self._model

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request once; up to ``concurrency`` requests of HTTP are open at the same time."""
        client = self._open()
        groups = _alike(requests, self.batch_size)
        if len(groups) == 1:
            return await self._answer(client, groups[0], sampling)
        asked = [asyncio.ensure_future(self._answer(client, group, sampling)) for group in groups]
        try:
            return [one for answers in await asyncio.gather(*asked) for one in answers]
        finally:
            for one in asked:
                one.cancel()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _open(self) -> Client:
        # Connections belong to the event loop that they were made in, so they are made on first use.
        if self._client is None or self._client.is_closed:
            self._limit = Limit(self.concurrency)
            self._client = Client(
                self._url, model=self._model, key=self._key, timeout_s=self._timeout_s
            )
        return self._client

    async def _answer(
        self, client: Client, group: Sequence[Request], sampling: Sampling
    ) -> list[Completion]:
        """Answer requests with one prompt, asking again for those that are not answered."""
        answers: list[Completion | None] = [None] * len(group)
        patience = Patience(
            self._retries, first_wait_s=self._retry_wait_s, deadline_s=self._deadline_s
        )

        async def fill() -> None:
            # What came before a fault stays; what is missing is asked for again.
            while missing := [number for number, answer in enumerate(answers) if answer is None]:
                first, count = group[missing[0]], len(missing)
                body = self._body(first, sampling, count)
                found = await self._try(client, body, count, patience)
                for place, (number, completion) in enumerate(zip(missing, found)):
                    answers[number] = completion and self._marked(completion, first, place, count)

        try:
            try:
                await fill()
            except Fault as fault:
                await patience.go_on(fill, after=fault)
        except (Fault, Refusal) as error:
            failed = Completion.failed(patience.why(error))
            return [one or failed for one in answers]
        return [one for one in answers if one is not None]

    async def _try(
        self, client: Client, body: bytes, count: int, patience: Patience
    ) -> list[Completion | None]:
        try:
            opened = await self._limit.acquire(within_s=patience.left_s())
        except TimeoutError:
            raise Fault(LATE) from None
        try:
            data = await client.post(body, within_s=patience.left_s())
        except Fault as fault:
            if fault.overload:
                self._limit.overloaded(opened, wait_s=fault.wait_s)
            raise
        else:
            self._limit.answered()
        finally:
            self._limit.release()
        try:
            return self._reading.read(data, count)
        except Fault as fault:
            raise Fault(f"{fault.message}: {client.excerpt(data)}") from None

    def _marked(self, completion: Completion, first: Request, place: int, count: int) -> Completion:
        """Return a completion that says which choice of which request it was, where a request may ask for several."""
        if self.batch_size == 1:
            return completion
        completion.metadata["request"] = {"choice": place, "n": count, "seed": first.seed}
        return completion

    def _body(self, request: Request, sampling: Sampling, count: int) -> bytes:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": unstructure(request.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": request.seed,
        }
        if count > 1:
            body["n"] = count
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if request.tools:
            body["tools"] = unstructure(request.tools)
        if self._logprobs:
            body["logprobs"] = True
        if self._extra:
            body.update(self._extra)
            body = {key: value for key, value in body.items() if value is not None}
        return orjson.dumps(body)


def _alike(requests: Sequence[Request], size: int) -> list[Sequence[Request]]:
    """Return runs of up to ``size`` requests that differ in nothing that is sent but the seed."""
    if len(requests) == 1:
        return [requests]
    groups: list[list[Request]] = []
    for request in requests:
        last = groups[-1] if groups else []
        if (
            last
            and len(last) < size
            and (last[0].messages, last[0].tools) == (request.messages, request.tools)
        ):
            last.append(request)
        else:
            groups.append([request])
    return list(groups)


def _check_times(**given: float | None) -> None:
    for name, value in given.items():
        if value is None and name == "deadline_s":
            continue
        if not is_number(value) or not value > 0:
            raise ConfigError(f"{name} must be a number of seconds above 0, got {value!r}")


def _check_prices(prompt_price: object, completion_price: object) -> None:
    for name, price in (("prompt_price", prompt_price), ("completion_price", completion_price)):
        if price is not None and not (is_number(price) and price >= 0):
            raise ConfigError(f"{name} must be the price of a million tokens, got {price!r}")
    if (prompt_price is None) != (completion_price is None):
        raise ConfigError(
            "prompt_price and completion_price must go together, got one of them",
            hint="a price of 0 is a price",
        )
