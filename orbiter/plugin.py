"""The plugin manager: loads plugins on the first look-up, each alone, and calls observers safely.

``ORBITER_PLUGINS`` unset means all installed plugins, empty means none, ``a,b`` means only those. Built-ins arrive through
the same hook and are always there.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen

from orbiter import hookspecs
from orbiter.errors import ConfigError, PluginLoadError, PluginWarning, did_you_mean
from orbiter.records import Trajectory
from orbiter.registry import Entry, Registry

GROUP = "orbiter"
log = logging.getLogger("orbiter.plugin")


@frozen
class PluginInfo:
    """One plugin: where it comes from, what it adds, and why it did not load, if it did not.

    Args:
        name: Name of its entry point.
        dist: Distribution that brings it; empty if none that is installed does.
        version: Version of the distribution.
        entries: The names that it adds.
        hooks: The hooks that it answers beside that: what it watches or reads.
        error: Why it did not load, or None.
        enabled: Whether ``ORBITER_PLUGINS`` lets it load.
    """

    name: str
    dist: str
    version: str
    entries: tuple[Entry, ...] = ()
    hooks: tuple[str, ...] = ()
    error: str | None = None
    enabled: bool = True


class PluginManager:
    """Holds the registry and the observers of one process.

    Args:
        strict: Raise PluginLoadError for a broken plugin instead of warning and going on without it.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.registry = Registry()
        self.plugins: list[PluginInfo] = []
        self._strict = strict
        self._pm = pluggy.PluginManager("orbiter")
        self._pm.add_hookspecs(hookspecs)
        self._pm.hook.orbiter_register.call_historic(kwargs={"registry": self.registry})
        self._load_module("built-in", "orbiter.builtins", owner="orbiter", dist="orbiter-train")
        self._load_installed()

    @property
    def hook(self) -> Any:
        """The hooks, to be called with keyword arguments."""
        return self._pm.hook

    def register(self, plugin: Any, *, owner: str = "user") -> None:
        """Add a plugin object of one's own: any object with ``hookimpl`` functions."""
        with self.registry.owned_by(owner):
            self._pm.register(plugin)

    def unregister(self, plugin: Any) -> None:
        """Take the observers of a plugin object away again, if it still has them; its names stay."""
        if self._pm.is_registered(plugin):
            self._pm.unregister(plugin)

    def notify(self, hook: str, event: object) -> None:
        """Give ``event`` to every observer of ``hook``; one that raises is logged and switched off."""
        for implementation in reversed(getattr(self._pm.hook, hook).get_hookimpls()):
            try:
                implementation.function(event)
            except Exception as error:
                plugin = implementation.plugin
                self._pm.unregister(plugin)
                is_module = isinstance(plugin, ModuleType)
                name = implementation.plugin_name if is_module else type(plugin).__name__
                log.exception("observer %s of plugin %s raised", hook, name)
                warnings.warn(
                    f"plugin {name!r} is switched off: its {hook} raised "
                    f"{type(error).__name__}: {error}",
                    PluginWarning,
                    stacklevel=2,
                )

    def _load_installed(self) -> None:
        points = sorted(entry_points(group=GROUP), key=lambda p: (p.name, _dist_of(p)))
        chosen = os.environ.get("ORBITER_PLUGINS")
        wanted = None if chosen is None else [n.strip() for n in chosen.split(",") if n.strip()]
        names = [p.name for p in points]
        for name in wanted or ():
            if name not in names:
                why = f"no installed plugin has this name{did_you_mean(name, names)}"
                self._set_aside(name, why)
                self.plugins.append(PluginInfo(name, "", "", error=why))
        for point in points:
            dist, version = _dist_of(point)
            if wanted is not None and point.name not in wanted:
                self.plugins.append(PluginInfo(point.name, dist, version, enabled=False))
                continue
            self._load_module(
                point.name,
                point.value,
                owner=dist.removeprefix("orbiter-"),
                dist=dist,
                version=version,
            )

    def _load_module(
        self, name: str, target: str, *, owner: str, dist: str, version: str | None = None
    ) -> None:
        error: str | None = None
        module: Any = None
        hooks: tuple[str, ...] = ()
        try:
            module = EntryPoint(name, target, GROUP).load()
            with self.registry.owned_by(owner):
                self._pm.register(module, name=name)
                hooks = self._hooks_of(module)
        except BaseException as caught:
            if isinstance(caught, KeyboardInterrupt):
                raise
            if self._pm.get_plugin(name) is module:
                self._pm.unregister(name=name)
            error = " ".join(f"{type(caught).__name__}: {caught}".split())
            self._set_aside(name, error, cause=caught)
            hooks = ()
        entries = tuple(e for e in self.registry.entries() if e.owner == owner and error is None)
        self.plugins.append(
            PluginInfo(name, dist, version or _version(dist), entries, hooks, error)
        )

    def _hooks_of(self, plugin: Any) -> tuple[str, ...]:
        """Return the hooks that a plugin answers, but that which adds names.

        Raises:
            ConfigError: Nothing would ever call it, or it has a hook that does not exist.
        """
        callers = self._pm.get_hookcallers(plugin) or []
        known = [name for name in dir(hookspecs) if name.startswith("orbiter_")]
        for caller in callers:
            if not caller.has_spec():
                raise ConfigError(f"unknown hook {caller.name!r}{did_you_mean(caller.name, known)}")
        if not callers:
            raise ConfigError("none of its functions is marked with @orbiter.hookimpl")
        return tuple(sorted({c.name for c in callers} - {"orbiter_register"}))

    def _set_aside(self, name: str, why: str, *, cause: BaseException | None = None) -> None:
        if self._strict:
            raise PluginLoadError(f"plugin {name!r} failed to load: {why}") from cause
        self.registry.mark_broken(name, why)
        warnings.warn(f"plugin {name!r} failed to load: {why}", PluginWarning, stacklevel=2)


def _dist_of(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist is not None else (point.name, "?")


def _version(dist: str) -> str:
    try:
        return importlib.metadata.version(dist)
    except importlib.metadata.PackageNotFoundError:
        return "?"


@functools.cache
def plugin_manager() -> PluginManager:
    """Return the plugin manager of this process, made on first use."""
    return PluginManager()


def registry() -> Registry:
    """Return the registry of this process, with every plugin loaded."""
    return plugin_manager().registry


def load_records(source: str | Path) -> Iterator[Trajectory]:
    """Yield the trajectories behind a source: a JSONL file, or whatever a plugin knows how to read.

    Args:
        source: A path, or an address that a plugin's ``orbiter_load_records`` understands.

    Raises:
        ConfigError: It is no file, and no plugin reads it.
        RecordError: A row is malformed; names file, line and field.
    """
    # It needs numpy, which whoever only looks a name up should not wait for.
    from orbiter import jsonl

    if str(source).endswith(".jsonl") and Path(source).is_file():
        return jsonl.read(source, Trajectory)
    loaded = plugin_manager().hook.orbiter_load_records(source=str(source))
    if loaded is not None:
        return iter(loaded)
    if not Path(source).is_file():
        raise ConfigError(
            f"source must be a file or an address that a plugin reads, got {str(source)!r}"
        )
    return jsonl.read(source, Trajectory)
