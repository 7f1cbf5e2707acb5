"""Options that make no sense are refused with one line."""

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.openai import OpenAIPolicy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "model must be the name of a model, got ''"),
        ({"concurrency": 0}, "concurrency must be an integer >= 1, got 0"),
        ({"concurrency": 1.5}, "concurrency must be an integer >= 1, got 1.5"),
        ({"retries": -1}, "retries must be an integer >= 0, got -1"),
        ({"extra": "top_k"}, "extra must be fields of the request body, got 'top_k'"),
        ({"timeout_s": 0}, "timeout_s must be a number of seconds above 0, got 0"),
        ({"retry_wait_s": "1"}, "retry_wait_s must be a number of seconds above 0, got '1'"),
        ({"deadline_s": -1}, "deadline_s must be a number of seconds above 0, got -1"),
        ({"samples_per_request": 0}, "samples_per_request must be an integer >= 1, got 0"),
        ({"logprobs": 5}, "logprobs must be true or false, got 5"),
        ({"reasoning": "x"}, "reasoning must be one of message, metadata, think, got 'x'"),
        ({"extra": {"n": 4}}, "extra must not hold n, stream or messages, got ['n']"),
        (
            {"prompt_price": -1, "completion_price": 1},
            "prompt_price must be the price of a million tokens, got -1",
        ),
        (
            {"prompt_price": 1},
            "prompt_price and completion_price must go together, got one of them",
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        OpenAIPolicy(**{"base_url": "http://x/v1", "model": "m", **options})
    assert caught.value.message == message
