"""What an engine or a reviser has asked and been answered, kept until it is done, so that nothing is paid for twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from attrs import frozen

from orbiter import jsonl
from orbiter.convert import structure
from orbiter.errors import LedgerError, RecordError
from orbiter.generate.policy import (
    Completion,
    Policy,
    Request,
    Sampling,
    Spending,
    WrappingPolicy,
    ask,
    ask_all,
)
from orbiter.records import content_hash


@frozen
class Exchange:
    """A line of the file.

    Args:
        key: A hash of who was asked, what, and how.
        completion: The answer.
    """

    key: str
    completion: Completion


class Exchanges:
    """Asks policies for who uses their answers, and knows what they have answered before, in this process or in one that was killed.

    Each batch is in the file when its answers are used. It is not synced: what a killed process has written is there, what a machine that
    lost its power had not yet written is asked for again, and so is what failed. When all is done, what came of it is written down
    elsewhere, and :meth:`forget` removes the file.

    Args:
        path: The file; None to remember in memory alone.

    Attributes:
        spent: What all the answers took, each of them once.
        reused: What those took that were given again: in an engine that asks for nothing twice, what an earlier process was answered.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.spent = self.reused = Spending()
        self._known: dict[str, Completion] = {}
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._recall(self._file)

    def _recall(self, file: BinaryIO) -> None:
        """Take in what is there; what a killed writer left of a line, or a lost machine of a page, is not known."""
        file.seek(0)
        data = file.read()
        whole = data.rfind(b"\n") + 1
        file.truncate(whole)
        for line in data[:whole].splitlines():
            try:
                self._note(structure(jsonl.loads(line), Exchange))
            except RecordError:
                continue

    def _note(self, exchange: Exchange) -> None:
        self._known[exchange.key] = exchange.completion
        self.spent += Spending.of([exchange.completion])

    async def ask(
        self, policy: Policy, requests: Sequence[Request], sampling: Sampling
    ) -> list[Completion]:
        """Return what a policy answers, and ask it only for what is not known."""
        return await ask_all(self.remembering(policy), requests, sampling)

    def remembering(self, policy: Policy) -> Policy:
        """Return a policy that is asked only for what is not known, under the name of the one that answers."""
        return _Remembering(policy, self)

    async def answers(
        self, policy: Policy, requests: Sequence[Request], sampling: Sampling
    ) -> list[Completion]:
        """Return the answers to one batch: what is known, and what a policy says to the rest."""
        who = (policy.name, policy.model)
        keys = [content_hash([*who, sampling, request]) for request in requests]
        missing = [n for n, key in enumerate(keys) if key not in self._known]
        fresh = await ask(policy, [requests[n] for n in missing], sampling) if missing else ()
        found = dict(zip(missing, fresh))
        self._keep([Exchange(keys[n], answer) for n, answer in found.items()])
        known = {n: self._known[key] for n, key in enumerate(keys) if n not in found}
        self.reused += Spending.of(known.values())
        return [found[n] if n in found else known[n] for n in range(len(keys))]

    def _keep(self, exchanges: Sequence[Exchange]) -> None:
        kept = [one for one in exchanges if one.completion.error is None]
        if self._file is not None and kept:
            try:
                self._file.write(b"".join(jsonl.dumps(one) + b"\n" for one in kept))
                self._file.flush()
            except OSError as error:
                raise LedgerError(
                    f"{self.path} cannot be written: {error.strerror or error}",
                    hint="free disk space or raise the limit, then run again: it goes on from there",
                ) from error
        for one in kept:
            self._note(one)
        self.spent += Spending.of(
            one.completion for one in exchanges if one.completion.error is not None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            # What is still to be written is what could not be, and that was said.
            with suppress(OSError):
                self._file.close()

    def forget(self) -> None:
        """Remove the file."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class _Remembering(WrappingPolicy):
    """A policy that is asked only for what is not known."""

    def __init__(self, policy: Policy, exchanges: Exchanges) -> None:
        super().__init__(policy)
        self._exchanges = exchanges

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request, once."""
        return await self._exchanges.answers(self.policy, requests, sampling)
