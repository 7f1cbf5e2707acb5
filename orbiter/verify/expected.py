"""Expected tool calls, and how calls that were made are matched to them."""

from __future__ import annotations

import collections
import functools
import itertools
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from orbiter.checks import is_number
from orbiter.errors import RecordError
from orbiter.verify.calls import Call
from orbiter.verify.schema import fits

_OF_ONE_ARGUMENT = (
    "properties",
    "patternProperties",
    "additionalProperties",
    "$defs",
    "definitions",
)

Normalise = Callable[[str], str]
"""Takes from a text the differences that do not count."""


@frozen(kw_only=True)
class ExpectedCall:
    """A call that should be made; in a task, this is plain data:

        {"name": "weather", "accepted": {"city": ["Paris", "Paris, France"]}, "optional": ["unit"], "arguments": {"unit": "C"}}

    Args:
        name: The tool.
        arguments: Arguments by name, each with the one value that is right.
        accepted: Arguments by name, each with a list of values of which any is right.
        optional: Those of the above that may be left out; given, they must be right.
    """

    name: str
    arguments: Mapping[str, Any] = field(factory=dict)
    accepted: Mapping[str, tuple[Any, ...]] = field(factory=dict)
    optional: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        for name, values in self.accepted.items():
            if name in self.arguments or not values:
                raise RecordError(
                    "must hold at least one value, of an argument that 'arguments' does not name",
                    field=f"accepted.{name}",
                )
        for name in self.optional:
            if name not in self.values:
                raise RecordError(
                    f"must name arguments that have a value, got {name!r}", field="optional"
                )

    @property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """Right values by argument."""
        return {name: (value,) for name, value in self.arguments.items()} | dict(self.accepted)

    def check_against(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise RecordError if no call that fits the tools' schemas could be this one."""
        if self.name not in schemas:
            raise RecordError(f"must be a tool of the task, got {self.name!r}", field="name")
        # What the schema says of each argument, but not of several together: an expected call may name only some.
        part = {key: item for key, item in schemas[self.name].items() if key in _OF_ONE_ARGUMENT}
        for name, values in self.values.items():
            for value in values:
                if not fits({name: value}, part):
                    raise RecordError(
                        f"must fit the tool's schema, got {value!r}", field=f"{self.name}.{name}"
                    )

    def matches(
        self,
        call: Call,
        schema: Mapping[str, Any],
        *,
        exactly: bool,
        normalise: Normalise = lambda text: text,
    ) -> bool:
        """Return whether a call is this one.

        An argument that is left out counts as given with the default that the schema names for it.

        Args:
            call: A call that fits the schema.
            schema: Of the tool's arguments.
            exactly: No argument may be given beside the expected ones, unless at its default.
            normalise: Applied to every text in arguments before it is compared.
        """
        if call.name != self.name:
            return False
        default = {
            name: one["default"]
            for name, one in schema.get("properties", {}).items()
            if isinstance(one, Mapping) and "default" in one
        }
        given, wanted = default | dict(call.arguments), self.values
        for name, values in wanted.items():
            if name not in call.arguments and name in self.optional:
                continue
            if name not in given or not any(same(given[name], v, normalise) for v in values):
                return False
        return not exactly or all(
            name in wanted or (name in default and same(value, default[name], normalise))
            for name, value in call.arguments.items()
        )


def same(a: object, b: object, normalise: Normalise = lambda text: text) -> bool:
    """Return whether two JSON values are equal; unlike Python, 1 and true are not. Equal text may be composed differently."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b and is_number(a)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k], normalise) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y, normalise) for x, y in zip(a, b))
    if isinstance(a, str) and isinstance(b, str):
        return a == b or normalise(_composed(a)) == normalise(_composed(b))
    return a is None and b is None


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def assigned(needs: int, offers: int, fit: Callable[[int, int], bool]) -> list[int] | None:
    """Return for each need an offer of its own that fits, or None if that cannot be.

    A bipartite matching by augmenting paths, each found breadth-first (Kuhn 1955).
    """
    if needs > offers:
        return None
    fit = functools.cache(fit)
    place: dict[int, int] = {}
    holder: dict[int, int] = {}
    for need in range(needs):
        reached: dict[int, int] = {}
        queue = collections.deque([need])
        free: int | None = None
        while queue and free is None:
            asking = queue.popleft()
            for offer in (asking, *range(offers)):  # calls are most often in the order of the needs
                if offer in reached or not fit(asking, offer):
                    continue
                reached[offer] = asking
                if offer not in holder:
                    free = offer
                    break
                queue.append(holder[offer])
        if free is None:
            return None
        while free is not None:
            taker = reached[free]
            left = place.get(taker)
            place[taker], holder[free] = free, taker
            free = left
    return [place[need] for need in range(needs)]


def arranged(calls: Sequence[Call], needs: int, fit: Callable[[int, Call], bool]) -> list[Call]:
    """Return the calls with those of one turn, which have no order among themselves, in the order of the needs they fit.

    Args:
        calls: In order of their turns.
        needs: Number of expected calls.
        fit: Says whether expected call number n is met by a call.
    """
    out: list[Call] = []
    done = 0
    for _, turn in itertools.groupby(calls, key=lambda call: call.turn):
        group, start = list(turn), done
        if 1 < len(group) <= needs - start:
            found = assigned(len(group), len(group), lambda n, i: fit(start + n, group[i]))  # noqa: B023  # called at once
            group = group if found is None else [group[i] for i in found]
        for call in group:
            done += done < needs and fit(done, call)
        out += group
    return out


@frozen(kw_only=True)
class Progress:
    """How far calls get along the expected ones.

    Args:
        needs: Number of expected calls.
        distance: Least number of calls to be added, removed or replaced to make them the expected ones (Levenshtein).
        first_error: Turn of the first call that is not the next expected one, or None.
        done: Number of expected calls that are made, in order, by the end of each turn.
    """

    needs: int
    distance: int
    first_error: int | None
    done: tuple[int, ...]

    @classmethod
    def of(
        cls, calls: Sequence[Call], needs: int, fit: Callable[[int, Call], bool], *, turns: int
    ) -> Progress:
        """Compare calls with expected ones.

        Args:
            calls: In order of their turns.
            needs: Number of expected calls.
            fit: Says whether expected call number n is met by a call.
            turns: Number of assistant turns.
        """
        calls = arranged(calls, needs, fit)
        first_error, at_end, done = None, [0] * turns, 0
        for call in calls:
            if done < needs and fit(done, call):
                done += 1
                at_end[call.turn] = done
            elif first_error is None:
                first_error = call.turn
        return cls(
            needs=needs,
            distance=_distance(calls, needs, fit),
            first_error=first_error,
            done=tuple(itertools.accumulate(at_end, max)),
        )


def _distance(calls: Sequence[Call], needs: int, fit: Callable[[int, Call], bool]) -> int:
    row = list(range(needs + 1))
    for made, call in enumerate(calls, start=1):
        above, row = row, [made]
        for need in range(needs):
            replaced = above[need] + (not fit(need, call))
            row.append(min(replaced, above[need + 1] + 1, row[need] + 1))
    return row[needs]
