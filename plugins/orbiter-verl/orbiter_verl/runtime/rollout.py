"""A rollout for verl that answers with ``transformers``: for CPUs, and for GPUs without vLLM or SGLang.

One server per training process holds a copy of the policy, gets its weights after every step, and answers what waits in one batch.
A token is drawn by inverting the cumulative distribution at a number that belongs to the request alone, so that an answer does not
depend on who shares the batch, and the same seed gives the same answers.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import ray
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.device import get_device_name
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from orbiter_verl.runtime.drawing import Drawing, uniforms

GATHER_S = 0.02
"""How long a server waits for further requests before it answers those that are there."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Server:
    """Holds the policy and answers for one training process; an actor of Ray.

    Args:
        config: verl's, of the rollout.
        model_config: verl's, of the model.
        rank: Number of the replica.
        device: A name that torch knows.
    """

    def __init__(self, config: Any, model_config: Any, *, rank: int, device: str) -> None:
        self._config = omega_conf_to_dataclass(config)
        model_config = omega_conf_to_dataclass(model_config)
        self._tokenizer, self._rank = model_config.tokenizer, rank
        if device == "cpu":
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._model = AutoModelForCausalLM.from_config(
            model_config.hf_config, dtype=DTYPES[self._config.dtype]
        )
        self._model.to(device).eval()
        self._tensors = dict(self._model.state_dict(keep_vars=True))
        self._missing = {name for name, _ in self._model.named_parameters()}
        self._ends = _end_ids(model_config.generation_config, self._tokenizer)
        self._version, self._seen = 0, Counter[Any]()
        self._waiting: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def start(self) -> str:
        """Begin to answer, and return the address of the node."""
        self._task = asyncio.create_task(self._serve())
        return str(ray.util.get_node_ip_address())

    async def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over some of the policy's weights."""
        for name, weight in weights.items():
            name = name.removeprefix("_fsdp_wrapped_module.")
            if name not in self._tensors:
                raise KeyError(f"rollout model has no weight {name!r}")
            with torch.no_grad():
                self._tensors[name].copy_(weight)
            self._missing.discard(name)

    async def finish_weights(self, version: int | None) -> None:
        """Take note that the policy's weights of a step are all here."""
        if self._missing:
            raise RuntimeError(f"weights never came: {sorted(self._missing)[:5]}")
        self._version = self._version + 1 if version is None else version
        self._seen.clear()

    async def generate(
        self, prompt_ids: Sequence[int], sampling_params: Mapping[str, Any], **_: Any
    ) -> TokenOutput:
        """Answer one prompt."""
        prompt = tuple(int(token) for token in prompt_ids)
        config, want = self._config, sampling_params
        room = config.prompt_length + config.response_length - len(prompt)
        bound = (
            want.get("max_tokens")
            or want.get("max_new_tokens")
            or min(room, config.response_length)
        )
        how = (want.get("temperature", 1.0) or 0.0, want.get("top_p", 1.0), want.get("top_k", -1))
        # Whoever asks does not always say for which sample; then the order of asking tells alike requests apart.
        request = (prompt, want.get("sample", (self._rank,)))
        self._seen[request] += 1
        key = (config.seed, self._version, request, self._seen[request])
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((prompt, max(1, bound), how, key, answer))
        return await answer

    async def _serve(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHER_S)
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            by_sampling: dict[Any, list[tuple[Any, ...]]] = {}
            for item in batch:
                by_sampling.setdefault(item[2], []).append(item)
            size = self._config.max_num_seqs
            for items in by_sampling.values():
                for start in range(0, len(items), size):
                    await self._answer(items[start : start + size])

    async def _answer(self, items: Sequence[tuple[Any, ...]]) -> None:
        try:
            outputs = await asyncio.to_thread(self._generate, items)
        except Exception as error:  # goes to those who wait for it
            for *_, answer in items:
                if not answer.done():  # who asked may have been cancelled
                    answer.set_exception(error)
            return
        for (*_, answer), output in zip(items, outputs):
            if not answer.done():
                answer.set_result(output)

    @torch.inference_mode()
    def _generate(self, items: Sequence[tuple[Any, ...]]) -> list[TokenOutput]:
        prompts, limits, (how, *_), keys, _ = zip(*items)
        width, steps, device = max(map(len, prompts)), max(limits), self._model.device
        pad = self._tokenizer.pad_token_id
        pad = self._ends[0] if pad is None else pad
        ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        temperature, top_p, top_k = how
        drawing = Drawing(
            torch.stack([uniforms(key, steps) for key in keys]).to(device),
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            width=width,
        )
        out = self._model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=GenerationConfig(
                max_new_tokens=steps,
                do_sample=False,  # the drawing is done by the processor
                eos_token_id=None if self._config.ignore_eos else list(self._ends),
                pad_token_id=pad,
            ),
            logits_processor=LogitsProcessorList([drawing]),
        )
        logps = torch.stack(drawing.logps, dim=1).tolist()
        return [
            self._output(row[:limit], logp)
            for row, logp, limit in zip(out[:, width:].tolist(), logps, limits)
        ]

    def _output(self, tokens: list[int], logps: list[float]) -> TokenOutput:
        ends = () if self._config.ignore_eos else self._ends
        end = next((i for i, token in enumerate(tokens) if token in ends), None)
        count = len(tokens) if end is None else end + 1
        return TokenOutput(
            token_ids=tokens[:count],
            log_probs=logps[:count],
            stop_reason="length" if end is None else "completed",
            extra_fields={"global_steps": self._version},
        )

    # What an engine that gives memory back between rollouts would do; this one holds none.
    async def wake_up(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = wake_up
    abort_all_requests = resume_generation = start_profile = stop_profile = wake_up


def _end_ids(generation: GenerationConfig | None, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end an answer: the tokenizer's, and those of the generation config that the model came with."""
    found = None if generation is None else generation.eos_token_id
    more = found if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(t for t in (tokenizer.eos_token_id, *more) if t is not None))


class TransformersReplica(RolloutReplica):
    """Starts a server beside each training process."""

    async def launch_servers(self) -> None:
        """Start the server, on the node and the GPU of its training process."""
        node, devices = await self.workers[0].__ray_call__.remote(_where_it_runs)
        options: dict[str, Any] = {
            "name": _server_name(self.replica_rank),
            "max_concurrency": self.max_concurrency,
            "num_cpus": 0,
            "scheduling_strategy": ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                node_id=node, soft=False
            ),
        }
        device = "cpu" if get_device_name() == "cpu" else "cuda:0"
        if device != "cpu":
            # The actor asks Ray for no GPU of its own, since it shares the training process's.
            options["runtime_env"] = {
                "env_vars": {
                    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
                    "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices)),
                }
            }
        server = (
            ray.remote(Server)
            .options(**options)
            .remote(self.config, self.model_config, rank=self.replica_rank, device=device)
        )
        address = await server.start.remote()
        self.servers = [server]
        self._server_handle = server
        self._server_address = f"{address}:{_server_name(self.replica_rank)}"


