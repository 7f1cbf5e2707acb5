"""The policy against a real server on loopback that misbehaves in every way a server can."""

import asyncio
import json
from contextlib import suppress
from email.utils import formatdate

import pytest
from aiohttp import web
from server_answers import REQUEST, SECRET, chat, json_of, text_of

from orbiter.errors import PolicyError
from orbiter.generate.openai import OpenAIPolicy
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.records import Message


async def half_a_body(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    request.transport.close()
    return response


async def reset(request):
    request.transport.abort()
    return web.Response()


async def never(_):
    await asyncio.Event().wait()


async def test_an_answer(ask):
    assert await ask(json_of(chat())) == [
        Completion.of("hello", token_count=5, prompt_token_count=3)
    ]


async def test_what_the_server_is_sent(ask, server):
    sampling = Sampling(temperature=0.3, top_p=0.9, max_new_tokens=64)
    await ask(json_of(chat()), sampling=sampling)
    [(headers, body)] = server.seen
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert body == {
        "model": "small",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 64,
        "seed": 7,
    }


async def test_optional_fields_are_sent_when_they_are_set(ask, server):
    tools = ({"type": "function", "function": {"name": "f", "parameters": {}}},)
    request = Request(messages=REQUEST.messages, tools=tools)
    extra = {
        "max_tokens": None,
        "max_completion_tokens": 9,
        "chat_template_kwargs": {"thinking": False},
    }
    await ask(
        json_of(chat()), requests=[request], sampling=Sampling(top_k=5, stop=("\n",)), extra=extra
    )
    body = server.seen[0][1]
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 9
    assert body["chat_template_kwargs"] == {"thinking": False}
    assert (body["top_k"], body["stop"], body["tools"]) == (5, ["\n"], list(tools))


async def test_no_key_is_sent_where_none_is_named(ask, server):
    await ask(json_of(chat()), api_key_env=None)
    assert "Authorization" not in server.seen[0][0]


async def test_tool_calls_pass_through_both_ways(ask, server):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = (
        Message("user", "hi"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "found", tool_call_id="1"),
    )
    [completion] = await ask(
        json_of(chat(None, "tool_calls", tool_calls=[call])), requests=[Request(messages=history)]
    )
    assert completion.messages == (Message("assistant", None, tool_calls=(call,)),)
    assert completion.finish_reason == "stop"
    assert server.seen[0][1]["messages"][1:] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "1"},
    ]


async def test_reasoning_is_kept_beside_the_text(ask):
    [completion] = await ask(json_of(chat("42", reasoning_content="6*7")))
    assert completion.messages[0].extra == {"reasoning_content": "6*7"}


async def test_length_and_model_and_missing_usage(ask):
    body = {**chat(finish="length"), "model": "small-2024", "usage": None}
    [completion] = await ask(json_of(body))
    assert (completion.finish_reason, completion.model) == ("length", "small-2024")
    assert (completion.token_count, completion.prompt_token_count) == (0, 0)


async def test_an_empty_answer_is_an_answer(ask):
    [completion] = await ask(json_of(chat(None)))
    assert completion.messages == (Message("assistant", ""),)


@pytest.mark.parametrize("finish", ["content_filter", None, "strange", ["stop"], 7])
async def test_an_answer_that_is_not_whole_is_none(ask, finish):
    [completion] = await ask(json_of(chat("hel", finish)))
    assert (completion.messages, completion.finish_reason) == ((), "error")
    assert completion.error == f"server finished with {finish!r}"
    assert completion.token_count == 5  # they were generated, and paid for


PASSING_FAULTS = {
    "429": json_of({"error": "slow down"}, 429),
    "429 with Retry-After": json_of({}, 429, **{"Retry-After": "0"}),
    "500": text_of("oops", 500),
    "502": text_of("<html>bad gateway</html>", 502),
    "503": json_of({}, 503, **{"Retry-After": formatdate(0, usegmt=True)}),
    "408": text_of("", 408),
    "204": text_of("", 204),
    "connection reset": reset,
    "half a body": half_a_body,
    "200 with HTML": text_of("<html>please log in</html>"),
    "200 with nothing": text_of("", content_type="application/json"),
    "200 with an error": json_of({"error": {"message": "overloaded"}}),
    "no choices": json_of({**chat(), "choices": []}),
    "choices null": json_of({**chat(), "choices": None}),
    "a list": json_of([chat()]),
    "no message": json_of({"choices": [{"finish_reason": "stop"}]}),
    "a message of a user": json_of(chat(role="user")),
    "a message of a number": json_of(chat(content=7)),
    "NaN": text_of('{"choices": NaN}', content_type="application/json"),
    "not UTF-8": text_of("\ud800".encode("utf-16", "surrogatepass").decode("latin1")),
}


