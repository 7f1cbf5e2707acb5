from types import SimpleNamespace

from orbiter.generate.chat_template import answer_message, render, to_chat, turn_end_id
from orbiter.generate.policy import Request
from orbiter.records import Message


class Characters:
    """A tokenizer of characters whose template writes words and a bar after each turn."""

    def __init__(self):
        self.rendered = []
        self.added_tokens_decoder = {ord("|"): SimpleNamespace(special=True)}

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(c) for c in text]}

    def apply_chat_template(self, chat, tokenize, **options):
        self.rendered.append((chat, options))
        text = "".join(f"{message['content'] or ''}|" for message in chat)
        if "no" in text:
            raise ValueError("not that")
        return {"input_ids": [ord(c) for c in text[:-1]]} if tokenize else text


def test_arguments_of_calls_become_objects_where_they_are():
    def call(arguments):
        return {"type": "function", "function": {"name": "f", "arguments": arguments}}

    chat = to_chat([Message("assistant", tool_calls=(call('{"a": 1}'), call("["), call("[1]")))])
    said = [one["function"]["arguments"] for one in chat[0]["tool_calls"]]
    assert said == [{"a": 1}, "[", "[1]"]
    assert chat[0]["content"] is None


def test_a_prompt_that_comes_again_is_rendered_once_and_a_refused_one_fails_alone():
    tokenizer = Characters()
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    hi = Request(messages=(Message("user", "hi"),), tools=(tool,))
    requests = [hi, Request(messages=(Message("user", "no"),)), hi, Request(messages=(Message("user", ""),))]  # fmt: skip
    assert render(tokenizer, requests, {"think": False}) == [
        [104, 105],
        "chat template refused the prompt: ValueError: not that",
        [104, 105],
        "the chat template made no text of the prompt",
    ]
    assert len(tokenizer.rendered) == 3
    options = tokenizer.rendered[0][1]
    assert options == {
        "tools": [tool],
        "add_generation_prompt": True,
        "return_dict": True,
        "think": False,
    }


def test_the_token_that_ends_a_turn():
    tokenizer = Characters()
    assert turn_end_id(tokenizer) == ord("|")
    tokenizer.added_tokens_decoder = {}
    assert turn_end_id(tokenizer) is None
    tokenizer.apply_chat_template = None
    assert turn_end_id(tokenizer) is None


def test_calls_are_read_where_the_tokenizer_says_how_and_stay_text_where_that_fails():
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    tokenizer = SimpleNamespace(
        response_schema={}, parse_response=lambda ids: {"content": "c", "tool_calls": [call] * ids[0]}
    )  # fmt: skip
    assert answer_message(tokenizer, [1], "t") == Message("assistant", "c", tool_calls=(call,))
    assert answer_message(tokenizer, [0], "t") == Message("assistant", "t")
    assert answer_message(tokenizer, [None], "t") == Message("assistant", "t")
    tokenizer.response_schema = None
    assert answer_message(tokenizer, [1], "t") == Message("assistant", "t")


def test_a_reader_of_answers_gets_the_prompt_and_the_tools_where_it_takes_them():
    call = {"type": "function", "function": {"name": "f", "arguments": {"n": 7}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    given = []

    def parse_response(response, schema=None, *, prefix=None, tools=None):
        given.append((response, prefix, tools))
        return {"tool_calls": [call]}

    tokenizer = SimpleNamespace(response_template={}, parse_response=parse_response)
    said = Message("assistant", None, tool_calls=(call,))
    assert answer_message(tokenizer, (3,), "t", prompt=(1, 2), tools=(tool,)) == said
    assert answer_message(tokenizer, (3,), "t") == said
    assert given == [([3], [1, 2], [tool]), ([3], [], None)]
    tokenizer.response_template = None
    assert answer_message(tokenizer, (3,), "t") == Message("assistant", "t")
