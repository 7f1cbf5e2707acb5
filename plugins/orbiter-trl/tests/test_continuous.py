import asyncio
import random
import threading

import attrs
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orbiter_trl.answering import Answerer
from orbiter_trl.continuous import decode_continuously
from orbiter_trl.decode import Ending, Prompt, decode
from orbiter_trl.policy import TransformersPolicy
from orbiter_trl.slots import SlotCache, fits_slots
from transformers import (
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    DogeConfig,
    DogeForCausalLM,
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from orbiter.generate.policy import Request, Sampling
from orbiter.records import Message

SIZES = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}


SAMPLED = Sampling()


@pytest.fixture(scope="module")
def answerer(nano):
    return Answerer.open(str(nano))


def make_prompts(count, seed=0, longest=20):
    """Prompts of 1 to 30 digits, whose answers may have 1 to ``longest`` tokens."""
    rng = random.Random(seed)
    return [
        Prompt(
            n,
            [rng.randrange(7, 23) for _ in range(rng.randint(1, 30))],
            seed=n,
            limit=rng.randint(1, longest),
        )
        for n in range(count)
    ]


class Watched:
    """Notes how many rows and tokens each pass over a model has, and may do something after one."""

    def __init__(self, model, after=lambda passes: None):
        self.model, self.shapes, self.after = model, [], after

    def __enter__(self):
        self.hook = self.model.register_forward_hook(self.note, with_kwargs=True)
        return self

    def note(self, model, args, kwargs, output):
        self.shapes.append(tuple(kwargs["input_ids"].shape))
        self.after(len(self.shapes))

    def __exit__(self, *exc):
        self.hook.remove()

    @property
    def steps(self):
        return [rows for rows, tokens in self.shapes if tokens == 1]


def run(answerer, prompts, sampling=SAMPLED, slots=4, cancelled=None):
    return decode_continuously(
        answerer.model,
        prompts,
        slots=slots,
        sampling=sampling,
        ending=Ending(answerer.end_ids, sampling.stop, answerer.tokenizer),
        cancelled=cancelled or threading.Event(),
    )


def alone(answerer, prompts, sampling=SAMPLED):
    """What ``model.generate`` answers to each prompt on its own."""
    return [
        decode(
            answerer.model,
            [prompt],
            sampling=sampling,
            ending=Ending(answerer.end_ids, sampling.stop, answerer.tokenizer),
            cancelled=threading.Event(),
            pad_id=0,
        )[0]
        for prompt in prompts
    ]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(0, 10),
    slots=st.integers(1, 12),
    temperature=st.sampled_from([0.0, 1.0]),
    stop=st.sampled_from([(), ("1", "py")]),
)
def test_every_answer_is_what_generate_answers_to_its_prompt_alone(
    answerer, seed, count, slots, temperature, stop
):
    prompts = make_prompts(count, seed, longest=8)
    sampling = Sampling(temperature=temperature, stop=stop)
    assert run(answerer, prompts, sampling, slots) == alone(answerer, prompts, sampling)


@pytest.mark.parametrize(
    ("attention", "make"),
    [
        ("sdpa", lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8))),
        (
            "sdpa",
            lambda: GPT2LMHeadModel(
                GPT2Config(vocab_size=23, n_embd=16, n_layer=1, n_head=2, n_positions=64)
            ),
        ),
        ("eager", lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None))),
    ],
    ids=["qwen3", "gpt2", "mistral"],
)
def test_other_architectures_and_attentions(answerer, attention, make):
    torch.manual_seed(0)
    model = make()
    model.generation_config = type(model.generation_config)()
    model.set_attn_implementation(attention)
    other = attrs.evolve(answerer, model=model.eval())
    prompts = make_prompts(8)
    assert fits_slots(model)
    assert run(other, prompts, slots=3) == alone(other, prompts)


def test_no_step_is_taken_for_an_answer_that_has_ended(answerer):
    prompts = make_prompts(40)
    with Watched(answerer.model) as watched:
        answers = run(answerer, prompts, slots=8)
    # The first token comes with the prompt, each later one from a step of one row.
    assert sum(watched.steps) == sum(len(answer) - 1 for answer in answers)
    assert max(watched.steps) == 8
    # Slots are refilled while prompts wait: fewer steps than a batch after the other, longest answer by longest.
    lengths = [len(answer) for answer in answers]
    assert len(watched.steps) < sum(max(lengths[n : n + 8]) - 1 for n in range(0, 40, 8))


