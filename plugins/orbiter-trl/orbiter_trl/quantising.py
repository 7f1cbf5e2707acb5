"""Quantising: adapters on frozen weights of 4 or 8 bits (Dettmers et al. 2023, QLoRA), and what comes of them.

The adapters are not merged into the rounded weights but into those that they were rounded from.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.config import LoraConfig
from orbiter_trl.quiet import no_report

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_quantising(lora: LoraConfig | None) -> None:
    """Raise unless the machine has what quantised weights need.

    Raises:
        ConfigError: There is no CUDA device.
        MissingPluginError: bitsandbytes is not installed.
    """
    if lora is None or lora.bits is None:
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"lora.bits must be None on a machine without a CUDA device, got {lora.bits}",
            hint="leave it out: adapters on unquantised weights train on any machine",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingPluginError(
            f"lora.bits={lora.bits} needs bitsandbytes, which is not installed",
            hint="pip install bitsandbytes",
        )


def quantised(lora: LoraConfig | None, *, scoring: bool = False) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that quantise the weights; none where the adapters do not ask for it.

    Args:
        lora: The adapters.
        scoring: Whether the model has a head that scores, which is new, trained whole, and must not be rounded.
    """
    if lora is None or lora.bits is None:
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    whole = ["score", "classifier"] if scoring else None
    if lora.bits == 8:
        how = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    else:
        how = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=whole,  # of 4 bits too, despite its name
        )
    return {"quantization_config": how, "dtype": torch.bfloat16}


def merged_into_whole(adapted: Any, **how: Any) -> PreTrainedModel:
    """Return the model that the adapters were trained on, read again without rounding, with the adapters merged into it.

    Args:
        adapted: A PEFT model whose base knows the folder or hub id that it was read from.
        how: Arguments of ``from_pretrained``.
    """
    import torch
    from peft import PeftModel

    base = adapted.get_base_model()
    settings = base.config.to_dict()
    settings.pop("quantization_config", None)
    with tempfile.TemporaryDirectory() as folder, no_report():
        adapted.save_pretrained(folder)
        whole = type(base).from_pretrained(
            Path(base.config.name_or_path).as_posix(),
            config=type(base.config).from_dict(settings),
            dtype=torch.float32,
            use_safetensors=True,
            **how,
        )
        return PeftModel.from_pretrained(whole, folder).merge_and_unload()
