"""A real server on loopback that answers as it is told, and the policy that asks it."""

import json

import pytest
from aiohttp import web
from server_answers import REQUEST, SECRET

from orbiter.generate.openai import OpenAIPolicy
from orbiter.generate.policy import Sampling


class Server:
    """Answers the n-th request by the n-th of its responses, and further ones by the last."""

    def __init__(self):
        self.responses, self.seen = [], []
        self.under_way = self.most_under_way = 0

    async def handle(self, request):
        body = await request.read()
        self.seen.append((request.headers.copy(), json.loads(body)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self.responses[min(len(self.seen), len(self.responses)) - 1](request)
        finally:
            self.under_way -= 1


@pytest.fixture
async def server():
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@pytest.fixture
def ask(server, monkeypatch):
    monkeypatch.setenv("THE_KEY", SECRET)

    async def ask(*responses, requests=(REQUEST,), sampling=None, **options):
        server.responses = list(responses)
        settings = {"api_key_env": "THE_KEY", "retries": 2, "retry_wait_s": 0.001, "timeout_s": 5.0}
        policy = OpenAIPolicy(base_url=server.url, model="small", **{**settings, **options})
        try:
            return await policy.complete(requests, sampling or Sampling())
        finally:
            await policy.aclose()

    return ask
