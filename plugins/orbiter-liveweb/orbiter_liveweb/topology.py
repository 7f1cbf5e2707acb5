"""The topology of a cached web: sites, the templates of their questions, and the variables that make a question of a template.

A question has a name for ever, ``catalogue/maker_town/brass-kettle``: site, template and variables. Nothing is numbered, so another
site, template or page renames nothing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, unquote

from attrs import frozen

from orbiter.errors import ConfigError, user_code
from orbiter_liveweb.cache import Cache, CacheError
from orbiter_liveweb.dom import Element

if TYPE_CHECKING:
    from orbiter_liveweb.guide import Guide

T = TypeVar("T")

KINDS = ("single_hop", "multi_page", "computation", "aggregation", "list_navigation", "comparison")
"""Kinds of templates: what a question asks of whoever answers it. A composite is several questions in one task."""


class NotVisitedError(Exception):
    """The truth stands on a page that was not visited; ``url`` names it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Visited:
    """The pages that may be read for a truth: those that a trajectory visited.

    Args:
        cache: Where they are.
        urls: Their addresses; None for every page of the cache, to see whether there is a truth at all.
    """

    def __init__(self, cache: Cache, urls: Sequence[str] | None = None) -> None:
        self._cache, self._urls = cache, None if urls is None else frozenset(urls)

    def root(self, url: str) -> Element:
        """Return a visited page.

        Raises:
            NotVisitedError: It was not visited.
        """
        root = self._cache.root(url) if self._urls is None or url in self._urls else None
        if root is None:
            raise NotVisitedError(url)
        return root


