"""The key is shown nowhere, whatever the server does with it; and what an address may be."""

import logging

import pytest
from aiohttp import web
from server_answers import SECRET, chat, json_of, text_of

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.openai import OpenAIPolicy


@pytest.mark.parametrize("lead", range(150, 200, 7))
async def test_no_part_of_the_key_stays_where_a_message_is_cut(ask, lead):
    [completion] = await ask(text_of("-" * lead + SECRET, 400))
    assert SECRET[:3] not in completion.error


async def test_the_key_is_in_no_error_log_or_completion(ask, caplog):
    caplog.set_level(logging.DEBUG)

    async def parrot(request):
        return web.Response(text=f"you sent {dict(request.headers)}", status=parrot.status)

    shown = []
    for status in (200, 400, 500):
        parrot.status = status
        shown.append(repr(await ask(parrot)))
    for status in (401, 404):
        parrot.status = status
        with pytest.raises(PolicyError) as caught:
            await ask(parrot)
        shown.append(f"{caught.value!r} {caught.value} {caught.value.__cause__!r}")
    filtered = await ask(json_of(chat("x", SECRET)))
    everything = "".join(shown) + repr(filtered) + caplog.text
    assert "[key]" in everything
    assert SECRET not in everything


def test_the_key_is_not_shown_by_the_policy(monkeypatch):
    monkeypatch.setenv("THE_KEY", SECRET)
    policy = OpenAIPolicy(base_url="http://x/v1", model="m", api_key_env="THE_KEY")
    assert SECRET not in repr(policy)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "environment variable THE_KEY must hold the API key, got nothing"),
        ("  ", "environment variable THE_KEY must hold the API key, got nothing"),
        ("a\nb: c", "environment variable THE_KEY must hold a key of printable ASCII"),
        ("schlüssel", "environment variable THE_KEY must hold a key of printable ASCII"),
    ],
)
def test_the_variable_must_hold_a_key(monkeypatch, value, message):
    monkeypatch.delenv("THE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("THE_KEY", value)
    with pytest.raises(ConfigError) as caught:
        OpenAIPolicy(base_url="http://x/v1", model="m", api_key_env="THE_KEY")
    assert caught.value.message == message


@pytest.mark.parametrize("variable", [SECRET, "sk_lower", "", 7, "A B"])
def test_a_key_in_place_of_its_variable_is_refused_and_not_shown(variable):
    with pytest.raises(
        ConfigError, match="api_key_env must be the name of an environment"
    ) as caught:
        OpenAIPolicy(base_url="http://x/v1", model="m", api_key_env=variable)
    assert variable == "" or str(variable) not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "x/v1",
        "ftp://x/v1",
        "http://",
        "http://x:99999/v1",
        "http://[::1/v1",
        "file:///etc/passwd",
        7,
    ],
)
def test_base_url_must_be_an_address(base_url):
    with pytest.raises(ConfigError, match="base_url must be an http or https address"):
        OpenAIPolicy(base_url=base_url, model="m")


@pytest.mark.parametrize(
    "base_url", ["http://me:hunter2@x/v1", "http://x/v1?key=hunter2", "http://x/#hunter2"]
)
def test_base_url_must_hold_no_secret(base_url):
    with pytest.raises(ConfigError, match="must have no user name, password, query") as caught:
        OpenAIPolicy(base_url=base_url, model="m")
    assert "hunter2" not in str(caught.value)
