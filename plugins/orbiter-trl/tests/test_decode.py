from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_trl.decode import pick, uniforms

from orbiter.generate.policy import Sampling


def shares(logits, sampling, draws=2000):
    """How often each token is picked when the uniform numbers lie evenly in [0, 1)."""
    even = (torch.arange(draws) + 0.5) / draws
    picked = pick(torch.tensor([logits]).expand(draws, -1), even, sampling)
    return {token: n / draws for token, n in sorted(Counter(picked.tolist()).items())}


logit_rows = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12)


@settings(max_examples=50, deadline=None)
@given(logits=logit_rows, temperature=st.floats(0.3, 3))
def test_tokens_are_drawn_in_proportion_to_their_probability(logits, temperature):
    probs = (torch.tensor(logits) / temperature).softmax(-1)
    found = shares(logits, Sampling(temperature=temperature))
    for token, prob in enumerate(probs.tolist()):
        assert found.get(token, 0.0) == pytest.approx(prob, abs=2e-3)


@settings(max_examples=50, deadline=None)
@given(logits=st.permutations([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]), k=st.integers(1, 8))
def test_top_k_draws_from_the_k_likeliest_in_proportion(logits, k):
    ranked = sorted(range(6), key=lambda i: -logits[i])[:k]
    probs = torch.tensor([logits[i] for i in ranked]).softmax(-1)
    found = shares(logits, Sampling(top_k=k))
    assert set(found) == set(ranked)
    for token, prob in zip(ranked, probs.tolist()):
        assert found[token] == pytest.approx(prob, abs=2e-3)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.1, {0}),
        (0.49, {0}),
        (0.51, {0, 1}),
        (0.79, {0, 1}),
        (0.81, {0, 1, 2}),
        (0.99, {0, 1, 2, 3}),
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, kept):
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert set(shares(logits, Sampling(top_p=top_p))) == kept


@settings(max_examples=50, deadline=None)
@given(logits=logit_rows, uniform=st.floats(0, 1, exclude_max=True, width=32))
def test_temperature_0_and_top_k_1_take_the_likeliest(logits, uniform):
    row, at = torch.tensor([logits]), torch.tensor([uniform])
    best = max(logits)
    assert logits[pick(row, at, Sampling(temperature=0)).item()] == best
    assert logits[pick(row, at, Sampling(top_k=1)).item()] == best


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_an_impossible_token_is_never_drawn(uniform):
    logits = torch.tensor([[-torch.inf, 1.0, 2.0, -torch.inf]])
    assert pick(logits, torch.tensor([uniform]), Sampling()).item() in (1, 2)


def test_a_stream_depends_on_its_seed_alone():
    alone, together = uniforms([7], 5), uniforms([3, 7, 3], 9)
    assert torch.equal(together[1, :5], alone[0])
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert uniforms([-1], 4).shape == (1, 4)
    assert float(uniforms([1, 2**70], 1000).mean()) == pytest.approx(0.5, abs=0.03)
