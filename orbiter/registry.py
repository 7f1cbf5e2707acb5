"""Names: (kind, name) to a class, or to a ``module:attr`` string that is imported on first use.

The full name is ``owner/name``: the distribution without its ``orbiter-`` prefix, then the name. The bare name is an
alias while only one owner provides it; with two, asking for the bare name is an error that lists both.
A ``file.py:Class`` is accepted wherever a name is; inside the options of another component it is relative to the same folder.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.convert import show
from orbiter.errors import (
    ConfigError,
    MissingPluginError,
    NameClashError,
    OrbiterError,
    PluginLoadError,
    RecordError,
    UnknownNameError,
    UserCodeLoadError,
    did_you_mean,
)
from orbiter.user_file import load_from_file, looking_in

KINDS = (
    "environment",
    "verifier",
    "judge_model",
    "policy",
    "synthesiser",
    "strategy",
    "evolution",
    "trainer",
    "backend",
    "exporter",
    "model",
    "reward",
    "sandbox",
    "command",
)
"""The kinds of things that have names."""

CLASSES: Mapping[str, str] = {
    "environment": "orbiter.tasks.environment:Environment",
    "verifier": "orbiter.verify.verifier:Verifier",
    "judge_model": "orbiter.verify.judges.model:JudgeModel",
    "policy": "orbiter.generate.policy:Policy",
    "synthesiser": "orbiter.generate.synthesiser:DataSynthesiser",
    "strategy": "orbiter.train.dataset:TrajectoryStrategy",
    "evolution": "orbiter.flywheel.evolution:EvolutionStrategy",
    "trainer": "orbiter.train.trainer:Trainer",
    "backend": "orbiter.train.backend:Backend",
    "exporter": "orbiter.curate.export.exporter:Exporter",
    "sandbox": "orbiter.verify.sandbox:Sandbox",
    "command": "orbiter.cli.command:Command",
}
"""What a component of a kind must be an instance of; the other kinds are functions."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")

