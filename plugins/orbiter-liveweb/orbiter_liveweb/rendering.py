"""One trajectory as a page: what was asked, each call, and the accessibility tree that was shown.

Everything in a row is untrusted, so every text is escaped, and the page forbids itself scripts and requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

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

_LINE = re.compile(r"( *- '?)([a-z]+)?(.*)", re.DOTALL)


def render(row: Trajectory) -> str:
    """Return a trajectory as one HTML page that needs nothing else."""
    shown = {m.tool_call_id: m.text for m in row.messages if m.role == "tool"}
    prompt = "".join(
        f'<div class="prompt"><h2>{escape(m.role)}</h2><pre>{escape(m.text)}</pre></div>'
        for m in row.prompt
    )
    steps: list[str] = []
    calls = [c for m in row.messages[len(row.prompt) :] for c in m.tool_calls]
    following = iter([*calls[1:], None])
    for message in row.messages[len(row.prompt) :]:
        for call in message.tool_calls:
            steps.append(_step(len(steps) + 1, call, shown, _acted_on(next(following))))
        if message.role == "assistant" and message.text.strip():
            steps.append(
                f'<div class="answer"><h2>answer</h2><pre>{escape(message.text)}</pre></div>'
            )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(row.task_id)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(row.task_id)}</h1>{_verdict(row)}{prompt}\n{''.join(steps)}</body></html>\n"
    )


def _verdict(row: Trajectory) -> str:
    verdict = row.verdict
    outcome = verdict.outcome.value if verdict else "not judged"
    score = "none" if row.score is None else f"{row.score:g}"
    facts = {
        "verdict": f'<span class="{escape(outcome.split()[0])}">{escape(outcome)}</span> '
        f"{escape(verdict.reason) if verdict else ''}",
        "score": escape(score),
        "generator": escape(row.generator or "unknown"),
        "model": escape(row.model or "none"),
    }
    lines = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
    return f"<table>{lines}</table>"


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
    quoted = json.dumps(name, ensure_ascii=False)
    return re.compile(rf"^ *- '?{re.escape(role)} {re.escape(quoted)}(?: |$)")


def _step(
    number: int, call: Any, shown: Mapping[str | None, str], following: re.Pattern[str] | None
) -> str:
    function = _function(call)
    text = shown.get(call.get("id") if isinstance(call, Mapping) else None, "")
    head, gap, tree = text.partition("\n\n")
    kind = " error" if text.startswith("Error:") else ""
    body = f'<pre class="head{kind}">{escape(head)}</pre>'
    if gap:
        lines = tree.split("\n")
        marked = [following is not None and following.search(line) is not None for line in lines]
        note = "; the next step acts on the marked line" if any(marked) else ""
        body += (
            f"<details open><summary>{len(lines)} lines of the accessibility tree{note}</summary>"
            f"<pre>{chr(10).join(map(_line, lines, marked))}</pre></details>"
        )
    said = f"{function.get('name', '?')}({_arguments(function.get('arguments'))})"
    return f'<div class="step"><div class="call"><span class="number">{number}</span><code>{escape(said)}</code></div>{body}</div>'


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
        return f'<span class="{css}">{escape(line)}</span>'
    rest = re.sub(
        r"\[ref=[0-9]+\]", lambda m: f'<span class="ref">{m[0]}</span>', escape(match[3]), count=1
    )
    text = f'{escape(match[1])}<span class="role">{match[2]}</span>{rest}'
    return f'<span class="next">{text}</span>' if is_next else text
