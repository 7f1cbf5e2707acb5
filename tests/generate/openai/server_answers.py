"""What a server is told to answer, and what it is asked."""

from aiohttp import web

from orbiter.generate.policy import Request
from orbiter.records import Message

SECRET = "sk-very-secret-0123456789"
REQUEST = Request(messages=(Message("user", "hi"),), env="e", task_id="e:1", seed=7)


def chat(content="hello", finish="stop", **more):
    message = {"role": "assistant", "content": content, "refusal": None, "tool_calls": None}
    choice = {"index": 0, "message": {**message, **more}, "finish_reason": finish}
    return {
        "id": "c1",
        "model": "small",
        "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5},
    }


def json_of(body, status=200, **headers):
    async def respond(_):
        return web.json_response(body, status=status, headers=headers)

    return respond


def text_of(text, status=200, content_type="text/html"):
    async def respond(_):
        return web.Response(text=text, status=status, content_type=content_type)

    return respond
