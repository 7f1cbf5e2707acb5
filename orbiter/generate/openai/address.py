"""Where the server is and what it is shown: its address, and the key from the environment."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from orbiter.errors import ConfigError

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


def endpoint(base_url: object) -> str:
    """Return the address of chat completions; the message of the error never shows user name or password."""
    try:
        parts = urlsplit(base_url) if isinstance(base_url, str) else None
        port_is_valid = parts is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, port_is_valid = None, False
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_valid
    ):
        raise ConfigError(
            "base_url must be an http or https address",
            hint="most often it looks like http://127.0.0.1:8000/v1",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "base_url must have no user name, password, query or fragment",
            hint="give a key by api_key_env",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/chat/completions"


def key_of(variable: object) -> str | None:
    """Return the key in an environment variable; no message shows the key, nor what may be one."""
    if variable is None:
        return None
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        # Someone may have put the key itself here.
        raise ConfigError(
            "api_key_env must be the name of an environment variable in capitals",
            hint="put the key into the environment, not into the recipe",
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"environment variable {variable} must hold the API key, got nothing",
            hint=f"export {variable}=...",
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"environment variable {variable} must hold a key of printable ASCII")
    return key
