"""A real server on loopback that says what it is told to, in a thread of its own."""

import asyncio
import json
import threading

import pytest
from aiohttp import web
from orbiter_judge.openai import OpenAIJudgeModel

from orbiter.records import Message, Task
from orbiter.verify import judge
from orbiter.verify.answer import answered
from orbiter.verify.judges import PointwiseJudge


def chat(content, finish="stop", **more):
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": content}
    return {
        "model": "small",
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20},
        **more,
    }


def response(said):
    if isinstance(said, str):
        said = chat(said)
    if isinstance(said, dict):
        return web.json_response(said)
    status, text, headers = (*said, {})[:3]
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


class Server:
    """Answers the n-th request by the n-th of its responses, and further ones by the last.

    A response is the text of a whole chat completion, a (status, text) or (status, text, headers), a JSON body,
    ConnectionResetError, or a function that makes one of the request's body.
    """

    def __init__(self):
        self.responses, self.seen, self.latency_s = [], [], 0.0
        self.under_way = self.most_under_way = 0
        self.ready = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.serve(),), daemon=True)

    async def serve(self):
        self.done, self.loop = asyncio.Event(), asyncio.get_running_loop()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self.ready.set()
        await self.done.wait()
        await runner.cleanup()

    async def handle(self, request):
        body = json.loads(await request.read())
        self.seen.append((request.headers.copy(), body))
        said = self.responses[min(len(self.seen), len(self.responses)) - 1]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.latency_s)
            if said is ConnectionResetError:
                request.transport.abort()
                return web.Response()
            return response(said(body) if callable(said) else said)
        finally:
            self.under_way -= 1

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(10)


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def body():
    """Return a function that gives the body of a chat completion."""
    return chat


@pytest.fixture
def task():
    return Task("e", "e:1", (Message("user", "What is 6 * 7?"),), answer="42")


@pytest.fixture
def secret():
    """The key of the server."""
    return "sk-very-secret-0123456789"


@pytest.fixture
def model(server, monkeypatch, secret):
    """Return a function that makes a model of the server, given what the server says."""
    monkeypatch.setenv("THE_KEY", secret)

    def model(*responses, **options):
        server.responses = list(responses)
        quick = {"api_key_env": "THE_KEY", "retries": 1, "retry_wait_s": 0.001, "timeout_s": 5.0}
        return OpenAIJudgeModel(base_url=server.url, model="small", **{**quick, **options})

    return model


@pytest.fixture
def verdict(model, task):
    """Return a function that gives a pointwise verdict on an answer, given what the server says."""

    def verdict(*responses, answer="It is 42.", judge_options=None, **options):
        pointwise = PointwiseJudge(
            model=model(*responses, **options), rubric="It is right.", **(judge_options or {})
        )
        return judge(pointwise, task, answered(task, answer))

    return verdict
