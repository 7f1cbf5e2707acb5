"""A recipe as a YAML file.

Unknown keys are errors with a suggestion and the line in the file. ``${inputs.name}`` stands for a value of the section
``inputs``, which is how a recipe takes paths from the command line. Dotted overrides replace single fields:
``orbiter run recipe.yaml rounds=3 policy.temperature=0.8``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml

from orbiter.convert import show, structure, unstructure
from orbiter.errors import ConfigError, OrbiterWarning, RecordError, did_you_mean
from orbiter.flywheel.recipe import Recipe
from orbiter.flywheel.sections import Train
from orbiter.plain_yaml import read_plain_yaml

SCALE = "scale"
"""The section of a recipe file that says what changes for a real model."""

_SHARED = ("generate", "curate", "train", "gates")
"""The sections whose fields a stage takes over where it leaves them out."""


START = (
    "environment",
    "verifier",
    "audit_verifier",
    "model",
    "policy",
    "teach",
    "evaluate",
    "seed",
)
"""The sections that say where a run begins and how it is measured, and not what it does."""


def load_recipe(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    scale: bool = False,
    start: str | Path | None = None,
) -> Recipe:
    """Read a recipe file and apply dotted overrides.

    Args:
        path: YAML file.
        overrides: Texts like ``policy.temperature=0.8``; the value is read as YAML.
        scale: Lay the file's section ``scale`` over the rest first: fields replace fields, and a section with a ``name`` or an ``id`` the
            whole section.
        start: Another recipe file, whose start takes the place of this one's: the sections of :data:`START`.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or an override is malformed.
        RecordError: A field is unknown, missing or wrong; names the file, the line and the field.
    """
    path = Path(path)
    root, data = _read(path)
    if start is not None:
        _, other = _read(Path(start))
        data = {key: value for key, value in data.items() if key not in START}
        folder = Path(start).parent.resolve()
        data |= {key: _placed(other[key], folder) for key in START if key in other}
    try:
        overlay = data.pop(SCALE, None)
        if scale:
            data = _laid_over(data, _mapping(overlay, SCALE, hint=_NO_SCALE))
        declared = data.get("inputs")
        known = set(declared) if isinstance(declared, dict) else set()
        known.update(_INPUT.findall(str(data)))
        changed = [_override(data, item) for item in overrides]
        known.update(_INPUT.findall(str(data)))  # an override may put an input in
        _check_inputs(changed, known)
        _complete_stages(data)
        _tell_without_effect(data, changed)
    except RecordError as error:
        raise error.at(str(path), _line_of(root, error.field or "")) from None
    try:
        return structure(_fill(data, data.get("inputs") or {}, path=str(path)), Recipe)
    except RecordError as error:
        place = error.field or ""
        within = place.rpartition(".")[0]
        line, section = _line_of(root, place), _line_of(root, within)
        around = _line_of(root, within.rpartition(".")[0])
        given = next(
            (
                c
                for c in changed
                if place == c
                or place.startswith((c + ".", c + "["))
                # The override made it, or the section that it is in.
                or (line == section and c.startswith(f"{place}."))
                or (section == around and c.startswith(f"{within}."))
            ),
            None,
        )
        if given:
            raise error.at(f"override {given!r}") from None
        raise error.at(str(path), line) from None


def _read(path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    """Return the YAML nodes of a recipe file and its plain data."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"recipe {str(path)!r} does not exist", hint="give the path of a recipe file (YAML)"
        ) from None
    except OSError as error:
        raise ConfigError(f"recipe {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"recipe {str(path)!r} must be UTF-8, got the byte 0x{error.object[error.start]:02x} "
            f"at offset {error.start}",
            hint="convert the file to UTF-8",
        ) from None
    try:
        root, data = read_plain_yaml(text)
    except RecordError as error:
        raise error.at(str(path), error.line) from None
    if not isinstance(data, dict):
        raise RecordError(f"must be a mapping of fields, got {show(data)}", source=str(path))
    return root, data


