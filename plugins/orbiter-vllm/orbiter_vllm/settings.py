"""What an engine is made with, and what each request and answer are in vLLM's terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.generate.policy import Sampling

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""


@frozen(kw_only=True)
class EngineSettings:
    """What an engine is made with; None leaves vLLM's own default.

    Args:
        model: Folder or hub id.
        adapter: Folder of LoRA adapters, or None.
        adapter_rank: Largest rank of adapters that there is room for; 0 is none.
        trust_remote_code: Run model code that comes with the model.
        sleep: Whether the engine can be put to sleep.
        arguments: Further arguments of vLLM's ``LLM``.
    """

    model: str
    adapter: str | None = None
    adapter_rank: int = 0
    trust_remote_code: bool = False
    sleep: bool = False
    arguments: Mapping[str, Any] = field(factory=dict)

    def engine_arguments(self) -> dict[str, Any]:
        """Return the arguments of vLLM's ``LLM``."""
        chosen = {
            "model": self.model,
            # Every request brings the seed of its own draws; this one is for what vLLM might draw besides.
            "seed": 0,
            "trust_remote_code": self.trust_remote_code,
            **{name: value for name, value in self.arguments.items() if value is not None},
        }
        if self.sleep:
            chosen["enable_sleep_mode"] = True
        if self.adapter_rank:
            chosen |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": self.adapter_rank}
        return chosen

    def loading(self, folder: Path) -> EngineSettings:
        """Return the settings to answer with the checkpoint in ``folder``: a whole model, or LoRA adapters to the present one.

        Raises:
            ConfigError: The folder holds neither.
        """
        if (folder / "adapter_config.json").is_file():
            rank = max(self.adapter_rank, rank_of(folder))
            return attrs.evolve(self, adapter=str(folder), adapter_rank=rank)
        if (folder / "config.json").is_file():
            return attrs.evolve(self, model=str(folder), adapter=None, adapter_rank=0)
        raise ConfigError(
            "checkpoint must be a folder with a config.json (a model) or an adapter_config.json "
            f"(LoRA adapters), got {str(folder)!r}"
        )


def rank_of(adapter: Path) -> int:
    """Return the rank to make room for: the least of vLLM's that holds these adapters.

    Raises:
        ConfigError: The folder has no adapters, or their rank is more than vLLM holds.
    """
    try:
        rank = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"adapter must be a folder with an adapter_config.json that says its rank r, got {str(adapter)!r}: {error}"
        ) from error
    fitting = [room for room in LORA_RANKS if type(rank) is int and 1 <= rank <= room]
    if not fitting:
        raise ConfigError(
            f"{adapter / 'adapter_config.json'}: r must be between 1 and {LORA_RANKS[-1]}, got {rank!r}",
            hint="merge the adapters into the model, and give the merged folder",
        )
    return fitting[0]


def sampling_arguments(
    sampling: Sampling, *, seed: int, limit: int, end_ids: Sequence[int], logprobs: bool
) -> dict[str, Any]:
    """Return the arguments of vLLM's ``SamplingParams`` for one request.

    Args:
        sampling: How to sample.
        seed: Seed of the request.
        limit: Bound on the answer's tokens.
        end_ids: Tokens that end an answer, beside those that the model's own files name.
        logprobs: Ask for the log-probability of each token.
    """
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_tokens": limit,
        "seed": draw_seed(seed),
        "stop": list(sampling.stop) or None,
        "stop_token_ids": list(end_ids) or None,
        # 0 asks for the chosen token alone.
        "logprobs": 0 if logprobs else None,
        # Answers are read from their tokens when they are complete; vLLM need not follow them, unless for a stop text or the tokens' names.
        "detokenize": bool(sampling.stop) or logprobs,
    }


def draw_seed(seed: int) -> int:
    """Return a seed that torch takes, 63 bits, for one of any size."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8, person=b"orbiter-vllm").digest()
    return int.from_bytes(digest) >> 1
