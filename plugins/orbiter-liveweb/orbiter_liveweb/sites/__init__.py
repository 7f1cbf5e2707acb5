"""The sites that come with the plugin, and how others are named."""

from __future__ import annotations

from collections.abc import Sequence

from orbiter.errors import ConfigError, did_you_mean, user_code
from orbiter.user_file import load_from_file
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.sites.catalogue import Catalogue
from orbiter_liveweb.sites.league import League
from orbiter_liveweb.sites.python_docs import PythonDocs
from orbiter_liveweb.sites.towns import Towns
from orbiter_liveweb.sites.weather import Weather
from orbiter_liveweb.topology import Site, Topology, Web

SITES: dict[str, type[Site]] = {
    site.name: site for site in (Catalogue, Weather, League, Towns, PythonDocs)
}
"""Sites by name."""


def topology_of(cache: Cache, include_plugins: Sequence[str | Site] | None = None) -> Topology:
    """Return the topology of a cache.

    Args:
        cache: The pages.
        include_plugins: Names of sites, ``file.py:Class`` or sites; None: all those that come with the plugin and of which the cache has
            pages.

    Raises:
        ConfigError: A name is unknown, or the cache has no page of a site that is named.
    """
    web = Web(cache)
    if include_plugins is None:
        sites = [site() for site in SITES.values()]
        found = [site for site in sites if site.is_in(web)]
        if not found:
            raise ConfigError(
                f"the cache {str(cache.folder)!r} has no page of {', '.join(SITES)}",
                hint="name the plugin of your own site, file.py:Class: --plugins, or include_plugins in Python",
            )
        return Topology(cache, found)
    if isinstance(include_plugins, str) or not include_plugins:
        raise ConfigError(f"include_plugins must be a list of sites, got {include_plugins!r}")
    chosen = [_site(given) for given in include_plugins]
    for site in chosen:
        with user_code(f"site {site.name!r}", "is_in"):
            is_there = site.is_in(web)
        if not is_there:
            raise ConfigError(f"the cache {str(cache.folder)!r} has no page of site {site.name!r}")
    names = [site.name for site in chosen]
    if len(set(names)) < len(names):
        raise ConfigError(f"include_plugins must name each site once, got {', '.join(names)}")
    return Topology(cache, chosen)


def _site(given: str | Site) -> Site:
    if isinstance(given, Site):
        return given
    if not isinstance(given, str):
        raise ConfigError(f"include_plugins must be a list of sites, got {given!r} in it")
    cls = load_from_file(given) if ".py:" in given else SITES.get(given)
    if cls is None:
        raise ConfigError(
            f"unknown site {given!r}{did_you_mean(given, SITES)}",
            hint=f"known: {', '.join(SITES)}; or give a file.py:Class",
        )
    site = cls() if isinstance(cls, type) else cls
    if not isinstance(site, Site):
        raise ConfigError(
            f"site {given!r} must be a Site, got {site!r}",
            hint="derive it from orbiter_liveweb.topology.Site",
        )
    return site