def _where_it_runs(_: Any) -> tuple[str, list[str]]:
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_accelerator_ids().get("GPU", [])


def _server_name(rank: int) -> str:
    return f"orbiter_rollout_{rank}"


class WeightSender(BaseRollout):
    """Sends a training process's weights to its server; lives in the training process."""

    def __init__(
        self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1
    ) -> None:
        super().__init__(config, model_config, device_mesh)
        self._rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank

    async def resume(self, tags: list[str]) -> None:
        """Do nothing: the server keeps its memory."""

    async def release(self) -> None:
        """Do nothing: the server keeps its memory."""

    @torch.no_grad()
    async def update_weights(
        self,
        weights: Generator[tuple[str, torch.Tensor], None, None],
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        """Send the weights, a bucket at a time."""
        server = ray.get_actor(_server_name(self._rank))
        bound = self.config.checkpoint_engine.update_weights_bucket_megabytes << 20
        bucket: dict[str, torch.Tensor] = {}
        size = 0
        for name, weight in weights:
            if bucket and size + weight.nbytes > bound:
                await server.load_weights.remote(bucket)
                bucket, size = {}, 0
            bucket[name] = weight.detach().cpu().clone()
            size += weight.nbytes
        if bucket:
            await server.load_weights.remote(bucket)
        await server.finish_weights.remote(global_steps)
