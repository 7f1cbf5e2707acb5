"""What vLLM keeps in its process, and what the policy makes of that: with the module in vLLM's place."""

import asyncio
import os
import random
import threading

import numpy as np
import pytest
import torch
from orbiter_vllm.engine import CPU_CACHE_BYTES
from orbiter_vllm.policy import VllmPolicy

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.policy import Request, Sampling
from orbiter.records import Message

REQUESTS = [Request(messages=(Message("user", "copy 1"),), seed=n) for n in range(3)]


async def complete(policy):
    return await policy.complete(REQUESTS, Sampling(max_new_tokens=4))


@pytest.fixture
def cpu(vllm, monkeypatch):
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    vllm.platform.device_type, vllm.platform.is_cpu = "cpu", lambda: True
    vllm.platform.is_sleep_mode_available = lambda: False
    return vllm


async def test_an_engine_on_a_cpu_leaves_memory_and_reads_prompts_whole(model, cpu, monkeypatch):
    async def made(**options):
        policy = VllmPolicy(model, **options)
        await complete(policy)
        await policy.aclose()
        return cpu.made[-1].get("kv_cache_memory_bytes"), cpu.made[-1]["enable_chunked_prefill"]

    assert await made() == (CPU_CACHE_BYTES, False)
    assert await made(gpu_memory_utilization=0.5) == (None, False)
    own = {"kv_cache_memory_bytes": 7, "enable_chunked_prefill": True}
    assert await made(engine=own) == (7, True)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert await made() == (None, False)


async def test_where_vllm_cannot_sleep_that_is_refused(model, cpu):
    policy = VllmPolicy(model, sleep_when_idle=True)
    with pytest.raises(ConfigError, match=r"sleep_when_idle must be false here: .* device 'cpu'"):
        await complete(policy)
    assert cpu.made == []
    await policy.aclose()


async def test_engines_of_one_process_close_together_and_start_again(model, vllm):
    first, second = VllmPolicy(model), VllmPolicy(model)
    expected = await complete(first)
    assert await complete(second) == expected
    assert len(vllm.made) == 2
    await first.aclose()
    assert (vllm.log.count("shutdown"), vllm.log.count("freed")) == (2, 1)
    assert await complete(second) == expected
    assert await complete(first) == expected
    assert len(vllm.made) == 4
    await second.aclose()
    await first.aclose()
    assert (vllm.log.count("shutdown"), vllm.log.count("freed")) == (4, 2)


async def test_engines_that_sleep_are_alone_in_their_process(model, vllm):
    asleep, other = VllmPolicy(model, sleep_when_idle=True), VllmPolicy(model)
    await complete(asleep)
    with pytest.raises(ConfigError, match="sleep_when_idle must be false where several policies"):
        await complete(other)
    await asleep.aclose()
    await complete(other)
    with pytest.raises(ConfigError, match="sleep_when_idle must be false where several policies"):
        await complete(asleep)
    await other.aclose()


async def test_engines_take_turns(model, vllm):
    inside, most = 0, 0
    within = threading.Lock()

    def on_step():
        nonlocal inside, most
        with within:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.001)
        with within:
            inside -= 1

    vllm.on_step = on_step
    policies = [VllmPolicy(model) for _ in range(2)]
    first, second = await asyncio.gather(*map(complete, policies))
    assert first == second
    assert most == 1
    await policies[0].aclose()


async def test_a_start_leaves_the_process_as_it_was(model, vllm, monkeypatch):
    def seed_all():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    class Intruder(vllm.LLM):
        def __init__(self, **given):
            super().__init__(**given)
            seed_all()
            torch.set_num_threads = print
            os.environ["LD_PRELOAD"] = "libgomp.so"
            os.environ["VLLM_DIST_IDENT"] = "3"
            del os.environ["ORBITER_A_VARIABLE"]

    monkeypatch.setenv("VLLM_DIST_IDENT", "2")
    monkeypatch.setenv("ORBITER_A_VARIABLE", "1")
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(torch, "set_num_threads", torch.set_num_threads)
    vllm.LLM, vllm.on_step = Intruder, seed_all
    threads, states = torch.set_num_threads, []
    for _ in range(2):
        states.append((random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()))  # fmt: skip
        policy = VllmPolicy(model)
        await complete(policy)
        await policy.aclose()
    assert states[0] == states[1]
    assert torch.set_num_threads is threads
    assert "LD_PRELOAD" not in os.environ
    assert os.environ["ORBITER_A_VARIABLE"] == "1"
    assert os.environ["VLLM_DIST_IDENT"] == "3"


class ManyFaults(ValueError):
    """Says what is wrong as pydantic does."""

    def errors(self):
        return [{"msg": "Value error, no such\n  architecture"}, {"msg": "too long"}]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ManyFaults("2 errors\n for ..."), "ManyFaults: Value error, no such architecture; too long"),
        (RuntimeError("size\n\tmismatch"), "RuntimeError: size mismatch"),
    ],
)  # fmt: skip
async def test_what_vllm_says_is_told_on_one_line(model, vllm, error, said):
    def refuse(**given):
        raise error

    vllm.LLM = refuse
    policy = VllmPolicy(model)
    with pytest.raises(PolicyError) as caught:
        await complete(policy)
    assert caught.value.message == f"vLLM cannot serve {str(model)!r}: {said}"
    await policy.aclose()