class Web(Visited):
    """All pages of a cache, the source of questions: which entities there are and what they are called."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self.cache = cache
        self._known: dict[tuple[Any, ...], Any] = {}

    def once(self, find: Callable[..., T], *of: str) -> T:
        """Return ``find(web, *of)``, found out once: for what takes a look at many pages."""
        key = (find, *of)
        if key not in self._known:
            self._known[key] = find(self, *of)
        return cast("T", self._known[key])

    def slugs(self, pattern: str) -> tuple[str, ...]:
        """Return what the one group of a pattern matches in the addresses that it matches as a whole, in order."""
        return self.once(_slugs, pattern)

    def root(self, url: str) -> Element:
        """Return a page of the cache.

        Raises:
            ConfigError: It is not there.
        """
        try:
            return super().root(url)
        except NotVisitedError:
            raise ConfigError(f"the cache has no page {url}, which a question needs") from None

    def heading(self, url: str) -> str:
        """Return the first heading of a page."""
        heading = self.root(url).find("h1")
        return "" if heading is None else heading.words


def _slugs(web: Web, pattern: str) -> tuple[str, ...]:
    fits = re.compile(pattern).fullmatch
    return tuple(dict.fromkeys(m[1] for url in web.cache.urls() if (m := fits(url))))


class Template(ABC):
    """One kind of question about a site.

    A subclass asks, teaches and knows the truth, in ways that have nothing in common: :meth:`teach` acts and reads what is shown, as a
    model does; :meth:`truth` reads the HTML of the pages that were visited.
    """

    name: str
    """Name of the template; once tasks were made with it, it means the same for ever."""

    kind: str
    """One of KINDS."""

    needs: tuple[str, ...] = ()
    """Other sites that it takes beside its own."""

    unit: str = ""
    """What may stand behind a number in the answer."""

    @abstractmethod
    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        """Return variables drawn from those of a web, or None where it has none."""

    @abstractmethod
    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        """Return the question, which says where to begin."""

    @abstractmethod
    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """Return what the question is about, to be kept on one side of a split: ``catalogue/item/brass-kettle``."""

    @abstractmethod
    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        """Find the answer by acting, and return it."""

    @abstractmethod
    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        """Return the right answer from the pages that were visited, or None where they hold none.

        Raises:
            NotVisitedError: A page that holds it was not visited.
        """


class SlugTemplate(Template):
    """A template whose first variable is what its question is about: a slug that stands in the address of a page."""

    pattern: str
    """Addresses of such pages, with the slug as the one group."""

    about: str
    """What stands before the slug in the name of the entity: ``catalogue/item``."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        """Return a slug."""
        slugs = web.slugs(self.pattern)
        return (stream.choice(slugs),) if slugs else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """Return the entity of the slug."""
        return (f"{self.about}/{variables[0]}",)


class Site(ABC):
    """A site, with the templates of its questions.

    What a third party brings is a subclass, named in ``include_plugins`` as ``file.py:Class``.
    """

    name: str
    """Name of the site; part of every id."""

    @abstractmethod
    def templates(self) -> Sequence[Template]:
        """Return its templates."""

    @abstractmethod
    def is_in(self, web: Web) -> bool:
        """Return whether a web has pages of the site."""

    def entity_of(self, url: str) -> str | None:  # noqa: ARG002  # a site without entities of its own
        """Return the entity that a page is about, as :meth:`Template.entities` names it, or None."""
        return None


_NAME = re.compile(r"[a-z0-9_]+")


@frozen
class Question:
    """A template with its variables."""

    site: str
    template: str
    variables: tuple[str, ...]

    @property
    def template_name(self) -> str:
        """The full name of its template."""
        return f"{self.site}/{self.template}"

    @property
    def id(self) -> str:
        """Its name for ever."""
        variables = ",".join(quote(v, safe="") for v in self.variables)
        return f"{self.template_name}/{variables}"

    @classmethod
    def from_id(cls, name: str) -> Question:
        """Return the question of a name.

        Raises:
            ConfigError: It is none.
        """
        parts = name.split("/")
        if len(parts) != 3 or not all(_NAME.fullmatch(part) for part in parts[:2]):
            raise ConfigError(
                f"question must look like site/template/variables, got {name[:200]!r}"
            )
        variables = tuple(unquote(v) for v in parts[2].split(",")) if parts[2] else ()
        question = cls(parts[0], parts[1], variables)
        if question.id != name:
            raise ConfigError(f"question must be written as {question.id!r}, got {name[:200]!r}")
        return question


class Topology:
    """The questions that can be asked about a cached web.

    Args:
        cache: The pages.
        sites: The sites; those of which the cache has no page must not be among them.
    """

    def __init__(self, cache: Cache, sites: Sequence[Site]) -> None:
        self.cache, self.sites = cache, tuple(sites)
        self.web = Web(cache)

    @cached_property
    def templates(self) -> dict[str, Template]:
        """The templates by their full names, ``site/template``, of which every site is there."""
        names = {site.name for site in self.sites}
        found: dict[str, Template] = {}
        for site in self.sites:
            for template in site.templates():
                if template.kind not in KINDS:
                    raise ConfigError(
                        f"kind of {site.name}/{template.name} must be one of {', '.join(KINDS)}, got {template.kind!r}"
                    )
                if names.issuperset(template.needs):
                    found[f"{site.name}/{template.name}"] = template
        return found

    def template_of(self, question: Question) -> Template:
        """Return the template of a question.

        Raises:
            ConfigError: It is not of this topology.
        """
        template = self.templates.get(question.template_name)
        if template is None:
            raise ConfigError(
                f"unknown template {question.template_name!r}",
                hint=f"known: {', '.join(self.templates) or 'none'}; include the plugins of its sites",
            )
        return template

    def draw(self, name: str, stream: Random) -> Question | None:
        """Return a question of a template by its full name, or None where the web has none."""
        site, _, template = name.partition("/")
        with user_code(f"template {name!r}", "draw"):
            variables = self.templates[name].draw(self.web, stream)
        return None if variables is None else Question(site, template, variables)

    def ask(self, question: Question) -> str:
        """Return the text of a question."""
        return self.template_of(question).ask(self.web, question.variables)

    def truth(self, question: Question, pages: Visited) -> str | None:
        """Return the right answer to a question from pages; None too where they are not what the template takes them for.

        Raises:
            NotVisitedError: A page that holds it was not visited.
            CacheError: A page that holds it was altered.
        """
        template = self.template_of(question)
        try:
            return template.truth(pages, question.variables)
        except CacheError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    def entities(self, question: Question) -> tuple[str, ...]:
        """Return what a question is about."""
        with user_code(f"template {question.template_name!r}", "entities"):
            return self.template_of(question).entities(question.variables)

    def entities_of_pages(self, urls: Iterable[str]) -> list[str]:
        """Return the entities that pages are about."""
        found = (site.entity_of(url) for url in urls for site in self.sites)
        return [entity for entity in found if entity is not None]
