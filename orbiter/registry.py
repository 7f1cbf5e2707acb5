"""Names: (kind, name) to a class, or to a ``module:attr`` string that is imported on first use.

The full name is ``owner/name``: the distribution without its ``orbiter-`` prefix, then the name. The bare name is an
alias while only one owner provides it; with two, asking for the bare name is an error that lists both.
A ``file.py:Class`` is accepted wherever a name is.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.errors import (
    ConfigError,
    MissingPluginError,
    NameClashError,
    OrbiterError,
    PluginLoadError,
    UnknownNameError,
    UserCodeError,
    did_you_mean,
)

KINDS = (
    "environment",
    "verifier",
    "policy",
    "synthesiser",
    "strategy",
    "evolution",
    "trainer",
    "backend",
    "exporter",
    "model",
    "reward",
)
"""The kinds of things that have names."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")

KNOWN_PLUGINS: Mapping[tuple[str, str], str] = {
    ("backend", "trl"): "orbiter-trl",
    ("backend", "verl"): "orbiter-verl",
    ("policy", "transformers"): "orbiter-trl",
    ("environment", "openspiel"): "orbiter-openspiel",
    ("synthesiser", "selfplay"): "orbiter-openspiel",
    ("verifier", "math"): "orbiter-math",
    ("verifier", "gsm8k"): "orbiter-math",
}
"""First-party plugins by what they add, so that a missing one is named with its install line."""


