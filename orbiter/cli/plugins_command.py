"""``orbiter plugins``: list plugins, what they add, and why one failed to load."""

from __future__ import annotations

import argparse
import json
import warnings

from orbiter.errors import PluginWarning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print the list; 3 if a plugin failed to load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # a failure is a line of the list
        from orbiter.plugin import plugin_manager

        plugins = plugin_manager().plugins
    if options.json:
        rows = [
            {
                "name": p.name,
                "dist": p.dist,
                "version": p.version,
                "enabled": p.enabled,
                "error": p.error,
                "adds": [{"kind": e.kind, "name": e.full_name} for e in p.entries],
                "hooks": p.hooks,
            }
            for p in plugins
        ]
        print(json.dumps(rows, indent=2))
    else:
        for p in plugins:
            origin = f"{p.dist} {p.version}" if p.dist else "not installed"
            print(f"{p.name}  ({origin}){'' if p.enabled else '  not enabled'}")
            if p.error:
                print(f"    failed to load: {p.error}")
            kinds = sorted({e.kind for e in p.entries})
            for kind in kinds:
                print(f"    {kind:12} {', '.join(e.name for e in p.entries if e.kind == kind)}")
            if p.hooks:
                print(f"    {'hook':12} {', '.join(p.hooks)}")
    return 3 if any(p.error for p in plugins) else 0
