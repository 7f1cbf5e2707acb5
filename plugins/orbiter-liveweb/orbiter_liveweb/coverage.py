"""The coverage of a corpus: which site, template and action it shows how often, and whether that is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from orbiter.checks import check_number
from orbiter.errors import ConfigError
from orbiter.records import Trajectory
from orbiter.similarity import near_duplicates
from orbiter.verify.calls import TraceError, read_calls
from orbiter_liveweb.composing import questions_of
from orbiter_liveweb.session import ACTIONS

LEAST_SHARES: Mapping[str, float] = {
    "goto": 0.02, "click": 0.05, "type": 0.01, "press": 0.01, "scroll": 0.01, "view_more": 0.01,
    "wait": 0.002, "click_role": 0.05, "type_role": 0.01, "stop": 0.01,
}  # fmt: skip
"""Least share of each action among all calls."""

SIMILARITY = 0.95
"""Jaccard similarity of character 5-grams from which two trajectories count as near duplicates."""


@frozen
class Coverage:
    """What a corpus shows.

    Args:
        rows: How many trajectories.
        calls: How often each action is called, by site, template and action, in trajectories of one question; those of several questions
            count under the site and template ``composite``.
        templates: How many questions there are of each template, by its full name, composites included.
        duplicate_rate: Share of the trajectories that nearly repeat an earlier one, in [0, 1]; None where there are none.
    """

    rows: int
    calls: Mapping[tuple[str, str, str], int]
    templates: Mapping[str, int]
    duplicate_rate: float | None = None

    @property
    def actions(self) -> dict[str, int]:
        """How often each of the ten actions is called."""
        counts = dict.fromkeys(ACTIONS, 0)
        for (_, _, action), count in self.calls.items():
            counts[action] = counts.get(action, 0) + count
        return counts

    def table(self) -> list[str]:
        """Return how often each action is called, a line for the head and one for each site and template."""
        places = dict.fromkeys((site, template) for site, template, _ in sorted(self.calls))
        names = {place: "/".join(dict.fromkeys(place)) for place in places}
        width = max(map(len, names.values()), default=0)
        lines = [" " * width + "".join(f"  {action}" for action in ACTIONS)]
        for place, name in names.items():
            counts = (self.calls.get((*place, action), 0) for action in ACTIONS)
            cells = (f"  {n:>{len(action)}}" for action, n in zip(ACTIONS, counts))
            lines.append(f"{name:<{width}}" + "".join(cells))
        return lines


@frozen(kw_only=True)
class CoverageGate:
    """Bounds that a corpus must keep.

    Args:
        least_shares: Least share of an action among all calls, by action.
        most_share: Most that one action may be of all calls.
        least_template_share: Least share of each template of the topology among all questions, in parts of an equal share.
        most_duplicates: Most that near duplicates may be of all trajectories.
    """

    least_shares: Mapping[str, float] = field(default=LEAST_SHARES)
    most_share: float = 0.6
    least_template_share: float = 0.2
    most_duplicates: float = 0.05

    def __attrs_post_init__(self) -> None:
        for action, share in self.least_shares.items():
            if action not in ACTIONS:
                raise ConfigError(
                    f"least_shares must name actions, got {action!r}",
                    hint=f"known: {', '.join(ACTIONS)}",
                )
            check_number(f"least share of {action}", share, "[0, 1]")
        check_number("most_share", self.most_share, "(0, 1]")
        check_number("least_template_share", self.least_template_share, "[0, 1]")
        check_number("most_duplicates", self.most_duplicates, "[0, 1]")

    def faults(self, coverage: Coverage, templates: Sequence[str]) -> list[str]:
        """Return what a corpus lacks, a line each; none where it may be trained on.

        Args:
            coverage: What it shows.
            templates: Full names of the templates that it should show.
        """
        found: list[str] = []
        total = sum(coverage.actions.values())
        if not total:
            return ["no calls at all"]
        for action, count in coverage.actions.items():
            share, least = count / total, self.least_shares.get(action, 0.0)
            if share < least:
                found.append(
                    f"action {action} is {share:.1%} of the calls, at least {least:.1%} wanted"
                )
            if share > self.most_share:
                found.append(
                    f"action {action} is {share:.1%} of the calls, at most {self.most_share:.1%} allowed"
                )
        asked = sum(coverage.templates.values())
        least = self.least_template_share / len(templates) if templates else 0.0
        for name in templates:
            share = coverage.templates.get(name, 0) / asked if asked else 0.0
            if share < least:
                found.append(
                    f"template {name} is {share:.1%} of the questions, at least {least:.1%} wanted"
                )
        rate = coverage.duplicate_rate
        if rate is not None and rate > self.most_duplicates:
            found.append(
                f"near duplicates are {rate:.1%} of the trajectories, at most {self.most_duplicates:.1%} allowed"
            )
        return found


def coverage_of(rows: Iterable[Trajectory]) -> Coverage:
    """Return what trajectories show; their calls are read from their messages, and their questions from their ids.

    Two nearly repeat each other by what was asked and called: the pages shown repeat in any corpus.

    Raises:
        ConfigError: A row is no task of a cached web.
    """
    calls: Counter[tuple[str, str, str]] = Counter()
    templates: Counter[str] = Counter()
    texts: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            questions = questions_of(row.task_id)
        except ConfigError as error:
            raise ConfigError(
                f"row {number} is no task of a cached web: {error.message}",
                hint="give rows of the environment liveweb alone",
            ) from None
        templates.update(question.template_name for question in questions)
        one = questions[0] if len(questions) == 1 else None
        place = (one.site, one.template) if one else ("composite", "composite")
        messages = row.messages[len(row.prompt) :]
        try:
            made = read_calls(messages, open_end=True)
        except TraceError:
            made = []
        calls.update((*place, call.name) for call in made)
        said = "\n".join(f"{call.name} {sorted(call.arguments.items())}" for call in made)
        texts.append(f"{row.prompt[-1].text}\n{said}" if row.prompt else said)
    copies = sum(one is not None for one in near_duplicates(texts, threshold=SIMILARITY))
    return Coverage(len(texts), calls, templates, copies / len(texts) if texts else None)
