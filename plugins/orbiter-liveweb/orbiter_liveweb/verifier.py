"""The verifier: acts out a trajectory again on the cache, and finds the truth on the pages that it visited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.user_file import located
from orbiter.verify.calls import Call, TraceError, after_prompt, read_calls
from orbiter.verify.verifier import Verifier
from orbiter_liveweb.answers import is_same, read_answers
from orbiter_liveweb.browser import Browser, CacheBrowser
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.composing import questions_of, task_of
from orbiter_liveweb.session import Session, call
from orbiter_liveweb.sites import topology_of
from orbiter_liveweb.topology import NotVisitedError, Question, Site, Topology, Visited


@frozen
class Replay:
    """What became of a trajectory that was acted out again.

    Args:
        visited: Addresses of the pages that were shown.
        answer: What ``stop`` was given, or None.
        departs_at: Number of the first call, from 1, that showed something else than the trajectory says; None if none did.
        said: What it showed now.
        url: The page that the trajectory says it showed, or empty.
    """

    visited: tuple[str, ...]
    answer: str | None
    departs_at: int | None = None
    said: str = ""
    url: str = ""


def replay(
    calls: Sequence[Call], messages: Sequence[Message], make_browser: Callable[[], Browser]
) -> Replay:
    """Act out tool calls in a fresh browser, up to the first that shows something else than the messages say.

    Args:
        calls: The calls, from :func:`orbiter.verify.calls.read_calls`.
        messages: What follows the prompt.
        make_browser: Makes the browser.
    """
    shown = {m.tool_call_id: m.text for m in messages if m.role == "tool"}
    session = Session(make_browser)
    for number, one in enumerate(calls, start=1):
        said = call(session, one.name, one.arguments)
        recorded = shown.get(one.id, said)  # a last call may be without an answer
        if said != recorded:
            first = recorded.split("\n", 1)[0]
            url = first.removeprefix("URL: ") if first.startswith("URL: ") else ""
            return Replay(tuple(session.visited), session.answer, number, said, url)
    return Replay(tuple(session.visited), session.answer)


class LiveWebVerifier(Verifier):
    """Pass a trajectory that a replay confirms and whose answer is the truth of the pages that it visited.

    1. The prompt is the one of the questions that the task's id names, and the calls are well-formed.
    2. Every call, acted out again in a session that serves only the cache, shows what the trajectory says that it showed.
    3. ``stop`` was called, with an answer for each question.
    4. Each answer is what the visited pages say. The truth is read from their HTML, not from what the trajectory shows; on a page that
       was not visited it counts as not known, even if it is right.

    The verdict is invalid where the cache cannot tell: a page is gone or was altered, the id names no known question, or the pages
    hold no truth.

    Args:
        cache_dir: The cache.
        include_plugins: Sites; see :func:`orbiter_liveweb.sites.topology_of`.
    """

    name = "liveweb"

    def __init__(
        self, *, cache_dir: str | Path | Cache, include_plugins: Sequence[str | Site] | None = None
    ) -> None:
        self.cache = cache_dir if isinstance(cache_dir, Cache) else Cache(cache_dir)
        self.include_plugins = include_plugins
        if include_plugins is not None and not isinstance(include_plugins, str):
            self.include_plugins = [
                located(given) if isinstance(given, str) and ".py:" in given else given
                for given in include_plugins
            ]
        # What the cache holds, not where it lies.
        self.version = f"2;pages={_digest(self.cache)}"
        if include_plugins is not None:
            self.version += (
                f";include_plugins={[str(getattr(p, 'name', p)) for p in include_plugins]}"
            )

    def __getstate__(self) -> dict[str, Any]:
        # What is remembered of pages is made again where verdicts are made.
        return {k: v for k, v in self.__dict__.items() if k != "topology"}

    @cached_property
    def topology(self) -> Topology:
        """The questions that the verifier knows."""
        return topology_of(self.cache, self.include_plugins)

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on a trajectory."""
        try:
            questions = questions_of(task.task_id)
            asked = task_of(self.topology, questions)
        except (ConfigError, ValueError, LookupError) as error:
            return Verdict.invalid(f"no such task: {error}".split("\n", 1)[0])
        if asked.prompt != task.prompt:
            return Verdict.invalid("the prompt is not the one of the task's id")
        try:
            messages = after_prompt(task, trajectory)
            calls = read_calls(messages, open_end=True)
        except TraceError as error:
            return Verdict.failed(error.message)
        found = replay(calls, messages, lambda: CacheBrowser(self.cache))
        details: dict[str, Any] = {"calls": len(calls), "pages": len(found.visited)}
        if found.departs_at is not None:
            return self._departed(found, details)
        if found.answer is None:
            return Verdict.failed("stop was not called", details=details)
        answers = read_answers(found.answer, len(questions))
        if answers is None:
            return Verdict.failed("not one answer per question", details=details)
        return self._judged(questions, answers, Visited(self.cache, found.visited), details)

    def _departed(self, found: Replay, details: dict[str, Any]) -> Verdict:
        details |= {"departs_at": found.departs_at, "url": found.url}
        if found.url and self.cache.get(found.url) is None:
            return Verdict.invalid(f"the cache has no page {found.url}", details=details)
        if found.said.startswith("Error: the cache has no page"):
            return Verdict.invalid(found.said.removeprefix("Error: "), details=details)
        where = f"; page {found.url}" if found.url else ""
        return Verdict.failed(
            f"call {found.departs_at} shows something else than the cache{where}", details=details
        )

    def _judged(
        self,
        questions: Sequence[Question],
        answers: Sequence[str],
        pages: Visited,
        details: dict[str, Any],
    ) -> Verdict:
        right: list[bool] = []
        reasons: list[str] = []
        for number, (question, answer) in enumerate(zip(questions, answers), start=1):
            try:
                truth = self.topology.truth(question, pages)
            except NotVisitedError as error:
                right.append(False)
                reasons.append(f"answer {number} is not founded on a visit to {error.url}")
                continue
            if truth is None:
                return Verdict.invalid(
                    f"the pages hold no truth for {question.id}", details=details
                )
            unit = self.topology.template_of(question).unit
            right.append(is_same(answer, truth, unit=unit))
            if not right[-1]:
                reasons.append(f"answer {number} is wrong")
        details["right"] = right
        if reasons:
            return Verdict.failed("; ".join(reasons), details=details)
        return Verdict.passed(details=details)


def _digest(cache: Cache) -> str:
    """Return a hash of what a cache holds, which changes whenever a verdict could."""
    text = "".join(f"{url} {content}\n" for url, content in cache.listed.items())
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
