"""A page of HTML that needs nothing else and lets untrusted text do nothing.

What a model wrote may be anything: every string that is not this package's own goes through :func:`show`, and the page's policy
forbids scripts and any request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Columns = Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light; --ink: #111827; --soft: #6b7280; --line: #e5e7eb; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; } p { overflow-wrap: anywhere; } .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0; }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.15rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 2rem; }
figure { margin: 0; } svg { width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--soft); } .grid { stroke: var(--line); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .25rem 0; font-size: .875rem; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: baseline; }
th { font-size: .875rem; } th:first-child, td:first-child, .facts td { text-align: left; } .facts td { white-space: normal; overflow-wrap: anywhere; }
small { color: var(--soft); font-size: .8em; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.sample { border: 1px solid var(--line); border-left-width: 5px; border-radius: .4rem; padding: .5rem .75rem; min-width: 0; overflow-wrap: anywhere; }
.sample pre { max-height: 24rem; overflow-y: auto; }
.pass { border-left-color: #15803d; } .fail { border-left-color: #b91c1c; } .invalid { border-left-color: #111827; }
pre { margin: .25rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .875rem; }
pre span { color: var(--soft); } .alarm { border-left: 5px solid #d97706; padding-left: .75rem; }
@media (max-width: 40rem) { svg text { font-size: 20px; } th, td { padding: .3rem .5rem; } }
"""

# Controls, halves of surrogate pairs, and marks that reorder the text around them; newline and tab do no harm.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def show(text: object, *, limit: int = 300) -> str:
    """Return text as HTML that shows it: markup escaped, what cannot be seen spelled out, and cut after ``limit`` characters."""
    whole = str(text)
    cut = whole if len(whole) <= limit else f"{whole[:limit]} ... ({len(whole):,} characters)"
    return escape(_UNSEEN.sub(lambda found: ascii(found[0])[1:-1], cut))


def page(title: str, *, subtitle: str, body: str) -> str:
    """Return a whole document.

    Args:
        title: Text.
        subtitle: Text.
        body: HTML.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{show(title)} - orbiter</title><style>{STYLE}</style></head><body>"
        f'<h1>{show(title)}</h1><p class="soft">{show(subtitle, limit=1000)}</p>{body}</body></html>\n'
    )


def grid(columns: Columns, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table: a heading and a function from a row to the HTML of its cell, per column."""
    head = "".join(f'<th scope="col">{show(name)}</th>' for name, _ in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell(row)}</td>" for _, cell in columns) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Mapping[str, object]) -> str:
    """Return a table of names and values."""
    body = "".join(f"<tr><td>{show(k)}</td><td>{show(v)}</td></tr>" for k, v in rows.items())
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'
