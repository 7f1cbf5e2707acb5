"""Merging: adapters into the weights that they adapt, since verl saves the two side by side."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from orbiter.errors import BackendError
from orbiter.train.config import LoraConfig

BASE, ADAPTER = ".base_layer", ".lora_{}.default.weight"


def merge_adapters(source: Path, draft: Path, lora: LoraConfig) -> None:
    """Write the model of a folder with its adapters merged: W + (alpha / rank) B A (Hu et al. 2021, eq. 3).

    Args:
        source: verl's, with weights named as peft names them.
        draft: Gets the model, its config and its tokenizer.
        lora: What was trained.

    Raises:
        BackendError: The weights are not named so, or are not those of the model.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    found: dict[str, torch.Tensor] = {}
    for file in sorted(source.glob("*.safetensors")):
        found |= load_file(file)
    found = {name.removeprefix("base_model.model."): value for name, value in found.items()}
    merged = {}
    for name, value in found.items():
        if ".lora_" in name:
            continue
        stem, adapted, kind = name.rpartition(f"{BASE}.")
        if adapted and kind == "weight":
            try:
                down, up = (found[stem + ADAPTER.format(part)] for part in "AB")
            except KeyError as error:
                raise BackendError(
                    f"{source} must hold the adapters of {stem}, and lacks {error}"
                ) from None
            change = up.double() @ down.double() * (lora.alpha / lora.rank)
            merged[f"{stem}.weight"] = (value.double() + change).to(value.dtype)
        else:
            merged[f"{stem}.{kind}" if adapted else name] = value  # a bias is not adapted
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source))
    model.to(next(iter(merged.values())).dtype)
    missing, unexpected = model.load_state_dict(merged, strict=False)
    # Weights that are tied are stored once.
    lost = set(missing) - set(model.all_tied_weights_keys)
    if lost or unexpected:
        raise BackendError(
            f"{source} must hold the weights of its model, got others: {sorted(lost | set(unexpected))[:5]}"
        )
    for file in source.iterdir():
        if (
            file.is_file()
            and file.suffix in (".json", ".jinja", ".model", ".txt", ".py")
            and not file.name.endswith(".index.json")
        ):
            shutil.copy2(file, draft)
    with _without_progress_bars():
        model.save_pretrained(draft)


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
