"""The engine: one vLLM engine and the model's tokenizer, from requests to completions."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.chat_template import answer_message, render, turn_end_id
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter_vllm import process
from orbiter_vllm.checkpoint import check_weights
from orbiter_vllm.scoring import (
    answer_ids,
    sampled_logprobs,
    scoring_arguments,
    told_logp,
)
from orbiter_vllm.settings import EngineSettings, sampling_arguments

CPU_CACHE_BYTES = 4 * 2**30
"""Memory for keys and values on a CPU, where vLLM's default is nearly all of the machine's: the loop needs some, too."""


class Engine:
    """A model that is ready to answer.

    Args:
        settings: What it is made with.
        logprobs: Keep the log-probability of each token.
        template_kwargs: Passed to the chat template.

    Raises:
        ConfigError: The model's files do not fit each other, or the engine is to sleep and cannot.
        PolicyError: vLLM cannot serve the model, or the tokenizer has no chat template.
    """

    def __init__(
        self, settings: EngineSettings, *, logprobs: bool, template_kwargs: Mapping[str, Any]
    ) -> None:
        self.settings = settings
        self._logprobs, self._template_kwargs = logprobs, template_kwargs
        self._vllm = process.import_vllm()
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        self._refusals = (ValueError, VLLMClientError)
        self._final, self._prompt = RequestOutputKind.FINAL_ONLY, tokens_input
        self._tokenizer = _open_tokenizer(settings)
        end = turn_end_id(self._tokenizer)
        self._end_ids = () if end is None else (end,)
        self._adapters: dict[str, Any] = {}
        self._calls = 0
        self._asleep = False
        self._llm: Any = None
        check_weights(settings.model)
        arguments = _for_this_machine(settings)
        process.RUNNING.add(self)
        try:
            with process.undisturbed():
                self._llm = self._vllm.LLM(**arguments)
        except Exception as error:  # of vLLM, of torch, of CUDA
            self._give_up()
            raise PolicyError(
                f"vLLM cannot serve {settings.model!r}: {_told(error)}",
                hint="orbiter doctor says what is missing; see the options of the policy and engine",
            ) from error

    @property
    def closed(self) -> bool:
        """Whether it cannot be used again: it was closed, it failed, or another engine of this process closed."""
        return self._llm is None

    def use(self, settings: EngineSettings) -> bool:
        """Go over to other adapters; return False if that needs another engine."""
        mine = self.settings
        if (settings.model, settings.adapter_rank) != (mine.model, mine.adapter_rank):
            return False
        self.settings = settings
        return True

    def answer(
        self, requests: Sequence[Request], sampling: Sampling, cancelled: threading.Event
    ) -> list[Completion]:
        """Answer each request once, in their order; what is cancelled has no answer.

        Raises:
            PolicyError: The engine failed.
        """
        self._calls += 1
        completions: dict[str, Completion] = {}
        prompts: dict[str, tuple[Request, list[int]]] = {}
        with self._at_work() as engine:
            for index, (request, ids) in enumerate(
                zip(requests, render(self._tokenizer, requests, self._template_kwargs))
            ):
                name = f"{self._calls}-{index}"
                refusal = self._add(engine, name, request, ids, sampling)
                if refusal is None:
                    prompts[name] = request, ids
                else:
                    completions[name] = Completion.failed(refusal)
            while engine.has_unfinished_requests():
                if cancelled.is_set():
                    engine.abort_request([name for name in prompts if name not in completions])
                    break
                for output in engine.step():
                    if output.finished:
                        name = output.request_id
                        completions[name] = self._completion(
                            output.outputs[0], *prompts[name], sampling.stop
                        )
        lost = Completion.failed("vLLM gave no answer")
        return [completions.get(f"{self._calls}-{index}", lost) for index in range(len(requests))]

    def logps(
        self, answered: Sequence[tuple[Request, Completion]], cancelled: threading.Event
    ) -> list[float]:
        """Return the log-probability in nats of each answer after its prompt, at temperature 1, and of its end if it ended.

        The answer is tokenised from its text, which may part it otherwise than it was sampled.

        Raises:
            PolicyError: A prompt cannot be rendered, or is too long with its answer, or the engine failed.
        """
        end_id = next(iter(self._end_ids), self._tokenizer.eos_token_id)
        self._calls += 1
        prompts = render(self._tokenizer, [request for request, _ in answered], self._template_kwargs)  # fmt: skip
        found = dict.fromkeys((f"{self._calls}-{n}" for n in range(len(answered))), 0.0)
        sent: dict[str, tuple[list[int], list[int]]] = {}
        for name, prompt, (_, completion) in zip(found, prompts, answered):
            if isinstance(prompt, str):
                raise PolicyError(prompt)
            ids = answer_ids(self._tokenizer, completion, end_id)
            if ids:
                sent[name] = prompt, ids
                # Here, where it costs no engine.
                if refusal := self._refusal("prompt and answer", [*prompt, *ids], room=0):
                    raise PolicyError(refusal)
        with self._at_work() as engine:
            for name, (prompt, ids) in sent.items():
                engine.add_request(
                    name,
                    self._prompt([*prompt, *ids[:-1]]),
                    self._vllm.SamplingParams(**scoring_arguments(ids[-1]), output_kind=self._final),
                    lora_request=self._adapter(),
                )  # fmt: skip
            while engine.has_unfinished_requests():
                if cancelled.is_set():
                    engine.abort_request(list(sent))
                    break
                for output in engine.step():
                    if output.finished:
                        found[output.request_id] = told_logp(output, sent[output.request_id][0])
        return list(found.values())

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[Any]:
        """Give vLLM's engine, awake and with an empty cache; if it fails, close it and say so."""
        try:
            with process.random_states_kept():
                self._wake()
                # What an earlier call left in the cache changes how prompts are read, and so the last bits of what follows.
                self._llm.llm_engine.reset_prefix_cache()
                yield self._llm.llm_engine
        except Exception as error:  # of vLLM, of torch, of CUDA
            self._give_up()
            adapter = self.settings.adapter
            where = "" if adapter is None else f" with the adapters in {adapter!r}"
            raise PolicyError(f"vLLM failed{where}: {_told(error)}") from error

    def _add(
        self, engine: Any, name: str, request: Request, ids: list[int] | str, sampling: Sampling
    ) -> str | None:
        """Give a request to the engine, or return why it cannot be answered."""
        if isinstance(ids, str):
            return ids
        if refusal := self._refusal("prompt", ids, room=1):
            return refusal
        arguments = sampling_arguments(
            sampling,
            seed=request.seed,
            limit=min(sampling.max_new_tokens, engine.model_config.max_model_len - len(ids)),
            end_ids=self._end_ids,
            logprobs=self._logprobs,
        )
        try:
            engine.add_request(
                name,
                self._prompt(ids),
                self._vllm.SamplingParams(**arguments, output_kind=self._final),
                lora_request=self._adapter(),
            )
        except self._refusals as error:
            return f"vLLM refused the prompt: {' '.join(str(error).split())}"[:300]
        return None

    def _refusal(self, what: str, ids: list[int], *, room: int) -> str | None:
        """Return why the model cannot read these tokens and write so many more; None if it can."""
        config = self._llm.llm_engine.model_config
        context, known = config.max_model_len, config.get_vocab_size()
        if len(ids) + room > context:
            return f"{what} too long: {len(ids)} tokens, and the model's context holds {context}"
        if max(ids) >= known:  # vLLM would read such a token as nothing, and answer
            return f"{what} has token {max(ids)}, and the model knows {known}: its tokenizer is another model's"
        return None

    def _adapter(self) -> Any:
        """Return vLLM's name of the adapters to answer with, or None."""
        path = self.settings.adapter
        if path is None:
            return None
        if path not in self._adapters:
            from vllm.lora.request import LoRARequest

            number = len(self._adapters) + 1
            self._adapters[path] = LoRARequest(f"adapter-{number}", number, path)
        return self._adapters[path]

    def _completion(
        self, output: Any, request: Request, prompt: list[int], stops: Sequence[str]
    ) -> Completion:
        """Return what an answer of vLLM is."""
        if output.finish_reason not in ("stop", "length"):
            return Completion.failed(f"vLLM gave the answer up: {output.finish_reason}")
        ids = list(output.token_ids)
        stopped = isinstance(output.stop_reason, str)
        words = ids[:-1] if output.finish_reason == "stop" and not stopped else ids
        # Not vLLM's text, which begins where the prompt ends: with a space that the tokenizer's own words do not have.
        text = self._tokenizer.decode(words, skip_special_tokens=True)
        cut = min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
        if stopped and cut is None:
            text = output.text
        metadata = {}
        if self._logprobs and output.logprobs is not None:
            metadata["logprobs"] = sampled_logprobs(ids, output.logprobs)
        message = answer_message(
            self._tokenizer,
            words,
            text[:cut],
            prompt=prompt,
            tools=request.tools,
        )
        return Completion(
            messages=(message,),
            finish_reason=output.finish_reason,
            token_count=len(ids),
            prompt_token_count=len(prompt),
            metadata=metadata,
        )

    def sleep(self) -> None:
        """Leave the GPU's memory to others; the weights wait in main memory."""
        if self.settings.sleep and not self._asleep and not self.closed:
            self._llm.sleep(level=1)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def close(self) -> None:
        """Free what the engine holds, and all other engines of this process with it: vLLM takes down what they share.

        A policy whose engine was closed so starts another at its next call.
        """
        from vllm.distributed import cleanup_dist_env_and_memory

        while process.RUNNING:
            engine = process.RUNNING.pop()
            llm, engine._llm = engine._llm, None
            if llm is not None:
                llm.llm_engine.engine_core.shutdown()
            del llm
        gc.collect()
        cleanup_dist_env_and_memory()

    def _give_up(self) -> None:
        """Close after a failure, whose own error is the one to tell."""
        with contextlib.suppress(Exception):
            self.close()


