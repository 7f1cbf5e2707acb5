"""Chat templates: how messages become a model's text and its answer a message, for every policy that holds a tokenizer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from orbiter.convert import unstructure
from orbiter.generate.policy import Request
from orbiter.records import Message


def to_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages as chat templates expect them: arguments of tool calls as objects, not as JSON text."""
    rows = []
    for message in messages:
        row = unstructure(message)
        if message.tool_calls:
            row["tool_calls"] = [_with_object_arguments(call) for call in row["tool_calls"]]
        row.setdefault("content", None)
        rows.append(row)
    return rows


def _with_object_arguments(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call
    return (
        {**call, "function": {**function, "arguments": arguments}}
        if isinstance(arguments, dict)
        else call
    )


def render(
    tokenizer: Any, requests: Sequence[Request], template_kwargs: Mapping[str, Any]
) -> list[list[int] | str]:
    """Return the tokens of each prompt, or why there are none; a prompt that comes again is rendered once.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template.
        requests: The prompts, with their tools.
        template_kwargs: Passed to the template.
    """
    known: dict[Any, list[int] | str] = {}
    rendered = []
    for request in requests:
        # One task's samples share their messages tuple, which is kept alive by the requests.
        key = (id(request.messages), id(request.tools))
        if key not in known:
            known[key] = _render_one(tokenizer, request, template_kwargs)
        rendered.append(known[key])
    return rendered


def _render_one(
    tokenizer: Any, request: Request, template_kwargs: Mapping[str, Any]
) -> list[int] | str:
    try:
        encoded = tokenizer.apply_chat_template(
            to_chat(request.messages),
            tools=[unstructure(t) for t in request.tools] or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **template_kwargs,
        )
    except Exception as error:
        # A template is a program of the model's author, and may refuse a conversation.
        return f"chat template refused the prompt: {type(error).__name__}: {error}"[:300]
    return list(encoded["input_ids"]) or "the chat template made no text of the prompt"


def turn_end_id(tokenizer: Any) -> int | None:
    """Return the special token that the chat template writes after a turn; None if it writes none, or refuses to say."""
    probe = "orbiter"
    try:
        turn = tokenizer.apply_chat_template(
            [{"role": "user", "content": probe}, {"role": "assistant", "content": probe}],
            tokenize=False,
        )
    except Exception:  # a template may refuse this conversation; then its end token is not known
        return None
    after = tokenizer(turn.rpartition(probe)[2].lstrip(), add_special_tokens=False)["input_ids"]
    marker = tokenizer.added_tokens_decoder.get(after[0]) if after else None
    return after[0] if marker is not None and marker.special else None


def answer_message(
    tokenizer: Any,
    ids: Sequence[int],
    text: str,
    *,
    prompt: Sequence[int] = (),
    tools: Sequence[Any] = (),
) -> Message:
    """Return the assistant's message; tool calls are parsed if the tokenizer says how, and stay text if that fails.

    Args:
        tokenizer: A Hugging Face tokenizer; its ``response_template`` says how answers are read, or its ``response_schema`` before
            transformers 5.13.
        ids: The answer's tokens, without the one that ended it.
        text: The answer, cut at its stop text.
        prompt: The prompt's tokens, whose end may be where the answer begins.
        tools: The request's tools, by which arguments get their types.
    """
    says_how = ("response_template", "response_schema")
    if all(getattr(tokenizer, name, None) is None for name in says_how):
        return Message("assistant", text)
    try:
        more = {"prefix": list(prompt), "tools": [unstructure(tool) for tool in tools] or None}
        # transformers takes the prompt since 5.13, and the tools since 5.15.
        takes = inspect.signature(tokenizer.parse_response).parameters
        parsed = tokenizer.parse_response(
            list(ids), **{name: value for name, value in more.items() if name in takes}
        )
        calls = tuple(parsed.get("tool_calls") or ())
        return (
            Message("assistant", parsed.get("content"), tool_calls=calls)
            if calls
            else Message("assistant", text)
        )
    except Exception:  # the answer is untrusted text and the schema is the model author's
        return Message("assistant", text)