@pytest.mark.parametrize("fault", PASSING_FAULTS.values(), ids=PASSING_FAULTS)
async def test_a_fault_that_passes_is_asked_again(ask, server, fault):
    [completion] = await ask(fault, fault, json_of(chat()))
    assert completion.messages[0].text == "hello"
    assert len(server.seen) == 3
    assert server.seen[0][1] == server.seen[2][1]


@pytest.mark.parametrize("fault", PASSING_FAULTS.values(), ids=PASSING_FAULTS)
async def test_a_fault_that_stays_fails_this_request_alone(ask, server, fault):
    [completion] = await ask(fault)
    assert (completion.messages, completion.finish_reason) == ((), "error")
    assert completion.error
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (text_of("oops", 500), "HTTP 500: 'oops'"),
        (json_of({"error": "slow"}, 429), 'HTTP 429: \'{"error": "slow"}\''),
        (text_of("<html>  a\n b"), "answer is no chat completion: '<html> a b'"),
        (text_of("x" * 900), f"answer is no chat completion: '{'x' * 197}...'"),
        (
            json_of({"choices": [{"message": {"role": "user"}}]}),
            "answer is no chat completion: its role is 'user': "
            '\'{"choices": [{"message": {"role": "user"}}]}\'',
        ),
        (never, "timeout: no answer within 0.05 s"),
    ],
)
async def test_what_is_said_of_a_fault(ask, fault, error):
    [completion] = await ask(fault, timeout_s=0.05, retries=0)
    assert completion.error == error


async def test_a_server_that_is_not_there(unused_tcp_port):
    policy = OpenAIPolicy(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", model="m", retries=0)
    [completion] = await policy.complete([REQUEST], Sampling())
    await policy.aclose()
    assert completion.error.startswith("connection: ClientConnectorError: Cannot connect to host")


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_request_is_not_asked_again(ask, server, status):
    [completion] = await ask(json_of({"error": "too long"}, status))
    assert completion.error == f'HTTP {status}: \'{{"error": "too long"}}\''
    assert len(server.seen) == 1


async def test_a_redirect_is_not_followed(ask, server):
    async def redirect(_):
        raise web.HTTPTemporaryRedirect(server.url + "/chat/completions")

    [completion] = await ask(redirect)
    assert completion.error.startswith("HTTP 307: ")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_everything(ask, server, status):
    with pytest.raises(
        PolicyError, match=f"model server refused the API key with HTTP {status}: 'no'"
    ):
        await ask(text_of("no", status), requests=[REQUEST] * 3)


async def test_an_unknown_model_stops_everything(ask):
    with pytest.raises(
        PolicyError, match="model server has no model 'small' at this address: HTTP 404"
    ):
        await ask(json_of({"error": "no such model"}, 404))


async def test_answers_come_in_the_order_of_requests(ask):
    async def echo(request):
        body = await request.json()
        await asyncio.sleep(0.02 if body["seed"] == 0 else 0)
        return web.json_response(chat(str(body["seed"])))

    requests = [Request(messages=REQUEST.messages, seed=seed) for seed in range(8)]
    completions = await ask(echo, requests=requests)
    assert [c.messages[0].text for c in completions] == [str(seed) for seed in range(8)]


async def test_what_comes_unasked_answers_no_later_request():
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
    came, serving = asyncio.Event(), []

    async def answer_twice(reader, writer):
        serving.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(size))["messages"][0]["content"]
                body = json.dumps(chat(f"to {asked}")).encode()
                for _ in range(2):
                    writer.write(response % (len(body), body))
                    await asyncio.sleep(0.02)  # two parts, the second when the first is read
                came.set()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_twice, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        policy = OpenAIPolicy(base_url=url, model="small")
        for asked in "abc":
            [answer] = await policy.complete([Request(messages=(Message("user", asked),))], Sampling())  # fmt: skip
            assert answer.messages[0].text == f"to {asked}"
            await came.wait()
            came.clear()
        await policy.aclose()
        await asyncio.gather(*serving)


