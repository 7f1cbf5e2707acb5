import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from orbiter_vllm.scoring import answer_ids, scoring_arguments, told_logp

from orbiter.generate.policy import Completion

INTERFACE = json.loads((Path(__file__).parent / "vllm_interface.json").read_text())


def test_what_is_asked_and_read_is_known_to_vllm():
    assert set(scoring_arguments(3)) <= set(INTERFACE["SamplingParams"])
    assert {"prompt_token_ids", "prompt_logprobs", "outputs"} <= set(INTERFACE["RequestOutput"])
    assert {"token_ids", "logprobs"} <= set(INTERFACE["CompletionOutput"])


def test_an_answer_is_its_text_and_its_end():
    def tokenizer(text, add_special_tokens):
        return {"input_ids": [ord(c) for c in text]}

    assert answer_ids(tokenizer, Completion.of("ab", finish_reason="stop"), 1) == [97, 98, 1]
    assert answer_ids(tokenizer, Completion.of("ab", finish_reason="length"), 1) == [97, 98]
    assert answer_ids(tokenizer, Completion.of("", finish_reason="length"), 1) == []


def test_the_tokens_after_the_prompt_are_summed():
    def row(**told):
        return {int(name[1:]): SimpleNamespace(logprob=value) for name, value in told.items()}

    output = SimpleNamespace(
        prompt_token_ids=[5, 6, 7, 8],
        prompt_logprobs=[None, row(t6=-9.0), row(t7=-1.0, t1=-0.1), row(t8=-2.0)],
        outputs=[SimpleNamespace(token_ids=[9], logprobs=[row(t9=-4.0, t2=-0.2)])],
    )
    assert told_logp(output, [5, 6]) == -7.0
    assert told_logp(output, [5, 6, 7, 8]) == pytest.approx(-4.0)
