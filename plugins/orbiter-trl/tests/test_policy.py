import asyncio
import json
import shutil
import threading

import pytest
import torch
from orbiter_trl import answering
from orbiter_trl.answering import Answerer, dtype_of
from orbiter_trl.nano import make_nano_model
from orbiter_trl.policy import TransformersPolicy
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.chat_template import answer_message
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.plugin import registry
from orbiter.records import Message


def ask(text, **more):
    return Request(messages=(Message("user", text),), **more)


@pytest.fixture(scope="module")
def answerer(nano):
    return Answerer.open(str(nano))


SAMPLED = [ask(f"copy {n}:", seed=n) for n in range(40)]


async def test_the_registry_makes_the_policy_and_it_answers_in_order(nano):
    policy = registry().create("policy", "transformers", {"model": str(nano), "batch_size": 4})
    assert (policy.name, policy.model, policy.batch_size, policy.speed.tokens_per_second) == (
        "transformers",
        str(nano),
        4,
        None,
    )
    requests = [ask("copy 1234567:"), ask("1"), ask("copy 12:")]
    completions = await policy.complete(requests, Sampling(temperature=0, max_new_tokens=5))
    assert [c.prompt_token_count for c in completions] == [13 + 3, 1 + 3, 8 + 3]
    assert [c.messages[0].role for c in completions] == ["assistant"] * 3
    assert policy.speed.token_count == sum(c.token_count for c in completions)
    assert policy.speed.tokens_per_second > 0
    assert await policy.complete([], Sampling()) == []
    await policy.aclose()


def test_greedy_is_what_generate_answers_to_each_prompt_alone(nano, answerer):
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(nano),
        AutoTokenizer.from_pretrained(nano),
    )
    requests = [ask("copy " + "7" * n) for n in range(12)]
    expected = []
    for request in requests:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.messages[0].content}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        new = model.generate(**ids, do_sample=False, max_new_tokens=8)[
            0, ids["input_ids"].shape[1] :
        ]
        expected.append(tokenizer.decode(new, skip_special_tokens=True))
    answers = answerer.answer(requests, Sampling(temperature=0, max_new_tokens=8))
    assert [a.messages[0].text for a in answers] == expected


def test_another_architecture_answers_too(nano, tmp_path):
    """Learnt positions, which left padding would shift if it were not masked."""
    tokenizer = AutoTokenizer.from_pretrained(nano)
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=32,
            bos_token_id=1,
            eos_token_id=1,
        )
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    answerer = Answerer.open(str(tmp_path))
    sampling = Sampling(max_new_tokens=6)
    assert answerer.context == 32
    together = answerer.answer(SAMPLED, sampling)
    assert [answerer.answer([r], sampling)[0] for r in SAMPLED] == together


def test_an_answer_depends_on_its_seed_and_not_on_its_batch(answerer):
    sampling = Sampling(max_new_tokens=8)
    together = answerer.answer(SAMPLED, sampling)
    assert answerer.answer(SAMPLED, sampling) == together
    assert answerer.answer(SAMPLED[::-1], sampling)[::-1] == together
    assert [answerer.answer([r], sampling)[0] for r in SAMPLED[:5]] == together[:5]
    reseeded = answerer.answer([ask("copy 1:", seed=n) for n in range(40)], sampling)
    assert len({a.messages[0].text for a in reseeded}) > 30


