"""The doctor: what of the things that verl needs this machine has, one finding each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from orbiter.train.backend import Finding
from orbiter_verl.driver import has_gpu, hides_gpus

TESTED = {"verl": "0.9.1", "ray": "2.60.0"}
"""The versions that this plugin is tested with."""

UNDECLARED = ("TransferQueue", "cachetools", "fastapi", "uvicorn")
"""What verl's trainer imports and its package does not ask for."""

SAMPLERS = {"vllm": "0.24.0", "sglang": "0.5.12"}
"""What samples fast on a GPU, and the version that verl 0.9.1 is made for."""

SHM = "/dev/shm"  # noqa: S108
"""Where Ray keeps its objects."""

MEMORY_GB = 6
"""What Ray and verl's processes take before any model."""


def examine() -> list[Finding]:
    """Return what was found."""
    return [
        *_versions(),
        *_libraries(),
        _torch(),
        *_accelerated(),
        _memory(),
        _shared_memory(),
        *_environment(),
    ]


def _versions() -> Iterator[Finding]:
    for name, tested in TESTED.items():
        found = _version(name)
        if found is None:
            yield Finding(
                what=name, good=False, said="not installed", hint=f"pip install {name}=={tested}"
            )
        elif found != tested:
            hint = f"tested with {tested}; pip install {name}=={tested} if something fails"
            yield Finding(what=name, good=None, said=found, hint=hint)
        else:
            yield Finding(what=name, good=True, said=found)


def _libraries() -> Iterator[Finding]:
    """Look at what verl asks for, and at what it imports without asking."""
    from packaging.requirements import Requirement

    for name in UNDECLARED:
        if _version(name) is None:
            yield Finding(
                what=name,
                good=False,
                said="not installed, and verl imports it",
                hint=f"pip install {name}",
            )
    if _version("verl") is None:
        return
    asked = [Requirement(text) for text in metadata.requires("verl") or ()]
    plain = [one for one in asked if one.marker is None]
    for one in plain:
        found = _version(one.name)
        if found is None:
            yield Finding(
                what=one.name,
                good=False,
                said="not installed",
                hint=f"pip install '{one.name}{one.specifier}'",
            )
        elif found not in one.specifier and one.name in (
            "transformers",
            "tensordict",
            "numpy",
            "ray",
        ):
            yield Finding(
                what=one.name,
                good=None,
                said=f"{found}, and verl asks for {one.specifier}",
                hint=f"pip install '{one.name}{one.specifier}' if something fails",
            )


def _torch() -> Finding:
    found = _version("torch")
    if found is None:
        return Finding(what="torch", good=False, said="not installed", hint="pip install torch")
    if not has_gpu():
        said = f"none: verl runs on the CPU, for small models (torch {found})"
        return Finding(what="GPU", good=None, said=said)
    # Only here, since it takes longer than all the rest.
    import torch

    if torch.cuda.is_available():
        name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
        said = f"{count} x {name}, torch {found}, CUDA {torch.version.cuda}"
        return Finding(what="GPU", good=True, said=said)
    return Finding(
        what="GPU",
        good=False,
        said=f"there is one, and torch {found} does not see it",
        hint="install a torch with CUDA that fits the driver (nvidia-smi names its CUDA version)",
    )


def _accelerated() -> Iterator[Finding]:
    wanted = has_gpu()
    flash = _version("flash-attn")
    if flash is not None:
        yield Finding(what="flash-attn", good=True, said=flash)
    else:
        hint = "pip install flash-attn, for training on rows without padding" if wanted else ""
        yield Finding(
            what="flash-attn",
            good=None,
            said="not installed: attention is torch's own, rows are padded",
            hint=hint,
        )
    for name, made_for in SAMPLERS.items():
        found = _version(name)
        if found is None:
            hint = (
                f"pip install {name}=={made_for}, for fast sampling"
                if wanted and name == "vllm"
                else ""
            )
            yield Finding(
                what=name, good=None, said="not installed: the rollout is transformers", hint=hint
            )
        else:
            hint = "" if found == made_for else f"verl 0.9.1 is made for {made_for}"
            yield Finding(what=name, good=True if not hint else None, said=found, hint=hint)


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 2**30
    said = f"{free:.1f} GiB free"
    if free >= MEMORY_GB:
        return Finding(what="memory", good=True, said=said)
    return Finding(
        what="memory",
        good=False,
        said=said,
        hint=f"Ray and verl's processes take about {MEMORY_GB} GiB before any model; end other programs",
    )


def _shared_memory() -> Finding:
    if not Path(SHM).exists():
        return Finding(what=SHM, good=None, said="not there: Ray keeps its objects on disk")
    free = shutil.disk_usage(SHM).free / 2**20
    said = f"{free:.0f} MiB free"
    if free >= 256:
        return Finding(what=SHM, good=True, said=said)
    return Finding(
        what=SHM,
        good=False,
        said=said,
        hint="give a container more of it: docker run --shm-size=1g",
    )


def _environment() -> Iterator[Finding]:
    if address := os.environ.get("RAY_ADDRESS"):
        yield Finding(
            what="RAY_ADDRESS",
            good=None,
            said=f"is {address!r}, and a training starts a cluster of its own",
            hint=f"set the option ray_address to {address!r} to join that one",
        )
    if hides_gpus():
        yield Finding(
            what="CUDA_VISIBLE_DEVICES",
            good=None,
            said="hides every GPU: verl runs on the CPU",
            hint="unset it to use them",
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
