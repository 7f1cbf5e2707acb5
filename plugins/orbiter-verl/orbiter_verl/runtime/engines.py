"""verl's FSDP engines on the CPU, and its critic without flash-attn: what verl/workers/engine/fsdp registers for accelerators alone."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead


class _OnCpu:
    """Mixed into an engine: builds the module without pinned memory, which needs an accelerator."""

    engine_config: Any

    def _build_fsdp_module(self, module: Any) -> Any:
        config = self.engine_config
        # The reference model, which is forward_only, would be offloaded to pinned memory.
        before = {name: getattr(config, name) for name in ("forward_only", "offload_policy")}
        try:
            for name in before:
                object.__setattr__(config, name, False)
            return super()._build_fsdp_module(module)  # type: ignore[misc]
        finally:
            for name, value in before.items():
                object.__setattr__(config, name, value)


class _AnyAttention:
    """Mixed into a critic's engine: verl.utils.model.load_valuehead_model would insist on flash-attn."""

    engine_config: Any
    model_config: Any

    def _build_module(self) -> Any:
        from transformers import AutoModelForTokenClassification
        from verl.utils.torch_dtypes import PrecisionType

        model = self.model_config
        config = model.hf_config
        config.num_labels = 1
        # verl's own settings for a value model: what it says must not depend on dropout.
        config.classifier_dropout, config.hidden_dropout, config.summary_dropout_prob = (
            0.0,
            "0",
            0.0,
        )
        torch.manual_seed(self.engine_config.seed)  # the head is new
        module = AutoModelForTokenClassification.from_pretrained(
            model.local_path,
            dtype=PrecisionType.to_dtype(self.engine_config.model_dtype or torch.float32),
            config=config,
            attn_implementation=model.override_config.get("attn_implementation", "sdpa"),
            trust_remote_code=model.trust_remote_code,
        )
        if model.enable_gradient_checkpointing:
            module.gradient_checkpointing_enable({"use_reentrant": False})
        return module


@EngineRegistry.register(model_type="language_model", backend=["fsdp2"], device="cpu")
class CpuPolicyEngine(_OnCpu, FSDPEngineWithLMHead):
    """The policy and the reference model on the CPU."""


@EngineRegistry.register(model_type="value_model", backend=["fsdp2"], device="cpu")
class CpuCriticEngine(_OnCpu, _AnyAttention, FSDPEngineWithValueHead):
    """The critic on the CPU."""


if importlib.util.find_spec("flash_attn") is None:

    @EngineRegistry.register(
        model_type="value_model", backend=["fsdp", "fsdp2"], device="cuda", vendor="nvidia"
    )
    class CudaCriticEngine(_AnyAttention, FSDPEngineWithValueHead):
        """The critic on a GPU, without flash-attn; a registration with a vendor wins over verl's."""