def test_generation_neither_reads_nor_moves_the_global_random_state(answerer):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = answerer.answer(SAMPLED, Sampling(max_new_tokens=4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert answerer.answer(SAMPLED, Sampling(max_new_tokens=4)) == first


def test_finish_reason_and_token_count_say_how_an_answer_ended(answerer):
    answers = answerer.answer(SAMPLED, Sampling(max_new_tokens=12))
    tokenizer = answerer.tokenizer
    ended = [a for a in answers if a.finish_reason == "stop"]
    cut = [a for a in answers if a.finish_reason == "length"]
    assert ended
    assert cut
    assert {a.token_count for a in cut} == {12}
    for answer in ended:
        # The end token is one of the tokens; special tokens in between hold no text.
        assert len(tokenizer(answer.messages[0].text)["input_ids"]) < answer.token_count <= 12


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(answerer):
    stops = ("1", "py")
    stopped = answerer.answer(SAMPLED, Sampling(max_new_tokens=12, stop=stops))
    # What a shorter bound cuts off is the beginning of the same answer.
    free = [answerer.answer(SAMPLED, Sampling(max_new_tokens=n)) for n in range(1, 13)]
    hit = 0
    for after, *befores in zip(stopped, *free):
        texts = [before.messages[0].text for before in befores]
        first = next((n for n, text in enumerate(texts, 1) if any(s in text for s in stops)), None)
        if first is None:
            assert after == befores[-1]
            continue
        hit += 1
        text = texts[first - 1]
        assert after.messages[0].text == text[: min(text.index(s) for s in stops if s in text)]
        assert (after.finish_reason, after.token_count) == ("stop", first)
    assert hit > 3


def test_a_prompt_that_fills_the_context_fails_alone(answerer):
    completions = answerer.answer(
        [ask("1" * 61), ask("1" * 60), ask("1")], Sampling(temperature=0, max_new_tokens=5)
    )
    assert completions[0] == Completion.failed(
        "prompt too long: 64 tokens, and the model's context holds 64"
    )
    assert completions[1].token_count == 1
    assert completions[2].prompt_token_count == 4


def test_an_answer_ends_where_the_context_does(answerer):
    (completion,) = answerer.answer([ask("1" * 57, seed=3)], Sampling(max_new_tokens=50, top_k=1))
    assert (completion.prompt_token_count, completion.token_count, completion.finish_reason) == (
        60,
        4,
        "length",
    )


def test_tools_reach_the_chat_template(answerer):
    tool = {"type": "function", "function": {"name": "copy", "parameters": {}}}
    plain, with_tools = answerer.answer(
        [ask("1"), ask("1", tools=(tool,))], Sampling(max_new_tokens=1, temperature=0)
    )
    assert plain.prompt_token_count == 4
    assert with_tools.finish_reason == "error"
    assert with_tools.error.startswith("prompt too long")


def test_tool_calls_are_parsed_where_the_tokenizer_says_how(tmp_path):
    chars = 'fn0123456789[]{}":, aeghmrstu'
    tokenizer = Answerer.open(
        str(make_nano_model(tmp_path / "nano", hidden_size=16, layers=1, heads=2, chars=chars))
    ).tokenizer

    def read(text):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return answer_message(tokenizer, ids, text, prompt=[4, 7, 1, 5])

    call = {"type": "function", "function": {"name": "f", "arguments": {"n": 1}}}
    written = '12[{"name": "f", "arguments": {"n": 1}}]'
    assert read(written) == Message("assistant", "12", tool_calls=(call,))
    assert read("12") == Message("assistant", "12")
    assert read(written[:-1]) == Message("assistant", written[:-1])
    # What cannot be read is no call.
    tokenizer.response_schema, tokenizer.response_template = {"x-regex": "("}, {"fields": "("}
    assert read(written) == Message("assistant", written)


def test_an_answer_is_read_after_its_prompt_and_by_its_tools(answerer, monkeypatch):
    given = []

    def note(tokenizer, ids, text, *, prompt, tools):
        given.append((tokenizer.decode(prompt), tools))
        return Message("assistant", text)

    monkeypatch.setattr(answering, "answer_message", note)
    monkeypatch.setattr(answerer.tokenizer, "chat_template", "{{ messages[0]['content'] }}:")
    answerer.answer([ask("1"), ask("2", tools=({"name": "f"},))], Sampling(max_new_tokens=1))
    assert given == [("1:", ()), ("2:", ({"name": "f"},))]


def test_a_template_that_refuses_a_prompt_fails_that_prompt_alone(nano):
    answerer = Answerer.open(str(nano))
    answerer.tokenizer.chat_template = "{% if messages[0]['content'] == '2' %}{{ raise_exception('no twos') }}{% endif %}{{ messages[0]['content'] }}"
    good, empty, bad = answerer.answer([ask("1"), ask(""), ask("2")], Sampling(max_new_tokens=1))
    assert good.error is None
    assert empty == Completion.failed("the chat template made no text of the prompt")
    assert bad.error == "chat template refused the prompt: TemplateError: no twos"


def test_the_end_of_a_turn_in_the_template_ends_an_answer_and_is_what_is_scored(
    nano, answerer, tmp_path
):
    folder = tmp_path / "copy"
    shutil.copytree(nano, folder)
    for name, key in (("generation_config.json", "eos_token_id"), ("config.json", "eos_token_id")):
        config = json.loads((folder / name).read_text())
        config[key] = 0
        (folder / name).write_text(json.dumps(config))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["eos_token"] = "<|pad|>"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    other = Answerer.open(str(folder))
    assert set(other.end_ids) == {0, 1}
    ended = [(ask("copy 12:"), Completion.of("12", finish_reason="stop"))]
    assert other.logps(ended) == answerer.logps(ended)


def test_a_cancelled_batch_ends_within_a_token(answerer):
    cancelled = threading.Event()
    cancelled.set()
    answers = answerer.answer(SAMPLED, Sampling(max_new_tokens=40), cancelled)
    assert {a.token_count for a in answers} == {1}


async def test_the_event_loop_runs_while_the_model_answers(nano):
    policy = TransformersPolicy(nano)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await policy.complete(SAMPLED, Sampling(max_new_tokens=8))
    ticking.cancel()
    await policy.aclose()
    assert ticks > 2


async def test_another_checkpoint_answers_after_load(nano, tmp_path):
    from orbiter_trl.nano import make_nano_model

    other = make_nano_model(
        tmp_path / "other", hidden_size=16, layers=1, heads=2, chars="0123456789copy: ", seed=9
    )
    policy = TransformersPolicy(nano)
    sampling = Sampling(max_new_tokens=8)
    before = await policy.complete(SAMPLED, sampling)
    policy.load(other)
    assert policy.model == str(other)
    assert await policy.complete(SAMPLED, sampling) != before
    policy.load(nano)
    assert await policy.complete(SAMPLED, sampling) == before
    await policy.aclose()


async def test_a_policy_without_a_usable_model_says_so(tmp_path):
    with pytest.raises(PolicyError, match="policy 'transformers' has no model"):
        await TransformersPolicy().complete([ask("1")], Sampling())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PolicyError, match="cannot be loaded"):
        await TransformersPolicy(tmp_path).complete([ask("1")], Sampling())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"dtype": "fp16"}, "dtype must be one of auto, float32, bfloat16, float16, got 'fp16'"),
        ({"slots": 0}, "slots must be >= 1 or None, got 0"),
        ({"threads": 0}, "threads must be >= 1 or None, got 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        TransformersPolicy(**options)
    assert str(caught.value) == message


def test_a_folder_without_a_model_is_not_loaded(tmp_path):
    with pytest.raises(
        ConfigError, match=r"checkpoint must be a model folder with a config.json, got"
    ):
        TransformersPolicy().load(tmp_path)


def test_an_unknown_device_is_refused(nano):
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda or cuda:N, got 'gpu'"):
        Answerer.open(str(nano), device="gpu")


@pytest.mark.parametrize(
    ("name", "device", "stored", "loaded"),
    [
        ("auto", "cuda", torch.float32, "bfloat16"),
        ("auto", "cuda", None, "bfloat16"),
        ("auto", "cuda", torch.float16, "auto"),
        ("auto", "cpu", torch.float32, "auto"),
        ("float32", "cuda", torch.float32, "float32"),
    ],
)
def test_a_gpu_answers_in_half_precision_unless_told_otherwise(
    monkeypatch, name, device, stored, loaded
):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    assert dtype_of(name, torch.device(device), stored) == loaded


@pytest.mark.parametrize(("most", "passes"), [(2**27, 1), (1, 3)])
def test_log_probabilities_are_those_of_the_model_alone_and_in_a_batch(
    nano, answerer, monkeypatch, most, passes
):
    monkeypatch.setattr("orbiter_trl.answering.MAX_LOGITS", most)
    alone, taken = Answerer._logps, []
    monkeypatch.setattr(Answerer, "_logps", lambda self, rows: taken.append(1) or alone(self, rows))
    said = [
        (ask("copy 12:"), "12", True),
        (ask("copy 1234567:"), "1234", False),
        (ask("1"), "", True),
    ]
    completions = [
        (request, Completion.of(text, finish_reason="stop" if end else "length"))
        for request, text, end in said
    ]
    policy = TransformersPolicy(nano)

    async def told():
        try:
            return await policy.logps(completions), await policy.logps([])
        finally:
            await policy.aclose()

    found, nothing = asyncio.run(told())
    assert nothing == []
    assert len(taken) == passes
    for (request, text, end), logp in zip(said, found):
        prompt = answerer.tokenizer.apply_chat_template(
            [{"role": "user", "content": request.messages[0].content}],
            add_generation_prompt=True,
            return_dict=True,
        )["input_ids"]
        answer = answerer.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [*prompt, *answer, *([answerer.end_ids[0]] if end else [])]
        with torch.inference_mode():
            spread = answerer.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(spread[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))
        assert logp == pytest.approx(expected, abs=1e-4)