KNOWN_PLUGINS: Mapping[tuple[str, str], str] = {
    ("backend", "trl"): "orbiter-trl",
    ("backend", "verl"): "orbiter-verl",
    ("policy", "transformers"): "orbiter-trl",
    ("policy", "vllm"): "orbiter-vllm",
    ("model", "nano"): "orbiter-trl",
    ("verifier", "reward_model"): "orbiter-trl",
    ("verifier", "process_reward_model"): "orbiter-trl",
    ("environment", "openspiel"): "orbiter-openspiel",
    ("verifier", "game_move"): "orbiter-openspiel",
    ("synthesiser", "selfplay"): "orbiter-openspiel",
    ("synthesiser", "playout"): "orbiter-openspiel",
    ("verifier", "gsm8k"): "orbiter-math",
    ("verifier", "math"): "orbiter-math",
    ("verifier", "choice"): "orbiter-math",
    ("verifier", "steps"): "orbiter-math",
    ("verifier", "code"): "orbiter-code",
    ("sandbox", "zygote"): "orbiter-code",
    ("sandbox", "namespaces"): "orbiter-code",
    ("sandbox", "bubblewrap"): "orbiter-code",
    ("judge_model", "openai"): "orbiter-judge",
    ("judge_model", "policy"): "orbiter-judge",
    ("environment", "liveweb"): "orbiter-liveweb",
    ("verifier", "liveweb"): "orbiter-liveweb",
    ("synthesiser", "liveweb"): "orbiter-liveweb",
    ("command", "liveweb"): "orbiter-liveweb",
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
        name, _, attr = self.target.partition(":")
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise PluginLoadError(
                f"{self.kind} {self.full_name!r} cannot be imported from {self.target!r}: "
                f"{type(error).__name__}: {error}",
                hint="install what it needs, or correct the target that the plugin registers",
            ) from error
        try:
            return getattr(module, attr)
        except AttributeError:
            raise PluginLoadError(
                f"{self.kind} {self.full_name!r} points to {self.target!r}, but {name} has no {attr!r}"
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
        """Return the class or function behind a name, or behind ``file.py:Class`` (relative to ``base_dir``).

        Raises:
            UnknownNameError: Nothing has that name.
            NameClashError: A bare name has several owners.
            ConfigError: There is no such file, or no such name in it.
            UserCodeLoadError: The file raised while it was imported.
        """
        if ".py:" in name:
            return load_from_file(name, base_dir=base_dir)
        return self.find(kind, name).load()

    def check(
        self,
        kind: str,
        name: str,
        options: Mapping[str, Any],
        *,
        base_dir: Path | None = None,
        beside: Sequence[str] = (),
    ) -> Any:
        """Return the class or function behind a name if it can take the options; make nothing yet.

        The arguments are those of :meth:`create`.

        Raises:
            ConfigError: An option is unknown or missing, or the class is of another kind.
        """
        what = f"{kind} {name!r}"
        factory = self.get(kind, name, base_dir=base_dir)
        _check_factory(factory, _class_of(kind), what=what)
        check_options(factory, options, what=what, beside=beside)
        return factory

    def create(
        self,
        kind: str,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        base_dir: Path | None = None,
        beside: Sequence[str] = (),
    ) -> Any:
        """Make an instance of a named class.

        Args:
            kind: One of :data:`KINDS`.
            name: Bare name, full name, or ``file.py:Class``.
            options: Keyword arguments of its constructor.
            base_dir: Folder that a ``file.py`` is relative to, here and in the options; default: that of the component
                which is being made, or else the current one.
            beside: Fields that stand beside the options where these were written, to be named when an option is unknown.

        Raises:
            ConfigError: An option is unknown or missing, or what is made is of another kind.
            UserCodeLoadError: The constructor raised.
        """
        what, cls, options = f"{kind} {name!r}", _class_of(kind), dict(options or {})
        with looking_in(base_dir):
            factory = self.check(kind, name, options, beside=beside)
            try:
                made = factory(**options)
            except RecordError:  # it names the file and the line
                raise
            except OrbiterError as error:
                raise error.within(what)  # noqa: B904  # the same error
            except Exception as error:
                raise UserCodeLoadError(
                    f"{what} cannot be made: {type(error).__name__}: {error}",
                    hint=f"its options were {show(options)}",
                ) from error
        _check_made(made, cls, what=what)
        return made


def _class_of(kind: str) -> type | None:
    """Return the class of a kind's components, imported now, since its room stands to the right of this one."""
    if kind not in CLASSES:
        return None
    module, _, attr = CLASSES[kind].partition(":")
    cls: type = getattr(importlib.import_module(module), attr)
    return cls


def _check_factory(factory: Any, cls: type | None, *, what: str) -> None:
    """Refuse, before anything is made, what cannot make a ``cls``."""
    if not callable(factory):
        raise ConfigError(f"{what} must be a class or a function, got {show(factory)}")
    if cls is None or not isinstance(factory, type):
        return
    if not issubclass(factory, cls):
        raise _not_a(cls, f"the class {factory.__name__}", what=what)
    if inspect.isabstract(factory):
        missing = ", ".join(sorted(getattr(factory, "__abstractmethods__", ())))
        raise ConfigError(
            f"{what} must define {missing}, got the class {factory.__name__} without",
            hint="it is abstract: only a class with all its methods can be used",
        )


def _check_made(made: Any, cls: type | None, *, what: str) -> None:
    if cls is None:
        return
    if not isinstance(made, cls):
        raise _not_a(cls, show(made), what=what)
    if "name" in inspect.get_annotations(cls) and not isinstance(getattr(made, "name", None), str):
        raise ConfigError(
            f"{what} must have a name, got {show(getattr(made, 'name', None))}",
            hint=f"add the line  name = ...  to the class {type(made).__name__}",
        )


def _not_a(cls: type, got: str, *, what: str) -> ConfigError:
    article = "an" if cls.__name__[0] in "AEIOU" else "a"
    return ConfigError(
        f"{what} must be {article} {cls.__name__}, got {got}",
        hint=f"derive the class from {cls.__module__}.{cls.__name__}",
    )


def check_options(
    factory: Any, options: Mapping[str, Any], *, what: str, beside: Sequence[str] = ()
) -> None:
    """Raise ConfigError unless ``options`` fit the signature of ``factory``."""
    parameters = parameters_of(factory)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [n for n, p in parameters.items() if p.kind is not p.VAR_POSITIONAL]
    for key in options:
        if key not in known:
            names = [*beside, *known]
            raise ConfigError(
                f"{what} has no option {key!r}{did_you_mean(key, names)}",
                hint=f"known: {', '.join(names) or 'none'}",
            )
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and key not in options:
            raise ConfigError(
                f"{what} needs the option {key!r}", hint=f"its options: {', '.join(known)}"
            )


def parameters_of(factory: Any) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of a class or function, or None if it does not tell."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None
