"""Nano models: real Hugging Face model folders of 0.1 to 2 million parameters, made locally from a seed."""

from __future__ import annotations

import json
import os
import shutil
import string
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.errors import ConfigError, did_you_mean
from orbiter_trl.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# Not qwen2: for that model type transformers 5 rebuilds a byte-level tokenizer and drops the space of ours.
ARCHITECTURES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
}
"""Architecture name to its config and model class in transformers."""

PRINTABLE = "".join(sorted(string.printable[:95])) + "\n"
"""Printable ASCII and the newline: the default alphabet."""

_PAD, _END, _UNK = "<|pad|>", "<|end|>", "<|unk|>"
_SPEAKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

CHAT_TEMPLATE = (
    "{%- if tools -%}{{- '<|system|>' + (tools | tojson) + '<|end|>' -}}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}"
    "{{- message['content'] or '' -}}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{%- set function = call['function'] or call -%}"
    "{{- '[' if loop.first else ', ' -}}"
    "{{- '{\"name\": ' + (function['name'] | tojson) + ', \"arguments\": ' + (function['arguments'] | tojson) + '}' -}}"
    "{{- ']' if loop.last -}}"
    "{%- endfor -%}"
    "{{- '<|end|>' -}}"
    "{%- endgeneration -%}"
    "{%- else -%}"
    "{%- set role = 'system' if message['role'] == 'developer' else message['role'] -%}"
    "{{- '<|' + role + '|>' + (message['content'] or '') + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""One special token opens a turn, ``<|end|>`` closes it; the assistant's words and their end carry the loss."""

_CALLS = r"\[\{\"name\": .*\}\]"
RESPONSE_SCHEMA = {
    "type": "object",
    "properties": {
        "role": {"const": "assistant"},
        "content": {"type": "string", "x-regex": rf"^(.*?)(?:{_CALLS})?(?:<\|end\|>)?$"},
        "tool_calls": {
            "type": "array",
            "x-regex": rf"({_CALLS})(?:<\|end\|>)?$",
            "x-parser": "json",
            "x-parser-args": {"transform": "[].{type: 'function', function: @}"},
            "items": {
                "type": "object",
                "required": ["function"],
                "properties": {
                    "type": {"const": "function"},
                    "function": {
                        "type": "object",
                        "required": ["name", "arguments"],
                        "properties": {
                            "name": {"type": "string"},
                            "arguments": {"type": "object", "additionalProperties": {}},
                        },
                    },
                },
            },
        },
    },
}
"""How an answer is read: words, then calls of tools as one JSON list of names and arguments."""

RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open_pattern": r"(?=\[\{\"name\": \"[^\"]*\", \"arguments\": \{.*\}\}\](?:<\|end\|>)?$)",
            "close_pattern": r"<\|end\|>$|$",
            "content": "json",
            "transform_each": True,
            "transform": {
                "type": "function",
                "function": {"name": "{name}", "arguments": "{arguments}"},
            },
        },
        "content": {"close": "<|end|>", "content": "text", "content_args": {"strip": False}},
    },
}
"""The same for transformers 5.13 and later, which knows no schemas."""


def make_nano_model(
    path: str | Path,
    *,
    arch: str = "llama",
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 4,
    chars: Iterable[str] = PRINTABLE,
    max_length: int = 512,
    seed: int = 0,
) -> Path:
    """Make a small causal language model with random weights and a character tokenizer, and return its folder.

    The folder appears complete or not at all, and the same arguments give the same bytes. A folder that was made with
    the same arguments is returned as it is. ``AutoModelForCausalLM`` and ``AutoTokenizer`` load it without a network.

        make_nano_model("nano", chars="0123456789sort :")   # 84 thousand parameters

    Args:
        path: Folder to make.
        arch: ``llama`` or ``qwen3``.
        hidden_size: Width; a multiple of 2 * heads. The feed-forward width is twice that.
        layers: Number of layers.
        heads: Attention heads.
        chars: Characters that the model reads and writes, one token each; any other becomes ``<|unk|>``.
        max_length: Longest context in tokens.
        seed: Seed of the weights.

    Raises:
        ConfigError: An argument cannot be used, or ``path`` holds something else.
    """
    path = Path(path)
    alphabet = sorted(set(chars))
    _check(
        arch=arch,
        hidden_size=hidden_size,
        layers=layers,
        heads=heads,
        chars=alphabet,
        max_length=max_length,
    )
    made_with = {
        "arch": arch,
        "hidden_size": hidden_size,
        "layers": layers,
        "heads": heads,
        "chars": "".join(alphabet),
        "max_length": max_length,
        "seed": seed,
    }
    if path.exists():
        return _reuse(path, made_with)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with quiet():
            tokenizer = _make_tokenizer(alphabet, max_length)
            model = _make_model(tokenizer, arch, hidden_size, layers, heads, max_length, seed)
            tokenizer.save_pretrained(draft)
            model.save_pretrained(draft)
        (draft / "nano.json").write_text(json.dumps(made_with, indent=1) + "\n", encoding="utf-8")
        draft.chmod(0o755)
        os.rename(draft, path)
    except OSError:
        # Another process may have made the same model meanwhile.
        if not path.exists():
            raise
        return _reuse(path, made_with)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path


def _check(
    *, arch: str, hidden_size: int, layers: int, heads: int, chars: list[str], max_length: int
) -> None:
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            f"arch must be one of {known}, got {arch!r}{did_you_mean(str(arch), ARCHITECTURES)}"
        )
    for name, value in (("layers", layers), ("heads", heads), ("max_length", max_length)):
        if value < 1:
            raise ConfigError(f"{name} must be >= 1, got {value!r}")
    if hidden_size < 1 or hidden_size % (2 * heads):
        # Rotary embeddings turn pairs of numbers, so the width of a head must be even.
        raise ConfigError(
            f"hidden_size must be a multiple of 2 * heads = {2 * heads}, got {hidden_size!r}"
        )
    if not chars:
        raise ConfigError("chars must hold at least one character, got none")
    for char in chars:
        if not isinstance(char, str) or len(char) != 1:
            raise ConfigError(f"chars must be single characters, got {char!r}")


def _reuse(path: Path, made_with: dict[str, object]) -> Path:
    try:
        found = json.loads((path / "nano.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != made_with:
        raise ConfigError(
            f"path must be new or a nano model of the same arguments, got {str(path)!r}",
            hint="delete the folder, or choose another path",
        )
    return path


def _make_tokenizer(alphabet: list[str], max_length: int) -> PreTrainedTokenizerFast:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [_PAD, _END, _UNK, *_SPEAKERS, *alphabet]
    core = Tokenizer(
        models.WordLevel(vocab={word: i for i, word in enumerate(words)}, unk_token=_UNK)
    )
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=_PAD,
        eos_token=_END,
        unk_token=_UNK,
        additional_special_tokens=list(_SPEAKERS),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    # Each version of transformers saves the one that it knows.
    tokenizer.response_schema, tokenizer.response_template = RESPONSE_SCHEMA, RESPONSE_TEMPLATE
    return tokenizer


def _make_model(
    tokenizer: PreTrainedTokenizerFast,
    arch: str,
    hidden_size: int,
    layers: int,
    heads: int,
    max_length: int,
    seed: int,
) -> PreTrainedModel:
    import torch
    import transformers

    config_name, model_name = ARCHITECTURES[arch]
    more = {"head_dim": hidden_size // heads} if arch == "qwen3" else {}
    config = getattr(transformers, config_name)(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(transformers, model_name)(config)
