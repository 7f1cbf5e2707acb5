"""The transformers policy: answers with a local Hugging Face model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.policy import Completion, Policy, Request, Sampling

if TYPE_CHECKING:
    from orbiter_trl.answering import Answerer

T = TypeVar("T")

DTYPES = ("auto", "float32", "bfloat16", "float16")


class TransformersPolicy(Policy):
    """Answers with a causal language model from a local folder or the Hugging Face hub.

    Decoding runs in a thread of the policy's own, so that verifiers work meanwhile; a cancelled call (Ctrl-C) ends within one
    token. Each request draws from the stream of its own seed, and temperature 0 is greedy. The same batch is answered
    the same; in another batch an answer can differ only where rounding decides between two tokens.

    An answer that ends leaves its slot to the next request of its batch (continuous batching), and where none waits, the steps
    grow smaller. With answers of uneven length a batch should be several times as large as its slots. Models whose cache cannot be handed
    on (:func:`orbiter_trl.slots.fits_slots`) are answered slots by slots, each time until the longest answer ends.

    Args:
        model: Folder or hub id; None to wait for :meth:`load`.
        batch_size: How many requests are taken at once; their answers are recorded together.
        slots: How many of them are decoded at once, which bounds memory; None is all of them.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        dtype: ``auto`` (as stored, but bfloat16 rather than float32 on a GPU that has it), ``float32``, ``bfloat16`` or ``float16``.
        threads: CPU threads of torch, for the whole process; None leaves torch's setting, except that a nano model gets 1.
        trust_remote_code: Run model code that comes with the model.
        chat_template_kwargs: Passed to the chat template, such as ``{"enable_thinking": False}``.
    """

    name = "transformers"
    concurrency = 2
    """One batch is decoded while the next waits, so that the decoding thread never waits for the caller."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        batch_size: int = 256,
        slots: int | None = None,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if model is not None and is_path(model) and not Path(model).is_dir():
            raise ConfigError(f"model must be a folder that exists or a hub id, got {str(model)!r}")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be >= 1, got {batch_size!r}")
        if slots is not None and slots < 1:
            raise ConfigError(f"slots must be >= 1 or None, got {slots!r}")
        if dtype not in DTYPES:
            raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be >= 1 or None, got {threads!r}")
        self.batch_size, self._slots = batch_size, slots
        self._model = None if model is None else str(model)
        self._device, self._dtype, self._threads = device, dtype, threads
        self._trust_remote_code = trust_remote_code
        self._template_kwargs = dict(chat_template_kwargs or {})
        self._answerer: Answerer | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._speed = Speed()

    @property
    def model(self) -> str | None:
        """The folder or hub id of the model that answers."""
        return self._model

    @property
    def speed(self) -> Speed:
        """What was generated so far, and how fast."""
        return self._speed

    def load(self, checkpoint: Path) -> None:
        """Answer with the model in this folder from now on; it is read at the next call."""
        if not (Path(checkpoint) / "config.json").is_file():
            raise ConfigError(
                f"checkpoint must be a model folder with a config.json, got {str(checkpoint)!r}"
            )
        self._model, self._answerer = str(checkpoint), None

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request once."""
        if not requests:
            return []
        cancelled = threading.Event()
        work = self._in_thread(self._complete, list(requests), sampling, cancelled)
        try:
            return await work
        finally:
            cancelled.set()

    async def logps(self, answered: Sequence[tuple[Request, Completion]]) -> list[float]:
        """Return the log-probability in nats of each answer after its prompt."""
        return await self._in_thread(lambda: self._ready().logps(answered))

    def _in_thread(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        if self._executor is None:
            # One thread, since one model answers one batch at a time.
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="transformers-policy")
        return asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    def _ready(self) -> Answerer:
        if self._answerer is None:
            self._answerer = self._open()
        return self._answerer

    def _complete(
        self, requests: list[Request], sampling: Sampling, cancelled: threading.Event
    ) -> list[Completion]:
        answerer = self._ready()
        start = time.perf_counter()
        completions = answerer.answer(requests, sampling, cancelled)
        tokens = sum(c.token_count for c in completions)
        self._speed = self._speed.plus(tokens, time.perf_counter() - start)
        return completions

    def _open(self) -> Answerer:
        if self._model is None:
            raise PolicyError(
                "policy 'transformers' has no model", hint="give it model=..., or load a checkpoint"
            )
        from orbiter_trl.answering import Answerer

        return Answerer.open(
            self._model,
            device=self._device,
            dtype=self._dtype,
            threads=self._threads,
            trust_remote_code=self._trust_remote_code,
            template_kwargs=self._template_kwargs,
            slots=self._slots,
        )

    async def aclose(self) -> None:
        """Release the model and its thread."""
        self._answerer = None
        if self._executor is not None:
            self._executor.shutdown(wait=True)
            self._executor = None


def is_path(model: str | Path) -> bool:
    """Return whether a model's name can only be a path: a hub id is ``name`` or ``owner/name``."""
    return isinstance(model, Path) or model.startswith((".", "/", "~")) or model.count("/") > 1


@frozen
class Speed:
    """How much a policy generated.

    Args:
        token_count: Generated tokens.
        seconds: Wall time of decoding.
    """

    token_count: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens per second of decoding; None before the first call."""
        return self.token_count / self.seconds if self.seconds else None

    def plus(self, token_count: int, seconds: float) -> Speed:
        """Return the sum."""
        return Speed(self.token_count + token_count, self.seconds + seconds)
