"""A policy that asks any server with an OpenAI-compatible chat API: vLLM, SGLang, llama.cpp, a hosted one."""

from __future__ import annotations

import asyncio
import email.utils
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
import orjson
import stamina
from attrs import evolve

from orbiter.checks import check_whole_number
from orbiter.convert import unstructure
from orbiter.errors import ConfigError, OrbiterError, PolicyError, RecordError
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.records import Message

MAX_RETRY_AFTER_S = 120.0
"""Longest wait that a server's Retry-After is granted, in seconds."""

MAX_BODY_BYTES = 64_000_000
"""Largest answer that is read, in bytes."""

_FINISH = {"stop": "stop", "tool_calls": "stop", "eos_token": "stop", "length": "length"}
"""What servers say at the end of a whole answer, and how a Completion says it."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


class _Retry(OrbiterError):
    """A request that may succeed if it is made again, after ``wait_s`` seconds if the server said so."""

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Refused(OrbiterError):
    """A request that the server will not answer however often it is made."""


class OpenAIPolicy(Policy):
    """Answer through ``POST {base_url}/chat/completions``.

    A busy or broken server (429, 5xx, a lost connection, half a body, a body that is no answer) is asked again with growing
    pauses, or after the time that its Retry-After says; when the retries are used up, the completion holds the reason. A refused
    key (401, 403) stops the run. The key is read from the environment when the policy is made and is part of no message.

    Args:
        base_url: Address of the API, such as ``http://127.0.0.1:8000/v1``; without user name and password.
        model: Name of the model, as the server knows it.
        api_key_env: Name of the environment variable that holds the key; None sends no key.
        concurrency: How many requests may be under way at once.
        timeout_s: Time limit of one try, in seconds.
        retries: How often a request is made again before it is given up.
        retry_wait_s: Pause before the first retry, in seconds; it doubles each time, with jitter, up to 60.
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
        retries: int = 5,
        retry_wait_s: float = 0.5,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = _endpoint(base_url)
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model must be the name of a model, got {model!r}")
        check_whole_number("concurrency", concurrency, low=1)
        check_whole_number("retries", retries, low=0)
        if not timeout_s > 0 or not retry_wait_s > 0:
            raise ConfigError(
                f"timeout_s and retry_wait_s must be above 0, got {timeout_s!r} and {retry_wait_s!r}"
            )
        if extra is not None and not isinstance(extra, Mapping):
            raise ConfigError(f"extra must be fields of the request body, got {extra!r}")
        self._model, self._extra = model, dict(extra or {})
        self._key = _key(api_key_env)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._retries, self._retry_wait_s = retries, retry_wait_s
        self.concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(concurrency)

    @property
    def model(self) -> str:
        """The model's name, as the server knows it."""
        return self._model

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request once; up to ``concurrency`` of them are under way at the same time."""
        session = self._open()
        asked = [asyncio.ensure_future(self._answer(session, r, sampling)) for r in requests]
        try:
            return await asyncio.gather(*asked)
        finally:
            for one in asked:
                one.cancel()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        # A session belongs to the event loop that it was made in, so it is made on first use.
        if self._session is None or self._session.closed:
            self._slots = asyncio.Semaphore(self.concurrency)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
                timeout=self._timeout,
                headers={} if self._key is None else {"Authorization": f"Bearer {self._key}"},
            )
        return self._session

    async def _answer(
        self, session: aiohttp.ClientSession, request: Request, sampling: Sampling
    ) -> Completion:
        body = self._body(request, sampling)
        try:
            async with self._slots:
                async for attempt in stamina.retry_context(
                    on=_pause,
                    attempts=self._retries + 1,
                    timeout=None,
                    wait_initial=self._retry_wait_s,
                    wait_jitter=self._retry_wait_s,
                    wait_max=60.0,
                ):
                    with attempt:
                        return self._completion(await self._post(session, body))
        except (_Retry, _Refused) as error:
            return Completion.failed(error.message)
        raise AssertionError("retry_context returns or raises")

    def _body(self, request: Request, sampling: Sampling) -> bytes:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": unstructure(request.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": request.seed,
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if request.tools:
            body["tools"] = unstructure(request.tools)
        body.update(self._extra)
        return orjson.dumps({key: value for key, value in body.items() if value is not None})

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bytes:
        """Return the body of a 200 answer.

        Raises:
            PolicyError: The server refuses the key, or has no such model or address.
            _Refused: The server refuses this request.
            _Retry: Something went wrong that may go right the next time.
        """
        try:
            async with session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,  # a redirect would carry the key to an address nobody named
            ) as response:
                data = await _read(response)
                if response.status == 200:
                    return data
                self._refuse(response, data)
        except TimeoutError:
            raise _Retry(f"timeout: no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Retry(self._redact(f"connection: {type(error).__name__}: {error}")) from None
        raise AssertionError("_refuse always raises")

    def _refuse(self, response: aiohttp.ClientResponse, data: bytes) -> NoReturn:
        status = response.status
        what = f"HTTP {status}: {self._excerpt(data)}"
        if status in (401, 403):
            raise PolicyError(
                f"model server refused the API key with {what}",
                hint="set the environment variable that api_key_env names, or ask for access",
            )
        if status == 404:
            raise PolicyError(
                f"model server has no model {self._model!r} at this address: {what}",
                hint="check base_url, which most often ends in /v1, and model",
            )
        if status in (408, 409, 425, 429) or status >= 500:
            raise _Retry(what, wait_s=_retry_after(response.headers.get("Retry-After")))
        raise _Refused(what)

    def _completion(self, data: bytes) -> Completion:
        try:
            answer = orjson.loads(data)
            choice = answer["choices"][0]
            raw, finish = choice["message"], choice.get("finish_reason")
            message = Message.from_row({k: v for k, v in raw.items() if v is not None and v != []})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            field = (
                f"field {error.field!r} of its message; " if isinstance(error, RecordError) else ""
            )
            raise _Retry(f"answer is no chat completion: {field}{self._excerpt(data)}") from None
        if message.role != "assistant":
            raise _Retry(f"answer is no chat completion: its role is {message.role!r}")
        if not isinstance(finish, str) or finish not in _FINISH:
            return Completion.failed(self._redact(f"server finished with {finish!r}"))
        if message.content is None and not message.tool_calls:
            message = evolve(message, content="")
        served_by, usage = answer.get("model"), answer.get("usage")
        return Completion(
            messages=(message,),
            finish_reason=_FINISH[finish],
            token_count=_count(usage, "completion_tokens"),
            prompt_token_count=_count(usage, "prompt_tokens"),
            model=served_by if isinstance(served_by, str) and served_by != self._model else None,
        )

    def _excerpt(self, data: bytes) -> str:
        """Return the beginning of a body for a message; the key goes first, lest half of it stay at the cut."""
        text = " ".join(self._redact(data.decode(errors="replace")).split())
        return repr(text if len(text) <= 200 else text[:197] + "...")

    def _redact(self, text: str) -> str:
        """Return ``text`` without the key, which a server may have echoed."""
        return text if self._key is None else text.replace(self._key, "[key]")


def _pause(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and after how many seconds if the server said so."""
    if not isinstance(error, _Retry):
        return False
    return True if error.wait_s is None else error.wait_s


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise _Retry(f"answer is longer than {MAX_BODY_BYTES} bytes")
    return bytes(data)


def _retry_after(header: str | None) -> float | None:
    """Return the pause that a Retry-After header asks for, in seconds; None if it asks for none that can be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        wait_s = float(header[:12])
    else:
        try:
            wait_s = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, Mapping) else None
    return value if type(value) is int and value >= 0 else 0


def _endpoint(base_url: object) -> str:
    """Return the address of chat completions; the message of the error never shows user name or password."""
    try:
        parts = urlsplit(base_url) if isinstance(base_url, str) else None
        port_is_valid = parts is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, port_is_valid = None, False
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_valid
    ):
        raise ConfigError(
            "base_url must be an http or https address",
            hint="most often it looks like http://127.0.0.1:8000/v1",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "base_url must have no user name, password, query or fragment",
            hint="give a key by api_key_env",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/chat/completions"


def _key(variable: object) -> str | None:
    """Return the key in an environment variable; no message shows the key, nor what may be one."""
    if variable is None:
        return None
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        # Someone may have put the key itself here.
        raise ConfigError(
            "api_key_env must be the name of an environment variable in capitals",
            hint="put the key into the environment, not into the recipe",
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"environment variable {variable} must hold the API key, got nothing",
            hint=f"export {variable}=...",
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"environment variable {variable} must hold a key of printable ASCII")
    return key