@frozen
class Entry:
    """One registered name."""

    kind: str
    name: str
    owner: str
    target: Any

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    def load(self) -> Any:
        """Return the object, importing it if it is a ``module:attr`` string."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attr = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attr)
        except ImportError as error:
            raise PluginLoadError(
                f"{self.kind} {self.full_name!r} cannot be imported from {self.target!r}: {error}",
                hint="install what it needs, or correct the target that the plugin registers",
            ) from error
        except AttributeError:
            raise PluginLoadError(
                f"{self.kind} {self.full_name!r} points to {self.target!r}, but {module} has no {attr!r}"
            ) from None


class Registry:
    """All names that are known, by kind. Plugins receive it in ``orbiter_register``."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._owner = "user"
        self._broken: dict[str, str] = {}

    def add(self, kind: str, name: str, target: Any) -> None:
        """Register a name.

        Args:
            kind: One of :data:`KINDS`.
            name: Lower-case letters, digits, ``_``, ``.`` and ``-``.
            target: A class or function, or ``"module:attr"``, imported on first use.

        Raises:
            ConfigError: The kind or the name is malformed.
            NameClashError: This owner has registered the name already.
        """
        if kind not in KINDS:
            raise ConfigError(
                f"kind must be one of {', '.join(KINDS)}, got {kind!r}{did_you_mean(kind, KINDS)}"
            )
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"name of a {kind} must be lower-case letters, digits, '_', '.' and '-', got {name!r}"
            )
        if isinstance(target, str) and not re.fullmatch(r"[\w.]+:\w+", target):
            raise ConfigError(
                f"target of {kind} {name!r} must look like 'module:attr', got {target!r}"
            )
        key = (kind, self._owner, name)
        if key in self._entries:
            raise NameClashError(
                f"{kind} {self._owner}/{name} is registered twice: "
                f"as {self._entries[key].target!r} and as {target!r}"
            )
        self._entries[key] = Entry(kind, name, self._owner, target)

    @contextmanager
    def owned_by(self, owner: str) -> Iterator[None]:
        """Attribute the names added inside the block to ``owner``; take them back if it raises."""
        before, previous = dict(self._entries), self._owner
        self._owner = owner
        try:
            yield
        except BaseException:
            self._entries = before
            raise
        finally:
            self._owner = previous

    def mark_broken(self, plugin: str, reason: str) -> None:
        """Remember a plugin that failed to load, so that later errors can name it."""
        self._broken[plugin] = reason

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return the entries of one kind, or all, in order of kind and full name."""
        chosen = [e for e in self._entries.values() if kind is None or e.kind == kind]
        return sorted(chosen, key=lambda e: (e.kind, e.full_name))

    def find(self, kind: str, name: str) -> Entry:
        """Return the entry for a bare or full name.

        Raises:
            UnknownNameError: Nothing has that name; suggests the nearest, and names plugins that failed to load.
            NameClashError: A bare name has several owners.
        """
        entries = self.entries(kind)
        found = [e for e in entries if name in (e.name, e.full_name)]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(e.full_name for e in found)
            raise NameClashError(
                f"{kind} {name!r} has {len(found)} providers: {owners}", hint="use a full name"
            )
        raise self._unknown(kind, name, entries)

    def _unknown(self, kind: str, name: str, entries: list[Entry]) -> OrbiterError:
        known = [e.name for e in entries]
        broken = "".join(f"; plugin {p!r} failed to load: {why}" for p, why in self._broken.items())
        if dist := KNOWN_PLUGINS.get((kind, name)):
            return MissingPluginError(
                f"{kind} {name!r} needs the plugin {dist}, which is not loaded{broken}",
                hint=f"pip install {dist}",
            )
        return UnknownNameError(
            f"unknown {kind} {name!r}{did_you_mean(name, known)}{broken}",
            hint=f"known: {', '.join(known) or 'none'}; or give a file.py:Class",
        )

    def get(self, kind: str, name: str, *, base_dir: Path | None = None) -> Any:
        """Return the class or function behind a name, or behind ``file.py:Class`` (relative to ``base_dir``)."""
        if ".py:" in name:
            return load_from_file(name, base_dir=base_dir)
        return self.find(kind, name).load()

    def create(
        self,
        kind: str,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        base_dir: Path | None = None,
    ) -> Any:
        """Make an instance of a named class.

        Args:
            kind: One of :data:`KINDS`.
            name: Bare name, full name, or ``file.py:Class``.
            options: Keyword arguments of its constructor.
            base_dir: Folder that a ``file.py`` is relative to; default: the current one.

        Raises:
            ConfigError: An option is unknown or missing.
            UserCodeError: The constructor raised.
        """
        factory = self.get(kind, name, base_dir=base_dir)
        options = dict(options or {})
        check_options(factory, options, what=f"{kind} {name!r}")
        try:
            return factory(**options)
        except OrbiterError:
            raise
        except Exception as error:
            raise UserCodeError(
                f"{kind} {name!r} cannot be made: {type(error).__name__}: {error}",
                hint=f"its options were {options!r}",
            ) from error


def check_options(factory: Any, options: Mapping[str, Any], *, what: str) -> None:
    """Raise ConfigError unless ``options`` fit the signature of ``factory``."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [n for n, p in parameters.items() if p.kind is not p.VAR_POSITIONAL]
    for key in options:
        if key not in known:
            raise ConfigError(
                f"{what} has no option {key!r}{did_you_mean(key, known)}",
                hint=f"known: {', '.join(known) or 'none'}",
            )
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and key not in options:
            raise ConfigError(f"{what} needs the option {key!r}")


def load_from_file(spec: str, *, base_dir: Path | None = None) -> Any:
    """Return the object that ``path/to/file.py:Name`` points to.

    Raises:
        ConfigError: There is no such file, or no such name in it.
        UserCodeError: The file raised while it was imported.
    """
    file, _, attr = spec.rpartition(":")
    path = (base_dir or Path()) / file
    if not path.is_file():
        raise ConfigError(f"file {str(path)!r} of {spec!r} does not exist")
    path = path.resolve()
    # One file is one module, under a name of its own, so that its classes are the same ones on a second look-up.
    module_name = "orbiter_user_" + re.sub(r"\W", "_", str(path))
    module = sys.modules.get(module_name)
    if module is None:
        module_spec = importlib.util.spec_from_file_location(module_name, path)
        if module_spec is None or module_spec.loader is None:
            raise ConfigError(f"file {str(path)!r} cannot be imported")
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[module_name] = module
        try:
            module_spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise UserCodeError(
                f"{path} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    if not hasattr(module, attr):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"{path} has no {attr!r}{did_you_mean(attr, names)}")
    return getattr(module, attr)
