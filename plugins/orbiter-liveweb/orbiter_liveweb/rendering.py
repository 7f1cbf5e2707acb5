"""One trajectory as a page: what was asked, each call, and the accessibility tree that was shown.

Everything in a row is untrusted: every text is escaped, marks that would reorder it are spelled out, and the page forbids itself
scripts and requests.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from orbiter.flywheel.page import show
from orbiter.records import Trajectory

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1a7f37; --bad: #c0362c; --link: #0a62c4; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1rem; margin: 0 0 .4rem; }
code, pre { font: 13px/1.4 ui-monospace, monospace; } pre { margin: 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.prompt, .step, .answer { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin: .8rem 0; }
.call { font-weight: 600; overflow-wrap: anywhere; } .number { color: gray; margin-right: .5rem; }
.head { color: gray; overflow-wrap: anywhere; } details > summary { cursor: pointer; margin: .4rem 0; }
.pass { color: var(--good); } .fail, .invalid, .error { color: var(--bad); }
.ref { color: var(--link); font-weight: 600; } .next { background: #ffd33d55; border-radius: .2rem; } .role { color: #8250df; } .url { color: gray; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --link: #79b8ff; } .role { color: #d2a8ff; } }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
"""

_show = partial(show, limit=sys.maxsize)
_LINE = re.compile(r"( *- '?)([a-z]+)?(.*)", re.DOTALL)


def render(row: Trajectory) -> str:
    """Return a trajectory as one HTML page that needs nothing else."""
    shown = {m.tool_call_id: m.text for m in row.messages if m.role == "tool"}
    parts = [_said("prompt", m.role, m.text) for m in row.prompt]
    after = row.messages[len(row.prompt) :]
    calls = [call for message in after for call in message.tool_calls]
    called = {_id(call) for call in calls}
    steps = iter(zip(itertools.count(1), calls, [*calls[1:], None]))
    for message in after:
        if message.role == "tool":
            if message.tool_call_id not in called:
                parts.append(_said("prompt error", "tool, in answer to no call", message.text))
            continue
        if message.text.strip():
            is_answer = message.role == "assistant" and not message.tool_calls
            name = "answer" if is_answer else message.role
            parts.append(_said(name if is_answer else "prompt", name, message.text))
        for number, call, following in itertools.islice(steps, len(message.tool_calls)):
            parts.append(_step(number, call, shown, _acted_on(following)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_show(row.task_id)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{_show(row.task_id)}</h1>{_verdict(row)}{''.join(parts)}</body></html>\n"
    )


def _said(css: str, who: str, text: str) -> str:
    return f'<div class="{css}"><h2>{_show(who)}</h2><pre>{_show(text)}</pre></div>'


def _verdict(row: Trajectory) -> str:
    verdict = row.verdict
    outcome = verdict.outcome.value if verdict else "not judged"
    score = "none" if row.score is None else f"{row.score:g}"
    facts = {
        "verdict": f'<span class="{_show(outcome.split()[0])}">{_show(outcome)}</span> '
        f"{_show(verdict.reason) if verdict else ''}",
        "score": _show(score),
        "generator": _show(row.generator or "unknown"),
        "model": _show(row.model or "none"),
    }
    lines = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
    return f"<table>{lines}</table>"


def _id(call: Any) -> str | None:
    given = call.get("id") if isinstance(call, Mapping) else None
    return given if isinstance(given, str) else None


def _function(call: Any) -> Mapping[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    return function if isinstance(function, Mapping) else {}


def _acted_on(call: Any) -> re.Pattern[str] | None:
    """Return what the line of the element looks like that a call acts on, or None where it acts on none."""
    try:
        given = json.loads(_function(call).get("arguments", ""))
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(given, Mapping):
        return None
    if type(given.get("ref")) is int:
        return re.compile(rf"\[ref={given['ref']}\]")
    role, name = given.get("role"), given.get("name")
    if not isinstance(role, str) or not isinstance(name, str):
        return None
    key = f"{role} {json.dumps(name, ensure_ascii=False)}"
    doubled = key.replace("'", "''")  # in a line that is in single quotes
    return re.compile(rf"^ *- (?:{re.escape(key)}|'{re.escape(doubled)})(?: |$)")


def _step(
    number: int, call: Any, shown: Mapping[str | None, str], following: re.Pattern[str] | None
) -> str:
    function = _function(call)
    text = shown.get(_id(call), "")
    head, gap, tree = text.partition("\n\n")
    kind = " error" if text.startswith("Error:") else ""
    body = f'<pre class="head{kind}">{_show(head)}</pre>'
    if gap:
        lines = tree.split("\n")
        marked = [following is not None and following.search(line) is not None for line in lines]
        note = "; the next step acts on the marked line" if any(marked) else ""
        body += (
            f"<details open><summary>{len(lines)} lines of the accessibility tree{note}</summary>"
            f"<pre>{chr(10).join(map(_line, lines, marked))}</pre></details>"
        )
    said = f"{function.get('name', '?')}({_arguments(function.get('arguments'))})"
    return f'<div class="step"><div class="call"><span class="number">{number}</span><code>{_show(said)}</code></div>{body}</div>'


def _arguments(given: Any) -> str:
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return str(given)[:2000]
    if not isinstance(arguments, Mapping):
        return str(given)[:2000]
    return ", ".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items()
    )


def _line(line: str, is_next: bool) -> str:
    """Return a line of a tree with its parts marked, and itself if the next step acts on it; all that is not our markup is escaped."""
    match = _LINE.fullmatch(line)
    if match is None or not match[2]:
        css = "url" if line.lstrip().startswith("- /") else ""
        return f'<span class="{css}">{_show(line)}</span>'
    rest = re.sub(
        r"\[ref=[0-9]+\]", lambda m: f'<span class="ref">{m[0]}</span>', _show(match[3]), count=1
    )
    text = f'{_show(match[1])}<span class="role">{match[2]}</span>{rest}'
    return f'<span class="next">{text}</span>' if is_next else text