def test_samples_of_one_prompt_read_it_once(answerer):
    prompts = [Prompt(n, [7 + n // 4] * 5, seed=n, limit=3) for n in range(12)]
    with Watched(answerer.model) as watched:
        answers = run(answerer, prompts, slots=12)
    assert watched.shapes[0] == (3, 5)
    assert answers == alone(answerer, prompts)
    assert len({tuple(answer) for answer in answers[:4]}) > 1


def test_what_shares_a_step_follows_from_the_call_alone(nano):
    """Two calls that are under way together take the steps that each takes alone."""
    policy = TransformersPolicy(nano, slots=3)
    calls = [
        [Request(messages=(Message("user", "1" * n),), seed=n) for n in range(start, start + 7)]
        for start in (1, 4)
    ]
    sampling = Sampling(max_new_tokens=10)

    async def shapes(*groups):
        with Watched(policy._ready().model) as watched:
            for group in groups:
                await asyncio.gather(*(policy.complete(call, sampling) for call in group))
        return watched.shapes

    async def both():
        together = await shapes(calls)
        assert together == await shapes([calls[0]], [calls[1]])
        assert together != await shapes([calls[1]], [calls[0]])
        await policy.aclose()

    asyncio.run(both())


def test_a_cancelled_call_ends_within_one_pass(answerer):
    cancelled = threading.Event()
    prompts = make_prompts(12)
    passes = 6
    with Watched(
        answerer.model, after=lambda count: cancelled.set() if count == passes else None
    ) as watched:
        answers = run(answerer, prompts, slots=4, cancelled=cancelled)
    assert len(watched.shapes) == passes
    full = alone(answerer, prompts)
    assert any(not answer for answer in answers)
    assert any(answers)
    assert all(answer == whole[: len(answer)] for answer, whole in zip(answers, full, strict=True))


def test_a_request_that_was_not_begun_has_no_tokens(nano):
    cancelled = threading.Event()
    cancelled.set()
    requests = [Request(messages=(Message("user", "1"),), seed=n) for n in range(5)]
    answers = Answerer.open(str(nano), slots=2).answer(requests, Sampling(), cancelled)
    assert sorted(a.token_count for a in answers) == [0, 0, 0, 1, 1]


def test_rows_of_a_cache_move_and_grow():
    cache = SlotCache(2, 3)
    read = DynamicCache()
    for layer in range(2):
        keys = torch.arange(2 * 1 * 4 * 2.0).reshape(2, 1, 4, 2) + 100 * layer
        read.update(keys, -keys, layer)
    cache.fill(0, read, torch.tensor([0, 1, 1]), most=20)
    cache.move(torch.tensor([1]), torch.tensor([0]), 4)
    rows, places = torch.arange(2), torch.tensor([4, 2])
    cache.reserve(5, most=20)
    assert cache.layers[0].keys.shape[2] == 6
    cache.aim(rows, places, 5)
    new = torch.full((2, 1, 1, 2), 7.0)
    for layer in range(2):
        keys, values = cache.update(new, -new, layer)
        kept = read.layers[layer].keys[1]
        assert torch.equal(keys[0], torch.cat([kept, new[0]], dim=1))
        expected = torch.cat([kept, torch.zeros(1, 1, 2)], dim=1)
        expected[:, 2] = 7.0
        assert torch.equal(keys[1], expected)
        assert torch.equal(values, -keys)
    cache.reserve(19, most=20)
    assert cache.layers[1].keys.shape[2] == 19


class HomeMade(LlamaForCausalLM):
    """A model whose code is not transformers' own."""


def sliding():
    return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8))


@pytest.mark.parametrize(
    "make",
    [
        sliding,
        lambda: MambaForCausalLM(MambaConfig(vocab_size=23, hidden_size=16, num_hidden_layers=1)),
        lambda: BloomForCausalLM(BloomConfig(vocab_size=23, hidden_size=16, n_layer=1, n_head=2)),
        lambda: DogeForCausalLM(DogeConfig(**SIZES)),
        lambda: T5ForConditionalGeneration(
            T5Config(vocab_size=23, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
        ),
    ],
    ids=["sliding_window", "recurrent", "alibi", "sparse", "encoder_decoder"],
)
def test_what_cannot_be_kept_in_slots_is_known(make):
    assert not fits_slots(make())


def test_flash_attention_and_foreign_code_are_not_kept_in_slots(answerer):
    model = answerer.model
    assert fits_slots(model)
    assert not fits_slots(HomeMade(model.config))
    model.config._attn_implementation = "flash_attention_2"
    try:
        assert not fits_slots(model)
    finally:
        model.config._attn_implementation = "sdpa"


def test_a_model_with_a_sliding_window_is_answered_slots_by_slots(nano, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(nano)
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(**{**SIZES, "vocab_size": len(tokenizer)}, sliding_window=8, eos_token_id=1)
    )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    answerer = Answerer.open(str(tmp_path), slots=3)
    requests = [Request(messages=(Message("user", "1" * n),), seed=n) for n in range(1, 12)]
    sampling = Sampling(max_new_tokens=12)
    with Watched(answerer.model) as watched:
        together = answerer.answer(requests, sampling)
    assert max(rows for rows, _ in watched.shapes) == 3
    assert [answerer.answer([r], sampling)[0] for r in requests] == together
    assert {a.finish_reason for a in together} == {"stop", "length"}
    cancelled = threading.Event()
    with Watched(answerer.model, after=lambda count: cancelled.set()) as watched:
        answers = answerer.answer(requests, sampling, cancelled)
    assert len(watched.shapes) == 1
    assert sorted(a.token_count for a in answers) == [0] * 8 + [1] * 3
