"""Each name of the plugin keeps its contract."""

import functools

import pytest

from orbiter.plugin import registry
from orbiter.records import Message
from orbiter.testing import check_judge_model
from orbiter.verify.judges import Question

QUESTIONS = [Question(messages=(Message("user", word),), seed=n) for n, word in enumerate("abc")]
RECORDED = {"name": "scripted", "answers": {"a": "1", "b": "2", "c": "3"}}


def over_http(server):
    server.responses = [lambda body: body["messages"][0]["content"] * 2]
    return {"base_url": server.url, "model": "m"}


CHECKS = {
    ("judge_model", "openai"): over_http,
    ("judge_model", "policy"): lambda _: {"policy": RECORDED},
}


@pytest.mark.parametrize("name", CHECKS, ids="-".join)
def test_a_name_keeps_its_contract(name, server):
    check_judge_model(functools.partial(registry().create, *name, CHECKS[name](server)), QUESTIONS)


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "judge"} == set(CHECKS)