def _placed(value: Any, folder: Path) -> Any:
    """Return plain data whose parts by file name their files wherever the recipe is that takes them over."""
    if isinstance(value, dict):
        return {key: _placed(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    by_file = (
        isinstance(value, str) and ".py:" in value and (folder / value.rpartition(":")[0]).is_file()
    )
    return str(folder / value) if by_file else value


_NO_SCALE = "the recipe says there what changes for a real model; this one has no such section"


def _mapping(value: Any, place: str, *, hint: str | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(
            f"must be a mapping of fields, got {show(value)}",
            field=place,
            hint=hint,
        )
    return value


def _laid_over(below: Any, above: Any) -> Any:
    """Return plain data with other plain data laid over it."""
    if not isinstance(below, dict) or not isinstance(above, dict) or above.keys() & {"name", "id"}:
        return above
    return below | {key: _laid_over(below.get(key), value) for key, value in above.items()}


def _complete_stages(data: dict[str, Any]) -> None:
    """Give every stage the fields that it leaves to the recipe's own sections, and the recipe the sum of the rounds."""
    if not data.get("stages"):
        return
    stages = _mapping(data["stages"], "stages")
    for name, stage in stages.items():
        stage = _mapping(stage, f"stages.{name}")
        for section in _SHARED:
            own, shared = stage.get(section), data.get(section)
            # A stage samples and trains only if it says so; what is kept and when to stop is always asked.
            asked = own is not None or (section in ("curate", "gates") and section not in stage)
            if not asked or not isinstance(shared, dict):
                continue
            given = {} if own is None else _mapping(own, f"stages.{name}.{section}")
            algorithm = shared.get("algorithm", attrs.fields(Train).algorithm.default)
            if given.get("algorithm", algorithm) != algorithm:
                shared = {key: value for key, value in shared.items() if key != "options"}
            stage[section] = shared | given
    if "rounds" not in data:
        counts = [stage.get("rounds", 1) for stage in stages.values()]
        if all(type(count) is int for count in counts):
            data["rounds"] = sum(counts)


def _tell_without_effect(data: Mapping[str, Any], changed: Iterable[str]) -> None:
    """Warn of overrides of what stages share that every stage says itself, or has another algorithm for."""
    for key in changed:
        section, *path = key.split(".")
        if section not in ("generate", "train") or not path or not data.get("stages"):
            continue
        own = {name: stage.get(section) for name, stage in data["stages"].items()}
        own = {name: given for name, given in own.items() if isinstance(given, dict)}
        if section == "generate" and len(own) < len(data["stages"]):
            continue  # a stage that samples by an engine may go by it
        if own and _at(data[section], path) not in [_at(given, path) for given in own.values()]:
            places = ", ".join(f"stages.{name}.{key}" for name in own)
            warnings.warn(
                f"override {key!r} has no effect, since stages say it themselves: {places}",
                OrbiterWarning,
                stacklevel=3,
            )


def _at(value: Any, path: Iterable[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _override(data: dict[str, Any], item: str) -> str:
    """Set one dotted field in the plain data and return its path."""
    key, sign, text = item.partition("=")
    if not sign or not key or not all(key.split(".")):
        raise ConfigError(
            f"override must look like field=value, got {item!r}",
            hint="example: rounds=3 policy.temperature=0.8",
        )
    try:
        _, value = read_plain_yaml(text)
    except RecordError as error:
        raise ConfigError(
            f"value of override {show(item)} {error.problem}", hint=error.hint
        ) from None
    *parents, last = key.split(".")
    at = data
    for name in parents:
        if at.get(name) is None:
            at[name] = {}
        if not isinstance(at[name], dict):
            raise ConfigError(f"override {item!r} goes into {name!r}, which is not a section")
        at = at[name]
    at[last] = value
    return key


def _check_inputs(changed: Iterable[str], known: Collection[str]) -> None:
    """Refuse to set an input that the recipe does not have: it would change nothing."""
    for key in changed:
        section, _, name = key.partition(".")
        if section == "inputs" and name and name.partition(".")[0] not in known:
            raise RecordError(
                f"is no input of the recipe{did_you_mean(name, known)}",
                field=key,
                hint=f"inputs: {', '.join(sorted(known)) or 'none'}; --scale may bring others",
            )


_INPUT = re.compile(r"\$\{inputs\.([\w-]+)\}")


def _fill(value: Any, inputs: Mapping[str, Any], *, path: str) -> Any:
    """Replace ``${inputs.name}`` everywhere; a text that is nothing else takes the value's own type."""
    if isinstance(value, dict):
        return {k: _fill(v, inputs, path=path) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, inputs, path=path) for v in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> Any:
        name = match[1]
        if not isinstance(inputs, Mapping) or inputs.get(name) is None:
            raise RecordError(
                "must be given",
                field=f"inputs.{name}",
                hint=f"add inputs.{name}=... to the command line",
            )
        return inputs[name]

    whole = _INPUT.fullmatch(value)
    return lookup(whole) if whole else _INPUT.sub(lambda m: str(lookup(m)), value)


def _line_of(node: yaml.Node | None, field_path: str) -> int | None:
    """Return the line of a field, or of its nearest section that exists, counted from 1."""
    line: int | None = None
    for step in re.findall(r"[^.\[\]]+", field_path):
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def dump_recipe(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML: every field, defaults included, so that a later default changes nothing."""
    return yaml.safe_dump(_whole(recipe), sort_keys=False, allow_unicode=True, width=100)


def _whole(value: Any) -> Any:
    if attrs.has(type(value)):
        row = {
            a.name: _whole(getattr(value, a.name))
            for a in attrs.fields(type(value))
            if a.name != "extra"
        }
        return row | _whole(dict(getattr(value, "extra", {})))
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return unstructure(value)
