"""One try: post a body, and return what came back or say what went wrong."""

from __future__ import annotations

from typing import Any, NoReturn

import aiohttp

from orbiter.errors import PolicyError
from orbiter.generate.openai.faults import Fault, Refusal, retry_after
from orbiter.generate.openai.secret import Secret

MAX_BODY_BYTES = 64_000_000
"""Largest answer that is read, in bytes."""

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # Unpacked on the way, a megabyte may become a gigabyte; an answer is a few kilobytes.
    "Accept-Encoding": "identity",
}


class _Connector(aiohttp.TCPConnector):
    """Keeps connections, but none on which something came that nobody had asked for.

    aiohttp would take that for the answer to the next request, and each answer after it for that of the one before.
    """

    async def connect(self, *request: Any, **more: Any) -> aiohttp.connector.Connection:
        """Return a connection that is new or idle."""
        while True:
            connection = await super().connect(*request, **more)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class Client:
    """Connections to one server; belongs to the event loop that it was made in.

    Args:
        url: Address of chat completions.
        model: Name of the model, for messages.
        key: The API key; it is in no message.
        timeout_s: Time limit of a try, in seconds.
    """

    def __init__(self, url: str, *, model: str, key: str | None, timeout_s: float) -> None:
        self._url, self._model, self._secret = url, model, Secret(key)
        self._timeout_s = timeout_s
        authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0),  # the policy's own limit holds
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers={**_HEADERS, **authorization},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    @property
    def is_closed(self) -> bool:
        """Whether the connections are closed."""
        return self._session.closed

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def post(self, body: bytes, *, within_s: float | None = None) -> bytes:
        """Return the body of a 200 answer.

        Args:
            body: What is posted.
            within_s: A time limit below the usual one.

        Raises:
            PolicyError: The server refuses the key, or has no such model or address.
            Refusal: The server refuses this request.
            Fault: Something went wrong that may go right the next time.
        """
        limit_s = self._timeout_s if within_s is None else min(self._timeout_s, within_s)
        timeout = aiohttp.ClientTimeout(total=limit_s) if within_s is not None else None
        try:
            async with self._session.post(
                self._url,
                data=body,
                timeout=timeout or self._session.timeout,
                allow_redirects=False,  # a redirect would carry the key to an address nobody named
            ) as response:
                data = await _read(response)
                if response.status == 200:
                    if self._secret.is_in(data):
                        raise Fault("answer shows the API key")
                    return data
                self._refuse(response, data)
        except TimeoutError:
            raise Fault(f"timeout: no answer within {limit_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Fault(
                self._secret.redacted(f"connection: {type(error).__name__}: {error}")
            ) from None
        raise AssertionError("_refuse always raises")

    def _refuse(self, response: aiohttp.ClientResponse, data: bytes) -> NoReturn:
        status = response.status
        what = f"HTTP {status}: {self.excerpt(data)}"
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
        # A success that is not 200, such as 204, is no answer.
        if status < 300 or status in (408, 409, 425, 429) or status >= 500:
            wait_s = retry_after(response.headers.get("Retry-After"))
            raise Fault(what, wait_s=wait_s, overload=status == 429 or status >= 500)
        raise Refusal(what)

    def excerpt(self, data: bytes) -> str:
        """Return the beginning of a body for a message; the key goes first, lest half of it stay at the cut."""
        text = " ".join(self._secret.redacted(data.decode(errors="replace")).split())
        return repr(text if len(text) <= 200 else text[:197] + "...")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        # Any other word is the server's own, and may be what it was sent.
        known = encoding if encoding in ("gzip", "deflate", "br", "zstd") else "something unknown"
        raise Fault(f"answer is packed with {known}, which was not asked for")
    size = response.content_length
    if size is not None and size <= MAX_BODY_BYTES:
        return await response.read()
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise Fault(f"answer is longer than {MAX_BODY_BYTES} bytes")
    return bytes(data)
