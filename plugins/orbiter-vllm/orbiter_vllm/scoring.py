"""Log-probabilities, out of what vLLM tells: of the tokens that it sampled, and of an answer that is there already.

For the latter all its tokens but the last are a prompt, and the last is drawn from itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orbiter.generate.policy import Completion


def answer_ids(tokenizer: Any, completion: Completion, end_id: int) -> list[int]:
    """Return the tokens of an answer's text, and of its end if it ended.

    Args:
        tokenizer: A Hugging Face tokenizer.
        completion: The answer.
        end_id: The token that ends an answer.
    """
    text = "".join(message.text for message in completion.messages)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [*ids, end_id] if completion.finish_reason == "stop" else ids


def scoring_arguments(last: int) -> dict[str, Any]:
    """Return the arguments of vLLM's ``SamplingParams`` that tell the log-probabilities of a prompt's tokens and of ``last`` after them.

    So an answer may fill the context: vLLM takes no prompt that does.
    """
    return {
        "temperature": 0,
        "max_tokens": 1,
        "allowed_token_ids": [last],
        "logprobs": 0,
        "prompt_logprobs": 0,
        "detokenize": False,
    }


def told_logp(output: Any, prompt: list[int]) -> float:
    """Return the log-probability in nats of all that follows a prompt.

    Args:
        output: What vLLM returned.
        prompt: The prompt's tokens.
    """
    drawn = output.outputs[0]
    follow = zip(output.prompt_token_ids[len(prompt) :], output.prompt_logprobs[len(prompt) :])
    last = zip(drawn.token_ids, drawn.logprobs)
    return sum(told[token].logprob for token, told in [*follow, *last])


def sampled_logprobs(ids: Sequence[int], told: Sequence[Mapping[int, Any]]) -> dict[str, list[Any]]:
    """Return tokens and their log-probabilities in nats, as the policy openai keeps them."""
    chosen = [among[token] for token, among in zip(ids, told)]
    return {
        "tokens": [one.decoded_token for one in chosen],
        "logprobs": [one.logprob for one in chosen],
    }
