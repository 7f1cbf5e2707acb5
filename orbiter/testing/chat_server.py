"""A scripted server with an OpenAI-compatible chat API, on loopback: to rehearse a run without a model, and to be the server from hell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import orjson
from attrs import field, frozen


@frozen(kw_only=True)
class Reply:
    """What comes back for one request.

    Args:
        body: The body: bytes as they are, or an object that is written as JSON.
        status: HTTP status.
        headers: Further headers, or other ones than usual.
        latency_s: Seconds until it comes.
        share: Share of its bytes that comes.
        ending: What follows an incomplete reply: ``reset``, ``close``, or ``hang``.
    """

    body: bytes | Mapping[str, Any] = field()
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    latency_s: float = 0.0
    share: float = 1.0
    ending: str = "reset"

    def data(self) -> bytes:
        """Return the bytes of the response."""
        body = self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)
        headers = {"Content-Type": "application/json", "Content-Length": len(body), **self.headers}
        lines = [f"HTTP/1.1 {self.status} -", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body


def chat(*texts: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return the body of a chat completion with a choice for each text; ``message`` holds further fields of each message."""
    choices = [
        {
            "index": number,
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish_reason,
        }
        for number, text in enumerate(texts)
    ]
    tokens = sum(len(text or "") for text in texts)
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    return {"id": "chat-1", "object": "chat.completion", "choices": choices, "usage": usage}


class ChatServer:
    """Answers ``POST /v1/chat/completions`` in a thread of its own until the end of a with block.

        with ChatServer(lambda asked: asked["messages"][-1]["content"][::-1]) as server:
            policy = OpenAIPolicy(base_url=server.url, model="any")

    Args:
        answer: Called with the body of each request; returns the text of the answer, or a whole :class:`Reply`.
        latency_s: Seconds until a text comes.

    Attributes:
        url: The base URL, once it runs.
        asked: The bodies of all requests so far.
        headers: Their headers, as they came.
    """

    def __init__(
        self, answer: Callable[[dict[str, Any]], str | Reply], *, latency_s: float = 0.0
    ) -> None:
        self._answer, self._latency_s = answer, latency_s
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[bytes] = []
        self.transports: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=2048)  # fmt: skip
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        def stop() -> None:
            self._server.close()
            for transport in self.transports:
                transport.abort()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(stop)
        self._thread.join()
        self._loop.close()

    def reply(self, head: bytes, body: bytes) -> Reply:
        """Return the reply to one request."""
        if b" /v1/chat/completions " not in head.split(b"\r\n")[0]:
            return Reply(status=404, body={"error": {"message": "no such address"}})
        asked = orjson.loads(body)
        self.asked.append(asked)
        self.headers.append(head)
        answer = self._answer(asked)
        if isinstance(answer, Reply):
            return answer
        return Reply(body=chat(*[answer] * asked.get("n", 1)), latency_s=self._latency_s)


class _Connection(asyncio.Protocol):
    """One connection: requests follow one another, each with its length."""

    def __init__(self, server: ChatServer) -> None:
        self._server, self._data = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # it is TCP
        self._transport = transport
        self._server.transports.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if not found or len(rest) < int(length):
            return
        self._data = rest[int(length) :]
        reply = self._server.reply(head, rest[: int(length)])
        asyncio.get_running_loop().call_later(reply.latency_s, self._send, reply)

    def _send(self, reply: Reply) -> None:
        data = reply.data()
        self._transport.write(data[: round(len(data) * reply.share)])
        if reply.share < 1 and reply.ending != "hang":
            # What was written is to arrive before the end does.
            end = self._transport.abort if reply.ending == "reset" else self._transport.close
            asyncio.get_running_loop().call_later(0.005, end)
