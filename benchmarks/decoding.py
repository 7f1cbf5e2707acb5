"""What continuous batching gives: tokens per second of the transformers policy beside ``model.generate``, on answers of log-normal length.

The same prompts, model and greedy decoding. Plain generate takes 32 prompts at a time, in the order in which they come, padded on the left,
and stops by its own rule; the policy gets them all and decodes 32 at once. They take turns, and each pair gives one ratio. The answers must
be the same tokens, every one.

The model is a Llama whose weights are built rather than trained, so that its answers have the lengths wanted: a token names a number and a
letter, the output layer makes the number fall by one, and answers end at 0. Which of the letters comes next is told by
all layers and everything before, so that one wrong key in a cache gives other tokens.

    python benchmarks/decoding.py [--requests 192] [--slots 32] [--sigma 0.8] [--pairs 3] [--hidden 128] [--layers 4]

Bars: median ratio >= 2; no answer differs.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import threading
import time
from importlib.metadata import version

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from orbiter_trl.continuous import decode_continuously
from orbiter_trl.decode import Ending, Prompt
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from orbiter.generate.policy import Sampling

RATIO_BAR = 2.0
MEDIAN_LENGTH, LONGEST, LETTERS = 40, 400, 8
PAD, END = 0, 1


def token_of(number: int, letter: int) -> int:
    """Return the token of a number and a letter."""
    return END if number == 0 else 2 + (number - 1) * LETTERS + letter


def make_model(hidden: int, layers: int) -> PreTrainedModel:
    """Make the model that counts down."""
    torch.manual_seed(0)
    size = token_of(LONGEST, LETTERS - 1) + 1
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2 * LONGEST,
            tie_word_embeddings=False,
            pad_token_id=PAD,
            bos_token_id=None,
            eos_token_id=END,
            initializer_range=hidden**-0.5,
        )
    ).eval()
    with torch.no_grad():
        numbers = torch.randn(LONGEST + 1, hidden)
        letters = torch.randn(size, hidden)
        for number in range(1, LONGEST + 1):
            for letter in range(LETTERS):
                model.model.embed_tokens.weight[token_of(number, letter)] = (
                    4 * numbers[number] + letters[token_of(number, letter)]
                )
                if number < LONGEST:
                    token = token_of(number, letter)
                    model.lm_head.weight[token] = numbers[number + 1] + 0.3 * letters[token]
        model.lm_head.weight[END] = numbers[1]
        model.lm_head.weight[PAD] = 0
    model.generation_config = GenerationConfig()
    return model


def make_prompts(count: int, *, sigma: float) -> list[Prompt]:
    """Draw prompts whose last token says how long the answer will be: log-normal."""
    rng = random.Random(0)
    prompts = []
    for index in range(count):
        length = min(LONGEST, max(2, round(MEDIAN_LENGTH * rng.lognormvariate(0, sigma))))
        words = [rng.randrange(1, LONGEST) for _ in range(rng.randint(10, 40))]
        ids = [token_of(number, rng.randrange(LETTERS)) for number in [*words, length]]
        prompts.append(Prompt(index, ids, seed=index, limit=LONGEST))
    return prompts


@torch.inference_mode()
def plain(model: PreTrainedModel, prompts: list[Prompt], slots: int) -> list[list[int]]:
    """Answer with ``model.generate``, batch by batch."""
    config = GenerationConfig(
        max_new_tokens=LONGEST, do_sample=False, pad_token_id=PAD, eos_token_id=END
    )
    answers = []
    for start in range(0, len(prompts), slots):
        batch = prompts[start : start + slots]
        width = max(len(p.ids) for p in batch)
        ids = torch.tensor([[PAD] * (width - len(p.ids)) + p.ids for p in batch])
        mask = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in batch])
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        answers += [
            row[: row.index(END) + 1] if END in row else row for row in out[:, width:].tolist()
        ]
    return answers


def continuous(model: PreTrainedModel, prompts: list[Prompt], slots: int) -> list[list[int]]:
    """Answer as the policy does."""
    return decode_continuously(
        model,
        prompts,
        slots=slots,
        sampling=Sampling(temperature=0, max_new_tokens=LONGEST),
        ending=Ending([END], (), tokenizer=None),
        cancelled=threading.Event(),
    )


def main() -> int:
    """Measure, print, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=192)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--sigma", type=float, default=0.8)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(
        f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores, 1 thread, load {os.getloadavg()[0]:.1f}"
    )
    model = make_model(args.hidden, args.layers)
    prompts = make_prompts(args.requests, sigma=args.sigma)
    print(
        f"{model.num_parameters() / 1e6:.1f} million parameters, {args.requests} requests, {args.slots} at once"
    )
    for way in (plain, continuous):
        way(model, prompts[:2], args.slots)
    ratios, different = [], 0
    for _ in range(args.pairs):
        speed, answers = {}, {}
        for way in (plain, continuous):
            start = time.perf_counter()
            answers[way] = way(model, prompts, args.slots)
            seconds = time.perf_counter() - start
            speed[way] = sum(map(len, answers[way])) / seconds
        different += sum(a != b for a, b in zip(answers[plain], answers[continuous]))
        ratios.append(speed[continuous] / speed[plain])
        lengths = sorted(map(len, answers[plain]))
        print(
            f"tokens/s: {speed[plain]:.0f} generate, {speed[continuous]:.0f} continuous, ratio {ratios[-1]:.2f}; "
            f"lengths {lengths[0]} to {lengths[-1]}, median {statistics.median(lengths):.0f}; "
            f"{len(set(map(tuple, answers[plain])))} distinct answers, {different} different"
        )
    batches = [answers[plain][n : n + args.slots] for n in range(0, args.requests, args.slots)]
    rows = sum(len(batch) * max(map(len, batch)) for batch in batches)
    print(f"tokens decoded: {rows} by generate, of them useful {sum(lengths)}")
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f} (bar {RATIO_BAR}), {different} answers different (bar 0)")
    return int(ratio < RATIO_BAR or different > 0)


if __name__ == "__main__":
    raise SystemExit(main())
