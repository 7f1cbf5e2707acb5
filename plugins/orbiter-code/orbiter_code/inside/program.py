"""The program of a model, in a job of its own, as something to call."""

from __future__ import annotations

import builtins
import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .foresight import Call
from .frames import Channel, ChannelBrokenError, ChannelClosedError, DeadlineError
from .job import RAISED, REFUSED, VALUE
from .values import ValueRefusedError, dump, load, pack, unpack

_EXCEPTIONS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception)
}


class OverError(BaseException):
    """There is a verdict. Not an Exception: tests may catch those."""

    def __init__(self, outcome: str, reason: str, message: str = "") -> None:
        super().__init__(outcome, reason, message)
        self.outcome, self.reason, self.message = outcome, reason, message


class Program:
    """The program in its job, as something to call.

    Args:
        channel: To the job.
        deadline: Of all calls together, on the monotonic clock.
        on_answer: Called when the program has answered for the first time.
    """

    def __init__(self, channel: Channel, deadline: float, on_answer: Callable[[], None]) -> None:
        self.channel, self.deadline, self._on_answer = channel, deadline, on_answer
        self.answered = False
        self.over: OverError | None = None
        self._asked: deque[tuple[bytes, str]] = deque()
        self.names: set[str] = set()

    def load(self, text: str, calls: Sequence[Call] = ()) -> None:
        """Run the text of the program.

        Args:
            text: The program.
            calls: What it will be called with first, in this order.

        Raises:
            OverError: It raised, or did not end in time, or took its process with it.
        """
        nonce = _nonce()
        order = {"mode": "calls", "nonce": nonce, "program": text}
        self._send(json.dumps(order).encode())
        self._ask(calls)
        kind, *rest = self._reply(nonce)
        if kind == RAISED:
            raise self._stop("fail", "program raises when it is loaded", ": ".join(map(str, rest)))

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the function of this name returns.

        Raises:
            Exception: Of the builtin class that the program's exception was of.
            OverError: There was no plain value to be had.
        """
        if self.over is not None:
            raise self.over  # a test caught it and went on
        try:
            question = [name, pack(args), pack(kwargs)]
            text = dump(question)
        except ValueRefusedError as error:
            raise self._stop("invalid", f"task: an argument is not plain: {error}") from None
        if self._asked and self._asked[0][0] == text:
            nonce = self._asked.popleft()[1]
        else:
            while self._asked:  # not what was foreseen: those replies come first
                self._reply(self._asked.popleft()[1])
            nonce = _nonce()
            self._send(dump([[nonce, *question]]))
        kind, *rest = self._reply(nonce)
        if not self.answered:
            self.answered = True
            self._on_answer()
        if kind == VALUE:
            try:
                return unpack(*rest)
            except ValueRefusedError as error:
                raise self._stop("fail", "result is not a plain value", str(error)) from None
        if kind == REFUSED:
            raise self._stop("fail", "result is not a plain value", str(rest[0]))
        raise _exception(*map(str, rest))

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the program's; its name is the program's from now on."""
        self.names.add(name)

        def candidate(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, args, kwargs)

        candidate.__name__ = candidate.__qualname__ = name
        return candidate

    def _ask(self, calls: Sequence[Call]) -> None:
        """Send questions ahead, whose replies are waited for later."""
        try:
            questions = [[name, pack(args), pack(kwargs)] for name, args, kwargs in calls]
            texts = list(map(dump, questions))
        except ValueRefusedError:
            return  # the test that asks this one will say so
        nonces = [_nonce() for _ in questions]
        if questions:
            self._send(dump([[nonce, *q] for nonce, q in zip(nonces, questions)]))
        self._asked.extend(zip(texts, nonces))

    def _send(self, payload: bytes) -> None:
        try:
            self.channel.send(payload, deadline=self.deadline)
        except DeadlineError:
            raise self._stop("fail", "timeout") from None
        except ChannelClosedError:
            raise self._stop("fail", "program ends its process") from None

    def _receive(self) -> bytes:
        try:
            return self.channel.receive(deadline=self.deadline)
        except DeadlineError:
            raise self._stop("fail", "timeout") from None
        except ChannelClosedError:
            raise self._stop("fail", "program ends its process") from None
        except ChannelBrokenError as error:
            raise self._stop("fail", "result is too long", str(error)) from None

    def _reply(self, nonce: str) -> list[Any]:
        """Return the kind and content of the reply to the message with this nonce.

        Whoever answers must have read the question: what was written before it came is no answer.
        """
        try:
            reply = load(self._receive())
        except ValueRefusedError as error:
            raise self._stop("fail", "result is not a plain value", str(error)) from None
        sizes = {VALUE: 3, RAISED: 4, REFUSED: 3}
        if type(reply) is not list or len(reply) < 2 or reply[0] != nonce:
            raise self._stop("fail", "program writes to the channel")
        if type(reply[1]) is not int or len(reply) != sizes.get(reply[1]):
            raise self._stop("fail", "program writes to the channel")
        return reply[1:]

    def _stop(self, outcome: str, reason: str, message: str = "") -> OverError:
        self.over = OverError(outcome, reason, message)
        return self.over


def _exception(name: str, message: str) -> Exception:
    kind = _EXCEPTIONS.get(name, RuntimeError)
    try:
        return kind(message)
    except TypeError:  # some demand more than a message
        return ValueError(message) if issubclass(kind, ValueError) else RuntimeError(message)


def _nonce() -> str:
    return os.urandom(8).hex()