async def test_one_failure_leaves_the_others(ask):
    async def odd(request):
        body = await request.json()
        status = 400 if body["seed"] % 2 else 200
        return web.json_response(chat(), status=status)

    requests = [Request(messages=REQUEST.messages, seed=seed) for seed in range(4)]
    completions = await ask(odd, requests=requests)
    assert [c.error is None for c in completions] == [True, False, True, False]


async def test_concurrency_is_a_bound(ask, server):
    async def slow(_):
        await asyncio.sleep(0.005)
        return web.json_response(chat())

    await ask(slow, requests=[REQUEST] * 12, concurrency=3)
    assert server.most_under_way == 3


async def test_a_policy_can_be_used_again_after_it_was_closed(server):
    server.responses = [json_of(chat())]
    policy = OpenAIPolicy(base_url=server.url, model="small")
    for _ in range(2):
        assert (await policy.complete([REQUEST], Sampling()))[0].error is None
        await policy.aclose()
    await policy.aclose()


async def test_what_the_server_says_of_the_pause_counts(ask, server):
    busy = json_of({}, 429, **{"Retry-After": "0"})
    async with asyncio.timeout(5):
        [completion] = await ask(busy, json_of(chat()), retry_wait_s=60)
    assert completion.error is None


def of(*texts):
    choices = [{**chat(text)["choices"][0], "index": n} for n, text in enumerate(texts)]
    return json_of({**chat(), "choices": choices})


def several(count):
    return [Request(messages=REQUEST.messages, attempt=n, seed=100 + n) for n in range(count)]


async def test_a_deadline_holds_for_who_waits_for_others_too(ask, server):
    busy = json_of({}, 429, **{"Retry-After": "100"})
    async with asyncio.timeout(20):
        answers = await ask(busy, requests=[REQUEST] * 3, concurrency=1, deadline_s=1)
    assert [answer.error for answer in answers] == [
        "deadline of 1 s: HTTP 429: '{}'",
        *["deadline of 1 s: no request was opened in time"] * 2,
    ]
    assert len(server.seen) == 1


async def test_samples_of_one_prompt_are_asked_for_together(ask, server):
    other = Request(messages=(Message("user", "ho"),), seed=9)
    requests = [*several(3), other]

    async def answer(request):
        asked = await request.json()
        texts = [f"{asked['messages'][0]['content']}{n}" for n in range(asked.get("n", 1))]
        return await of(*texts)(request)

    found = await ask(answer, requests=requests, samples_per_request=3, concurrency=1)
    assert [one.messages[0].text for one in found] == ["hi0", "hi1", "hi2", "ho0"]
    assert [(body.get("n"), body["seed"]) for _, body in server.seen] == [(3, 100), (None, 9)]
    assert found[2].metadata["request"] == {"choice": 2, "n": 3, "seed": 100}


async def test_a_server_that_gives_one_at_a_time_is_asked_until_all_are_there(ask, server):
    found = await ask(
        *(of(text) for text in "abc"), requests=several(3), samples_per_request=3, retries=0
    )
    assert [one.messages[0].text for one in found] == ["a", "b", "c"]
    assert [body["seed"] for _, body in server.seen] == [100, 101, 102]


async def test_what_stays_missing_fails_alone(ask):
    found = await ask(
        of("a"), text_of("oops", 500), requests=several(2), samples_per_request=2, retries=1
    )
    assert found[0].messages[0].text == "a"
    assert found[1].error == "HTTP 500: 'oops'"


async def test_log_probabilities_are_asked_for(ask, server):
    await ask(json_of(chat()), logprobs=True)
    assert server.seen[0][1]["logprobs"] is True


async def test_refusals_for_want_of_capacity_let_fewer_requests_be_open(ask, server):
    """The server bears four requests at once, and refuses every further one."""

    async def small(_):
        if server.under_way > 4:
            return web.Response(status=429)
        await asyncio.sleep(0.01)
        return web.json_response(chat())

    requests = [Request(messages=REQUEST.messages, seed=n) for n in range(150)]
    found = await ask(small, requests=requests, concurrency=50, retries=40)
    assert all(one.error is None for one in found)
    refused = len(server.seen) - 150
    # With 50 open throughout, each answer would have come with ten refusals.
    assert refused < 300
