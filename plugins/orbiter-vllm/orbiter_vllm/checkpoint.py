"""What is looked at in a model's folder before vLLM reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError
from orbiter.train.model_checks import check_model_weights

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def check_weights(model: str) -> None:
    """Raise ConfigError if a folder's weights cannot be read, or have other sizes than its config.json says.

    vLLM cuts weights that are too large for the config, and answers with what is left. What is not looked at: a model on the hub, weights
    that are quantised or in other files than :data:`WEIGHTS`, and parameters that transformers names otherwise than the file.
    """
    folder = Path(model)
    if not any((folder / name).is_file() for name in WEIGHTS):
        return
    check_model_weights(model)
    expected = _shapes(model)
    for name, shape in _shapes_in_files(folder):
        if shape != expected.get(name, shape):
            raise ConfigError(
                f"model {model!r} must have the sizes of its config.json, which gives {name} {expected[name]}, and the weights have {shape}",
                hint="copy or save the model again, config and weights together",
            )


def _shapes(model: str) -> dict[str, list[int]]:
    """Return the shape of each parameter by the config; none where transformers does not know the model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config: Any = AutoConfig.from_pretrained(model, local_files_only=True)
        if getattr(config, "quantization_config", None) is not None:
            return {}
        with torch.device("meta"):
            parameters = AutoModelForCausalLM.from_config(config).state_dict()
    except Exception:  # whatever it is, vLLM may know better, and is asked next
        return {}
    return {name: list(tensor.shape) for name, tensor in parameters.items()}


def _shapes_in_files(folder: Path) -> list[tuple[str, list[int]]]:
    from safetensors import safe_open

    shapes = []
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            shapes += [(name, weights.get_slice(name).get_shape()) for name in weights.keys()]  # noqa: SIM118
    return shapes
