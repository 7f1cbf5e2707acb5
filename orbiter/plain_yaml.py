"""YAML that is plain data: what JSON can say, and nothing that surprises.

Objects, lists, text, numbers, true, false and null, nested to a bounded depth. Dates are text, ``2e-3`` is a number, and what JSON
cannot hold is refused: other tags, keys that are not text or stand twice, numbers that are not finite, lone surrogates. An alias
may repeat a value, but a value may not contain itself, nor grow out of bounds by repetition.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from orbiter.convert import show
from orbiter.errors import RecordError

MAX_DEPTH = 64
"""Deepest nesting of objects and lists."""

MAX_SIZE = 100_000
"""Most values in a document, aliases written out."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float", "str")


class _Fault(yaml.MarkedYAMLError):
    """What is wrong with a document, at a node of it."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """Constructs plain data alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _Fault("expected a mapping", node)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _Fault(f"key {show(key)} must be text", key_node)
            if key in seen:
                raise _Fault(f"key {show(key)} stands here twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def refuse_tag(self, node: yaml.Node) -> Any:
        """Refuse what is tagged as anything but plain data."""
        raise _Fault(f"the tag {show(node.tag)} is not plain data", node)

    def construct_plain(self, node: yaml.ScalarNode) -> Any:
        """Construct a scalar, and refuse one that JSON cannot hold."""
        kind = node.tag.rpartition(":")[2]
        try:
            value = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")(self, node)
        except (ValueError, KeyError, IndexError):
            # What an explicit tag such as !!int promises and the text does not keep; or thousands of digits.
            raise _Fault(f"{show(node.value)} cannot be read as !!{kind}", node) from None
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise _Fault(f"an integer must have at most 64 bits, got {node.value[:60]}", node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _Fault(f"a number must be finite, got {node.value}", node)
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise _Fault("text must be whole characters, got half of a surrogate pair", node)
        return value


_Loader.yaml_constructors = {None: _Loader.refuse_tag}
for _kind in _SCALARS:
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.construct_plain)
for _kind in ("seq", "map"):
    _Loader.add_constructor(f"{_TAG}{_kind}", getattr(yaml.SafeLoader, f"construct_yaml_{_kind}"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) in _SCALARS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_plain_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a document, which know their lines, and its plain data.

    Raises:
        RecordError: It is no YAML, or more than plain data; names the line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_size(node, {}, depth=1)
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be read"
        raise RecordError(
            f"is not valid YAML: {problem}", line=mark.line + 1 if mark else None
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecordError(
            f"is not valid YAML: the character {chr(error.character)!a} is not allowed", line=line
        ) from None
    except RecursionError:
        raise _too_deep(None) from None


def _check_size(
    node: yaml.Node, known: dict[int, tuple[int, int] | None], *, depth: int
) -> tuple[int, int]:
    """Return how many values a node holds and how deep it is, aliases written out; in ``known``, None is under way."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise _Fault("a value must not contain itself", node)
    else:
        if depth > MAX_DEPTH:
            raise _too_deep(node.start_mark.line + 1)
        known[id(node)] = None
        parts = [_check_size(part, known, depth=depth + 1) for part in _parts(node)]
        found = (
            1 + sum(size for size, _ in parts),
            1 + max((height for _, height in parts), default=0),
        )
        known[id(node)] = found
    size, height = found
    if size > MAX_SIZE:
        raise _Fault(f"it must hold at most {MAX_SIZE} values, aliases written out", node)
    if depth + height > MAX_DEPTH + 1:
        raise _too_deep(node.start_mark.line + 1)
    return found


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """Return the nodes directly inside a node."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _too_deep(line: int | None) -> RecordError:
    return RecordError(f"must be nested at most {MAX_DEPTH} levels deep", line=line)
