"""One spelling per address, so that one page has one snapshot."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import (
    parse_qsl,
    quote,
    unquote_to_bytes,
    urlencode,
    urljoin,
    urlsplit,
    urlunsplit,
)

import idna

from orbiter.errors import ConfigError

_TRACKING = frozenset(
    """dclid fbclid gbraid gclid gclsrc igshid mc_cid mc_eid msclkid mkt_tok oly_anon_id oly_enc_id s_cid twclid vero_id wbraid
    yclid _ga _gl _hsenc _hsmi _openstat""".split()
)
_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/!$&'()*+,;=:@-._~%"


@lru_cache(maxsize=16_384)
def normalise(url: str) -> str:
    """Return the one spelling of a web address.

    Scheme and host are lower case and the host ASCII, the default port goes, as do dot segments, the fragment and the parameters that
    campaigns are tracked by (``utm_*``, ``gclid``, ...). The remaining parameters are sorted, and escapes are written in one way.

    Raises:
        ConfigError: It is no http or https address, or carries a user name or password, which no cache shall hold.
    """
    try:
        url.encode()  # not half a character
        parts = urlsplit(url.strip())
        port = parts.port
        host = _host((parts.hostname or "").rstrip("."))
    except (ValueError, idna.IDNAError) as error:
        raise ConfigError(f"address {url[:200]!r} is malformed: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        raise ConfigError(
            f"address must begin with http:// or https:// and a host, got {url[:200]!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"address of host {host!r} must not carry a user name or password",
            hint="a cache is copied and shared: record pages that need no password",
        )
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[scheme]:
        netloc += f":{port}"
    return urlunsplit((scheme, netloc, _path(parts.path), _query(parts.query), ""))


@lru_cache(maxsize=16_384)
def resolve(base: str, href: str) -> str | None:
    """Return the normalised address that a link on page ``base`` leads to, or None where it leads to no web page."""
    try:
        return normalise(urljoin(base, _PLACE.sub(_with_slashes, href.strip(), count=1)))
    except (ConfigError, ValueError):
        return None


_PLACE = re.compile("[^?#]*")


def _with_slashes(place: re.Match[str]) -> str:
    # Browsers take a backslash for a slash.
    return place[0].replace("\\", "/")


def fragment_of(url: str) -> str:
    """Return what stands behind the ``#`` of an address, unescaped."""
    return unquote_to_bytes(url.partition("#")[2]).decode(errors="replace")


def with_query(url: str, fields: list[tuple[str, str]]) -> str:
    """Return an address with the fields of a form as its whole query."""
    return urlsplit(url)._replace(query=urlencode(fields), fragment="").geturl()


def origin_of(url: str) -> str:
    """Return scheme, host and port of a normalised address, with a slash behind."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def is_tracking(name: str) -> bool:
    """Return whether a parameter only tells where a visitor came from."""
    return name.lower() in _TRACKING or name.lower().startswith("utm_")


LONGEST_HOST = 253
"""Characters of a host; the domain name system knows no longer one."""

_NOT_IN_HOST = re.compile(r"[\x00-\x20\x7f#%/<>?@\[\\\]^|]")


def _host(name: str) -> str:
    """Return a host in ASCII, mapped as browsers map it: ``straße`` and ``strasse`` are two hosts."""
    if len(name) > LONGEST_HOST:
        raise ValueError(f"a host has at most {LONGEST_HOST} characters")
    if not name.isascii():
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
        labels = (
            label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
            for label in mapped.split(".")
        )
        name = ".".join(labels).rstrip(".")
    if bad := _NOT_IN_HOST.search(name):
        raise ValueError(f"a host has no {bad[0]!r}")
    return name.lower()


_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_LONE = re.compile("%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _path(path: str) -> str:
    # Only what means the same either way is unescaped: %2F is no slash.
    path = _ESCAPE.sub(_unescaped, _LONE.sub("%25", path))
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return quote("/" + "/".join(kept), safe=_PATH_SAFE)


def _unescaped(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _query(query: str) -> str:
    fields = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    kept = sorted(field for field in fields if not is_tracking(field[0]))
    return urlencode(kept, errors="surrogateescape")
