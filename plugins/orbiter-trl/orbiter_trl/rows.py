"""Token rows: trajectories as token ids and labels, with loss on the assistant's turns alone.

TRL would do this itself from conversational rows, but through a table of one schema, in which every row's tool arguments get the
keys of all others (as null), and through five passes. Doing it here keeps each row as it is, is several times faster, and
counts what was cut or left out. A test holds the outcome equal to TRL's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from attrs import field, frozen
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from orbiter.convert import unstructure
from orbiter.errors import RecordError
from orbiter.records import Trajectory, content_hash
from orbiter_trl.chat import to_chat

IGNORED = -100
"""Label of a token that carries no loss."""


@frozen
class TokenRow:
    """One tokenised row; ``labels`` hold the token where it carries loss and -100 elsewhere."""

    ids: list[int]
    labels: list[int]

    @property
    def mask(self) -> list[int]:
        """1 for each token that carries loss, 0 for the others."""
        return [int(label != IGNORED) for label in self.labels]


@frozen
class TokenRows:
    """Tokenised rows, and what happened on the way.

    Args:
        every: One row per trajectory, in their order, whether it carries loss or not.
        truncated_count: Rows that were cut at the bound on length.
        dropped_count: Rows of which nothing carries loss, after cutting.
        lengths: Tokens of every row before cutting.
        unended_count: Uncut rows whose last trained token, line feeds aside, is not an end token.
        unmasked_count: Rows in which every token carries loss.
        unknown_count: Rows with a token that stands for characters unknown to the tokenizer.
    """

    every: list[TokenRow]
    truncated_count: int = 0
    dropped_count: int = 0
    lengths: list[int] = field(factory=list)
    unended_count: int = 0
    unmasked_count: int = 0
    unknown_count: int = 0

    @property
    def rows(self) -> list[TokenRow]:
        """The rows that carry loss."""
        return [row for row in self.every if any(row.mask)]

    def alarms(self, *, context: int | None, max_length: int | None) -> list[str]:
        """Return a sentence for each thing that looks wrong."""
        count = len(self.lengths)
        kept = self.lengths if max_length is None else [min(n, max_length) for n in self.lengths]
        over = 0 if context is None else sum(n > context for n in kept)
        found = (
            (self.truncated_count, f"are longer than max_length={max_length} and were cut"),
            (self.dropped_count, "carry no loss and were left out (loss mask all 0)"),
            (self.unmasked_count, "carry loss on every token, the prompt too (loss mask all 1)"),
            (
                self.unended_count,
                "are not trained to stop: the last trained token is not an end token",
            ),
            (self.unknown_count, "hold characters that the tokenizer does not know"),
            (over, f"are longer than the model's context of {context} tokens"),
        )
        return [f"{n} of {count} rows {what}" for n, what in found if n]


def tokenise(
    trajectories: Iterable[Trajectory],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    end_ids: Sequence[int],
) -> TokenRows:
    """Return the rows as tokens and labels.

    Args:
        trajectories: At least one assistant turn in each.
        tokenizer: With a chat template.
        max_length: Bound on a row's tokens; what is beyond is cut off.
        end_ids: Tokens that end an answer.

    Raises:
        RecordError: A row has no assistant turn, or the chat template refuses it.
    """
    rows: list[TokenRow] = []
    lengths: list[int] = []
    truncated = dropped = unended = unmasked = unknown = 0
    for ids, mask in _rendered(list(trajectories), tokenizer):
        lengths.append(len(ids))
        cut = max_length is not None and len(ids) > max_length
        truncated += cut
        unknown += tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids
        labels = [token if bit else IGNORED for token, bit in zip(ids, mask)][:max_length]
        rows.append(TokenRow(ids[:max_length], labels))
        learned = [token for token in labels if token != IGNORED]
        if not learned:
            dropped += 1
            continue
        unended += not cut and not _ends(learned, end_ids, tokenizer)
        unmasked += IGNORED not in labels
    return TokenRows(rows, truncated, dropped, lengths, unended, unmasked, unknown)


def _ends(
    learned: Sequence[int], end_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> bool:
    """Return whether the last token that is learned is an end token, but for the line feed that some templates write after it."""
    last = next(
        (t for t in reversed(learned) if t in end_ids or tokenizer.decode([t]).strip()), None
    )
    return last in end_ids


def _rendered(
    trajectories: list[Trajectory], tokenizer: PreTrainedTokenizerBase
) -> Iterable[tuple[list[int], list[int]]]:
    with refusals():
        yield from _masked(trajectories, tokenizer)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a chat template raises of itself into a RecordError."""
    try:
        yield
    except TemplateError as error:
        raise RecordError(
            f"must be rendered by the chat template, which refused it: {error}", field="messages"
        ) from error


def _masked(
    trajectories: list[Trajectory], tokenizer: PreTrainedTokenizerBase
) -> Iterable[tuple[list[int], list[int]]]:
    """Yield the tokens of each row, and 1 for those that the assistant said."""
    template = tokenizer.chat_template
    if not has_generation_markers(template):
        try:
            template = get_training_chat_template(tokenizer)
        except ValueError:
            template = None
    for number, trajectory in enumerate(trajectories, start=1):
        if not any(m.role == "assistant" for m in trajectory.messages[len(trajectory.prompt) :]):
            raise RecordError(
                f"must hold an assistant turn (row {number}, task {trajectory.task_id!r})",
                field="messages",
            )
    # One call renders many rows, but takes one set of tools.
    for _, group in groupby(trajectories, key=lambda t: content_hash(t.tools) if t.tools else None):
        some = list(group)
        tools = [unstructure(tool) for tool in some[0].tools] or None
        chats = [to_chat(t.messages) for t in some]
        # Generation markers would put loss on assistant turns that the prompt shows, too.
        if template is None or any(t.prompt_size is not None for t in some):
            starts = [len(t.prompt) for t in some]
            yield from (_by_prefix(c, tools, tokenizer, start=n) for c, n in zip(chats, starts))
            continue
        encoded = tokenizer.apply_chat_template(
            chats,
            tools=tools,
            chat_template=template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        yield from zip(encoded["input_ids"], encoded["assistant_masks"])


def _by_prefix(
    chat: list[dict[str, Any]],
    tools: list[Any] | None,
    tokenizer: PreTrainedTokenizerBase,
    *,
    start: int,
) -> tuple[list[int], list[int]]:
    """Mask without generation markers: a turn is what rendering it adds to the rendered messages before it.

    Messages before ``start`` are the prompt and carry none.
    A turn whose beginning the template renders otherwise inside the whole (dropped reasoning, say) carries no loss.
    """

    def render(messages: list[dict[str, Any]], *, prompt: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt
        )
        return text

    whole = render(chat, prompt=False)
    spans = []
    for i, message in enumerate(chat):
        if i < start or message["role"] != "assistant":
            continue
        before, after = render(chat[:i], prompt=True), render(chat[: i + 1], prompt=False)
        if after.startswith(before) and whole.startswith(after):
            spans.append((len(before), len(after)))
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    inside = [
        int(any(start < to and end > at for at, to in spans))
        for start, end in encoded["offset_mapping"]
    ]
    return encoded["input_ids"], inside
