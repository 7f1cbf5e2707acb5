"""The name of the plugin keeps its contract as far as that is the policy's part, and a planted bad policy does not."""

import functools
import importlib.util

import pytest
from orbiter_vllm.policy import VllmPolicy

from orbiter.generate.policy import Request, Sampling
from orbiter.plugin import registry
from orbiter.records import Message
from orbiter.testing import check_policy

REQUESTS = [Request(messages=(Message("user", "copy " + "1" * n),), seed=n) for n in range(1, 9)]
SAMPLING = Sampling(max_new_tokens=8)


def check_vllm(model, **options):
    make = functools.partial(registry().create, "policy", "vllm", {"model": str(model), **options})
    check_policy(make, REQUESTS, sampling=SAMPLING, stochastic=True)


CHECKS = {("policy", "vllm"): check_vllm}


@pytest.mark.parametrize("name", CHECKS, ids="-".join)
def test_a_name_keeps_its_contract(name, model, vllm):
    CHECKS[name](model)


@pytest.mark.filterwarnings("ignore")  # vLLM and what it imports warn of each other
@pytest.mark.xdist_group("vllm")
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_with_the_real_engine(model):
    small = {"enforce_eager": True, "kv_cache_memory_bytes": 2**25}
    check_vllm(model, dtype="float32", engine=small)


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "vllm"} == set(CHECKS)


class ForgetfulPolicy(VllmPolicy):
    """Samples from a seed of its own."""

    asked = 0

    async def complete(self, requests, sampling):
        self.asked += 1
        return await super().complete(
            [Request(messages=r.messages, seed=self.asked) for r in requests], sampling
        )


def test_a_planted_bad_policy_fails(model, vllm):
    with pytest.raises(AssertionError, match="breaks 'same answers again'"):
        check_policy(lambda: ForgetfulPolicy(model), REQUESTS, sampling=SAMPLING)
