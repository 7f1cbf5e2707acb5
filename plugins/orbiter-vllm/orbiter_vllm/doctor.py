"""The doctor: what of the things that the policy needs this machine has."""

from __future__ import annotations

import importlib.metadata

from orbiter.train.backend import Finding

WRITTEN_FOR = "0.33.0"
"""The version of vLLM whose interface the policy follows."""


def examine() -> list[Finding]:
    """Return what was found."""
    try:
        found = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        hint = "pip install 'orbiter-vllm[vllm]' where there is a GPU; the policies transformers and openai need none"
        return [Finding(what="vllm", good=False, said="not installed", hint=hint)]
    if found == WRITTEN_FOR:
        version = Finding(what="vllm", good=True, said=found)
    else:
        hint = f"written for {WRITTEN_FOR}; install that if something fails"
        version = Finding(what="vllm", good=None, said=found, hint=hint)
    return [version, _gpu()]


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(what="GPU", good=True, said=torch.cuda.get_device_name())
    hint = "vLLM's wheels are made for CUDA; use the policy transformers on a CPU"
    return Finding(what="GPU", good=False, said="none", hint=hint)