def _for_this_machine(settings: EngineSettings) -> dict[str, Any]:
    """Return the arguments of vLLM's ``LLM`` here.

    Raises:
        ConfigError: What was asked for cannot be had here.
    """
    from vllm.platforms import current_platform

    arguments = settings.engine_arguments()
    if settings.sleep and not current_platform.is_sleep_mode_available():
        raise ConfigError(
            f"sleep_when_idle must be false here: vLLM cannot sleep on the device {current_platform.device_type!r}",
            hint="the option engine.kv_cache_memory_bytes bounds the memory that the engine keeps",
        )
    if process.RUNNING and (settings.sleep or any(e.settings.sleep for e in process.RUNNING)):
        raise ConfigError(
            "sleep_when_idle must be false where several policies have engines in one process: all of them would fall asleep"
        )
    if current_platform.is_cpu():
        # A prompt that is read in parts rewinds its random stream, and torch's on a CPU cannot be rewound: the engine would fail.
        arguments.setdefault("enable_chunked_prefill", False)
        bounded = {"gpu_memory_utilization", "kv_cache_memory_bytes"} & set(arguments)
        if not bounded and not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            arguments["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
    return arguments


def _told(error: Exception) -> str:
    """Return what an error says, on one line."""
    faults = error.errors() if callable(getattr(error, "errors", None)) else ()  # pydantic's
    said = "; ".join(str(fault["msg"]) for fault in faults) or str(error) or "it does not say why"
    return f"{type(error).__name__}: {' '.join(said.split())}"[:500]


def _open_tokenizer(settings: EngineSettings) -> Any:
    from transformers import AutoTokenizer

    local = Path(settings.model).is_dir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            settings.model, trust_remote_code=settings.trust_remote_code, local_files_only=local
        )
    except (OSError, ValueError) as error:
        raise PolicyError(
            f"tokenizer of {settings.model!r} cannot be loaded: {error}",
            hint="give a folder with config.json, safetensors weights and a tokenizer, or a hub id",
        ) from error
    if tokenizer.chat_template is None:
        raise PolicyError(f"tokenizer of {settings.model!r} must have a chat template, got none")
    return tokenizer
