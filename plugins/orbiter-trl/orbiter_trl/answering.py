"""Answering: one loaded model and its tokenizer, from requests to completions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.chat_template import answer_message, render
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter_trl.chat import context_of, end_ids, fit_threads
from orbiter_trl.continuous import decode_continuously
from orbiter_trl.decode import Ending, Prompt, by_length, decode
from orbiter_trl.quiet import quiet
from orbiter_trl.slots import fits_slots

MAX_LOGITS = 2**27
"""Most logits held at once where log-probabilities are asked for, unless one answer has more: half a gigabyte, three times over."""


@frozen
class Answerer:
    """A model that is ready to answer.

    Args:
        model: In eval mode, on its device.
        tokenizer: With a chat template.
        end_ids: Tokens that end an answer, the one that it should end with first.
        context: Longest prompt and answer together, in tokens; None if the config does not say.
        template_kwargs: Passed to the chat template.
        slots: How many requests are decoded at once; None is all that are asked at once.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: tuple[int, ...]
    context: int | None
    template_kwargs: Mapping[str, Any]
    slots: int | None = None

    @classmethod
    def open(
        cls,
        source: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
        slots: int | None = None,
    ) -> Answerer:
        """Load the model and tokenizer in ``source``.

        Raises:
            PolicyError: They cannot be loaded, or the tokenizer has no chat template.
        """
        place = device_of(device)
        shared = {"trust_remote_code": trust_remote_code, "local_files_only": Path(source).is_dir()}
        try:
            with quiet():
                tokenizer = AutoTokenizer.from_pretrained(source, **shared)
                stored = AutoConfig.from_pretrained(source, **shared).get_text_config().dtype
                model = AutoModelForCausalLM.from_pretrained(
                    source,
                    dtype=dtype_of(dtype, place, stored),
                    use_safetensors=True,
                    **shared,
                )
        except (OSError, ValueError) as error:
            raise PolicyError(
                f"model {source!r} cannot be loaded: {error}",
                hint="give a folder with config.json, safetensors weights and a tokenizer, or a hub id",
            ) from error
        if tokenizer.chat_template is None:
            raise PolicyError(f"tokenizer of {source!r} must have a chat template, got none")
        fit_threads(model, threads)
        ends = end_ids(model, tokenizer)
        if not ends:
            raise PolicyError(
                f"tokenizer of {source!r} must name an end token (eos_token), got none"
            )
        # What the folder says about sampling would otherwise be mixed into ours.
        model.generation_config = type(model.generation_config)()
        return cls(
            model=model.to(place).eval(),
            tokenizer=tokenizer,
            end_ids=ends,
            context=context_of(model),
            template_kwargs=dict(template_kwargs or {}),
            slots=slots,
        )

    def answer(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        cancelled: threading.Event | None = None,
    ) -> list[Completion]:
        """Answer each request once, in their order."""
        completions: list[Completion | None] = [None] * len(requests)
        prompts = []
        rendered = render(self.tokenizer, requests, self.template_kwargs)
        for index, (request, ids) in enumerate(zip(requests, rendered)):
            if isinstance(ids, str):
                completions[index] = Completion.failed(ids)
            elif self.context is not None and len(ids) >= self.context:
                completions[index] = Completion.failed(
                    f"prompt too long: {len(ids)} tokens, and the model's context holds {self.context}"
                )
            else:
                room = sampling.max_new_tokens if self.context is None else self.context - len(ids)
                prompts.append(Prompt(index, ids, request.seed, min(sampling.max_new_tokens, room)))
        decoded = list(self._decode(prompts, sampling, cancelled or threading.Event()))
        for prompt, completion in zip(
            (prompt for prompt, _ in decoded), self._read(decoded, requests, sampling.stop)
        ):
            completions[prompt.index] = completion
        return [c for c in completions if c is not None]

    @torch.inference_mode()
    def logps(self, answered: Sequence[tuple[Request, Completion]]) -> list[float]:
        """Return the log-probability in nats of each answer after its prompt, at temperature 1, and of its end if it ended.

        The answer is tokenised from its text, which may part it otherwise than it was sampled.

        Raises:
            PolicyError: A prompt cannot be rendered.
        """
        prompts = render(self.tokenizer, [request for request, _ in answered], self.template_kwargs)
        rows: list[tuple[int, list[int]]] = []
        for prompt, (_, completion) in zip(prompts, answered):
            if isinstance(prompt, str):
                raise PolicyError(prompt)
            text = "".join(message.text for message in completion.messages)
            ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            ended = [self.end_ids[0]] if completion.finish_reason == "stop" else []
            rows.append((len(prompt), prompt + ids + ended))
        return [logp for batch in self._fitting(rows) for logp in self._logps(batch)]

    def _fitting(
        self, rows: Sequence[tuple[int, list[int]]]
    ) -> Iterator[Sequence[tuple[int, list[int]]]]:
        """Yield runs of rows of which the logits fit into memory together."""
        spread = self.model.config.get_text_config().vocab_size
        start = width = 0
        for end, (_, ids) in enumerate(rows):
            width = max(width, len(ids))
            if end > start and (end + 1 - start) * width * spread > MAX_LOGITS:
                yield rows[start:end]
                start, width = end, len(ids)
        if rows:
            yield rows[start:]

    def _logps(self, rows: Sequence[tuple[int, list[int]]]) -> list[float]:
        """Return the log-probability of each row's tokens from the given place on."""
        width = max(len(ids) for _, ids in rows)
        device = self.model.device
        tokens = torch.tensor([ids + [0] * (width - len(ids)) for _, ids in rows], device=device)
        mask = torch.tensor(
            [[1] * len(ids) + [0] * (width - len(ids)) for _, ids in rows], device=device
        )
        logits = self.model(input_ids=tokens, attention_mask=mask).logits[:, :-1].float()
        picked = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        # Token i + 1 is told by place i; the first of the answer stands at its prompt's length.
        return [
            float(picked[i, size - 1 : len(ids) - 1].sum()) for i, (size, ids) in enumerate(rows)
        ]

    def _decode(
        self, prompts: list[Prompt], sampling: Sampling, cancelled: threading.Event
    ) -> Iterator[tuple[Prompt, list[int]]]:
        """Yield each prompt with its new tokens."""
        slots = len(prompts) if self.slots is None else self.slots
        ending = Ending(self.end_ids, sampling.stop, self.tokenizer)
        if fits_slots(self.model):
            yield from zip(
                prompts,
                decode_continuously(
                    self.model,
                    prompts,
                    slots=slots,
                    sampling=sampling,
                    ending=ending,
                    cancelled=cancelled,
                ),
            )
            return
        pad_id = self.tokenizer.pad_token_id
        in_order = sorted(prompts, key=lambda p: (len(p.ids), p.index))
        for group in by_length(in_order, lambda p: len(p.ids)):
            for batch in (group[n : n + slots] for n in range(0, len(group), slots)):
                if cancelled.is_set():
                    yield from ((prompt, []) for prompt in batch)
                    continue
                rows = decode(
                    self.model,
                    batch,
                    sampling=sampling,
                    ending=ending,
                    cancelled=cancelled,
                    pad_id=self.end_ids[0] if pad_id is None else pad_id,
                )
                yield from zip(batch, rows)

    def _read(
        self,
        decoded: Sequence[tuple[Prompt, list[int]]],
        requests: Sequence[Request],
        stops: Sequence[str],
    ) -> list[Completion]:
        ended = [bool(row) and row[-1] in self.end_ids for _, row in decoded]
        words = [row[:-1] if end else row for (_, row), end in zip(decoded, ended)]
        texts = self.tokenizer.batch_decode(words, skip_special_tokens=True)
        completions = []
        for (prompt, row), end, ids, text in zip(decoded, ended, words, texts):
            cut = min((i for s in stops if (i := text.find(s)) >= 0), default=None)
            completions.append(
                Completion(
                    messages=(
                        answer_message(
                            self.tokenizer,
                            ids,
                            text if cut is None else text[:cut],
                            prompt=prompt.ids,
                            tools=requests[prompt.index].tools,
                        ),
                    ),
                    finish_reason="stop" if end or cut is not None else "length",
                    token_count=len(row),
                    prompt_token_count=len(prompt.ids),
                )
            )
        return completions


def device_of(name: str) -> torch.device:
    """Return the device of a name: ``auto`` is CUDA if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device must be one that this machine has, got {name!r}",
            hint="use device 'auto' or 'cpu'",
        )
    return place


def dtype_of(name: str, place: torch.device, stored: torch.dtype | None) -> str:
    """Return the type to load the weights in; training leaves float32 behind, which a GPU need not answer with."""
    halve = (
        name == "auto"
        and place.type == "cuda"
        and stored in (None, torch.float32)
        and torch.cuda.is_bf16_supported()
    )
    return "bfloat16" if halve else name
