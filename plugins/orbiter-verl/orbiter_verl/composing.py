"""Composing: verl's whole configuration, from its defaults, what a job says, and the user's overrides.

Needs hydra and verl's YAML files, and imports neither torch nor verl.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, MissingPluginError, did_you_mean
from orbiter_verl.keys import Reference, Request, keys_of

OWN = (
    "data.train_files", "data.val_files", "data.train_batch_size", "reward.reward_manager", "reward.custom_reward_function", "trainer.default_local_dir",
    "trainer.resume_mode", "trainer.resume_from_path", "trainer.logger", "trainer.save_freq", "trainer.total_epochs", "trainer.total_training_steps",
    "trainer.use_v1", "trainer.v1.trainer_mode", "trainer.v1.sampler", "trainer.n_gpus_per_node", "trainer.nnodes", "trainer.device",
    "algorithm.adv_estimator", "orbiter", "hydra",
)  # fmt: skip
"""Settings of verl that the backend must make itself, to keep its promises."""


def compose(request: Request) -> Any:
    """Return the configuration, an OmegaConf object.

    Raises:
        ConfigError: An override names no setting of verl, has a value that it cannot take, or is the backend's to make.
        MissingPluginError: verl is not installed.
    """
    try:
        import hydra
        from hydra.core.global_hydra import GlobalHydra
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
    except ImportError as error:
        raise MissingPluginError(
            f"backend 'verl' needs {error.name}", hint="pip install orbiter-verl"
        ) from None
    folder = config_folder()
    ours = [f"{key}={_literal(value)}" for key, value in keys_of(request).items()]
    engine = "megatron" if request.settings.strategy == "megatron" else "dp"
    wanted = request.settings.overrides
    for override in wanted:
        _check_own(override)

    def attempt(overrides: Sequence[str]) -> Any:
        with hydra.initialize_config_dir(str(folder), version_base=None):
            made = hydra.compose("ppo_trainer", [f"model_engine={engine}", *ours, *overrides])
            if any("${" in override for override in overrides):
                # What an interpolation raises that leads nowhere, it raises here.
                OmegaConf.to_container(made, resolve=True)
            return made

    GlobalHydra.instance().clear()
    try:
        return attempt(wanted)
    except (HydraException, OmegaConfBaseException) as error:
        if len(wanted) == 1:
            raise _explained(error, wanted[0], folder, engine) from error
        for override in wanted:
            try:
                attempt([override])
            except (HydraException, OmegaConfBaseException) as own:
                raise _explained(own, override, folder, engine) from own
        raise ConfigError(f"verl's configuration cannot be composed: {_one_line(error)}") from error
    finally:
        GlobalHydra.instance().clear()
        logging.getLogger("hydra").handlers.clear()


def config_folder() -> Path:
    """Return the folder of verl's YAML files."""
    found = importlib.util.find_spec("verl")
    if found is None or not found.submodule_search_locations:
        raise MissingPluginError(
            "backend 'verl' needs verl, which is not installed", hint="pip install orbiter-verl"
        )
    return Path(next(iter(found.submodule_search_locations))) / "trainer" / "config"


def _literal(value: Any) -> str:
    """Return a value in the grammar of hydra's overrides."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Reference):
        return f"${{{value.key}}}"
    if isinstance(value, str):
        # An interpolation would be looked up; backslashes escape only before it, before a quote and at the end.
        text = re.sub(r"(\\*)('|\$\{)", r"\1\1\\\2", value)
        tail = value[len(value.rstrip("\\")) :]
        return f"'{text}{tail}'"
    return repr(value)


def _key_of(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _check_own(override: str) -> None:
    key = _key_of(override)
    if not re.fullmatch(r"[+~]{0,2}[\w.@/]+(=.*)?", override, re.DOTALL):
        raise ConfigError(f"an override must look like 'key=value', got {override!r}")
    if any(key == own or key.startswith(f"{own}.") for own in OWN):
        raise ConfigError(
            f"override {key!r} must be left to the backend, got {override!r}",
            hint="it follows from the job: its config, options, data and output_dir",
        )
    if held := next((own for own in OWN if own.startswith(f"{key}.")), None):
        raise ConfigError(
            f"override {key!r} would replace {held!r}, which must be left to the backend, got {override!r}",
            hint=f"set what is in it one by one: {key}.name=value",
        )


def _explained(error: Exception, override: str, folder: Path, engine: str) -> ConfigError:
    """Return hydra's error about an override in the words of the house, with what may have been meant."""
    key, known = _key_of(override), _keys(folder, engine)
    if key in known or override.startswith("+") or "pars" in str(error).lower():
        return ConfigError(f"override {override!r} cannot be used: {_one_line(error)}")
    return ConfigError(
        f"unknown setting of verl {key!r}{did_you_mean(key, known)}",
        hint="a key that verl's files do not have is added with a + before it",
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@functools.cache
def _keys(folder: Path, engine: str) -> frozenset[str]:
    """Return each key of verl's configuration."""
    import hydra

    with hydra.initialize_config_dir(str(folder), version_base=None):
        plain = hydra.compose("ppo_trainer", overrides=[f"model_engine={engine}"])
    return frozenset(_walk(plain, ""))


def _walk(node: Any, prefix: str) -> Iterator[str]:
    from omegaconf import DictConfig

    for key in node:
        path, child = f"{prefix}{key}", node._get_node(key)
        yield path
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _walk(child, f"{path}.")
