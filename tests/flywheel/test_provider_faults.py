"""Whatever a model server does wrong: no sample is lost, none fails by it, and every one is in the ledger."""

import asyncio
import gzip
from email.utils import formatdate
from random import Random
from time import time

import orjson
import pytest

from orbiter.errors import PolicyError
from orbiter.flywheel.rollout import Rollout
from orbiter.flywheel.rollout_plan import RolloutPlan
from orbiter.flywheel.waves import UniformWaves
from orbiter.generate import Sampling
from orbiter.generate.openai import OpenAIPolicy
from orbiter.generate.openai import client as client_of
from orbiter.ledger import Ledger
from orbiter.records import Message, Outcome, Task
from orbiter.testing import ChatServer, Reply, chat
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool

PASS, INVALID = Outcome.PASS, Outcome.INVALID
PLAN = RolloutPlan(
    run="r",
    round=1,
    engine="policy",
    tasks=[Task("env", name, (Message("user", name),), answer="right") for name in "abcdef"],
    waves=UniformWaves(2),
    seed=7,
    sampling=Sampling(),
)
GOOD = orjson.dumps(chat("right"))
HTML = b"<html><title>502 Bad Gateway</title></html>"


def status(code, body=b'{"error": "x"}', **headers):
    return Reply(
        status=code, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def ok(body, **headers):
    return status(200, body if isinstance(body, bytes) else orjson.dumps(body), **headers)


def of_choices(*choices):
    return ok({"choices": list(choices)})


def choice(index, text="right", finish="stop"):
    message = {"role": "assistant", "content": text}
    return {"index": index, "message": message, "finish_reason": finish}


def calling(call):
    return ok(chat("right", tool_calls=[call], finish_reason="tool_calls"))


WRONG = chat("wrong")

# Each may pass, so that it is asked again.
PASSING = {
    "429": status(429),
    "429 with Retry-After in seconds": status(429, Retry_After="0"),
    "429 with Retry-After as a date": status(429, Retry_After=formatdate(time() - 9, usegmt=True)),
    "429 with a Retry-After of garbage": status(429, Retry_After="soon"),
    "408": status(408),
    "500": status(500),
    "502 with HTML": status(502, HTML, Content_Type="text/html"),
    "503 with Retry-After": status(503, Retry_After="0"),
    "529": status(529),
    "reset before the headers": Reply(body=GOOD, share=0.0),
    "reset in the headers": Reply(body=GOOD, share=0.1),
    "reset in the body": Reply(body=GOOD, share=0.9),
    "closed in the body": Reply(body=GOOD, share=0.9, ending="close"),
    "slow headers": Reply(body=GOOD, latency_s=9.0),
    "a body that never ends": Reply(body=GOOD, share=0.9, ending="hang"),
    "200 with HTML": ok(HTML, Content_Type="text/html"),
    "200 with nothing": ok(b""),
    "200 with an error": ok({"error": {"message": "overloaded", "code": 429}}),
    "no JSON": ok(b"{'choices': 7}"),
    "half the JSON": ok(GOOD[: len(GOOD) // 2]),
    "NaN": ok(b'{"choices": NaN}'),
    "JSON that is too deep": ok(b'{"choices":' + b"[" * 100_000),
    "not UTF-8": ok(GOOD.replace(b"right", b"\xff\xfe")),
    "half a character": ok(GOOD.replace(b"right", rb"\ud800")),
    "no choices": ok({**WRONG, "choices": []}),
    "choices are null": ok({**WRONG, "choices": None}),
    "choices are an object": ok({**WRONG, "choices": {"0": choice(0)}}),
    "a choice is a text": of_choices("right"),
    "message is null": of_choices({"index": 0, "message": None, "finish_reason": "stop"}),
    "content is a number": of_choices(choice(0, 7)),
    "content has a part that is none": of_choices(
        choice(0, [{"type": "text", "text": "right"}, None])
    ),
    "content has a text that is none": of_choices(choice(0, [{"type": "text", "text": 7}])),
    "a tool call is null": calling(None),
    "a tool call without a function": calling({"id": "1", "type": "function"}),
    "a tool call of no name": calling({"function": {"name": None, "arguments": "{}"}}),
    "a tool call of arguments that are a number": calling(
        {"function": {"name": "f", "arguments": 7}}
    ),
    "another role": ok(chat("right", role="user")),
    "a body without end": Reply(body=b" " * 300_000 + GOOD),
    "a packed body": ok(gzip.compress(GOOD), Content_Encoding="gzip"),
    "a bomb": ok(gzip.compress(b"0" * 1_000_000), Content_Encoding="gzip"),
    "a length that is none": ok(GOOD, Content_Length="9x"),
    "no HTTP": Reply(body=b"", share=0.0, ending="close"),
}
# Each is an answer to this request, and asking again would give the same.
STAYING = {
    "400": status(400),
    "413": status(413),
    "422": status(422),
    "a redirect": status(307, Location="http://127.0.0.1:9/"),
    "content_filter": ok(chat("wrong", finish_reason="content_filter")),
    "an unknown finish_reason": ok(chat("wrong", finish_reason="banana")),
    "no finish_reason": ok(chat("wrong", finish_reason=None)),
}
# Of two that were asked for.
WRONG_CHOICES = {
    "fewer choices": of_choices(choice(0)),
    "more choices": of_choices(choice(0), choice(1), choice(2, "wrong")),
    "choices in another order": of_choices(choice(1), choice(0)),
    "a choice twice": of_choices(choice(0), choice(0, "wrong")),
    "an index beyond": of_choices(choice(0), choice(7, "wrong")),
    "an index below": of_choices(choice(0), choice(-1, "wrong")),
    "an index that is a text": of_choices(choice(0), choice("1", "wrong")),
    "no index": of_choices(*({**choice(0), "index": None} for _ in range(2))),
    "one that is none": of_choices(choice(0), {"index": 1, "message": None}),
}


@pytest.fixture(scope="module")
def server():
    with ChatServer(lambda asked: answer(server, asked)) as server:
        yield server


def answer(server, asked):
    """Answer healthily, but for task b the first time, and for task c always."""
    name = asked["messages"][-1]["content"]
    server.tries[name] = server.tries.get(name, 0) + 1
    if callable(server.fault):
        return server.fault()
    if name == "c" or (name == "b" and server.tries[name] == 1):
        return server.fault
    return "right"


@pytest.fixture
def roll_out(server, tmp_path, monkeypatch):
    """Return a function that runs the plan against a fault, and gives outcomes by task, reasons, and the account."""
    monkeypatch.setattr(client_of, "MAX_BODY_BYTES", 200_000)

    async def run(fault, **options):
        server.fault, server.tries = fault, {}
        settings = {"concurrency": 8, "retries": 1, "retry_wait_s": 0.001, "timeout_s": 60}
        policy = OpenAIPolicy(base_url=server.url, model="m", **{**settings, **options})
        with (
            VerifierPool(ExactVerifier(), workers=0) as pool,
            Ledger.open(tmp_path / "run") as ledger,
        ):
            try:
                await Rollout(PLAN, policy=policy, pool=pool, ledger=ledger).run()
            finally:
                await policy.aclose()
                outcomes, reasons = {}, set()
                for attempt in ledger.attempts():
                    verdict = ledger.verdict_of(attempt.key)
                    if verdict is not None:
                        outcomes.setdefault(attempt.key.task_id, []).append(verdict.outcome)
                        if verdict.outcome is not PASS:
                            reasons.add(verdict.reason)
                            assert verdict.score is None
                    else:
                        assert attempt.trajectory.answer == "right"
                run.account = ledger.account().check()
            return outcomes, reasons

    def roll_out(fault, **options):
        try:
            return asyncio.run(run(fault, **options))
        finally:
            roll_out.account = run.account

    return roll_out


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_costs_nothing_and_one_that_stays_its_own_samples(roll_out, fault):
    never = isinstance(fault, Reply) and (fault.latency_s or fault.ending == "hang")
    outcomes, reasons = roll_out(fault, timeout_s=1.0 if never else 60)
    # One of task b's two samples was asked twice.
    assert outcomes == {name: [INVALID if name == "c" else PASS] * 2 for name in "abcdef"}
    assert all(reason.startswith("no answer: ") for reason in reasons)
    account = roll_out.account
    assert (account.planned, account.generated, account.passed) == (12, 12, 10)
    assert (account.failed, account.invalid_count, account.pending) == (0, 2, 0)


@pytest.mark.parametrize("fault", STAYING.values(), ids=STAYING)
def test_what_is_no_answer_for_good_is_not_asked_again(roll_out, server, fault):
    outcomes, _ = roll_out(fault)
    assert sorted(outcomes.pop("b")) == [INVALID, PASS]  # the first that came met the fault
    assert outcomes == {name: [INVALID if name == "c" else PASS] * 2 for name in "acdef"}
    assert server.tries == dict.fromkeys("abcdef", 2)
    assert (roll_out.account.failed, roll_out.account.pending) == (0, 0)


@pytest.mark.parametrize("fault", WRONG_CHOICES.values(), ids=WRONG_CHOICES)
def test_choices_that_are_missing_are_asked_for_again_and_others_are_left_out(
    roll_out, server, fault
):
    outcomes, reasons = roll_out(fault, samples_per_request=2, retries=0)
    assert outcomes == {name: [PASS] * 2 for name in "abcdef"}
    assert reasons == set()
    assert all(asked.get("n", 1) <= 2 for asked in server.asked)
    assert server.tries["a"] == 1


def test_a_choice_that_is_filtered_leaves_the_other(roll_out):
    outcomes, reasons = roll_out(
        of_choices(choice(0, "wrong", "content_filter"), choice(1)), samples_per_request=2
    )
    assert outcomes["b"] == outcomes["c"] == [INVALID, PASS]
    assert reasons == {"no answer: server finished with 'content_filter'"}


@pytest.mark.parametrize("samples_per_request", [1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_whatever_faults_come_together_every_sample_is_judged_or_says_why(
    roll_out, seed, samples_per_request
):
    draw = Random(seed)
    faults = [*PASSING.values(), *STAYING.values(), *WRONG_CHOICES.values()]
    quick = [f for f in faults if isinstance(f, Reply) and not f.latency_s and f.ending != "hang"]

    def storm():
        return draw.choice(quick) if draw.random() < 0.6 else "right"

    outcomes, reasons = roll_out(storm, samples_per_request=samples_per_request, retries=3)
    assert {name: len(found) for name, found in outcomes.items()} == dict.fromkeys("abcdef", 2)
    assert all(reason.startswith("no answer: ") for reason in reasons)
    account = roll_out.account
    assert (account.generated, account.failed, account.pending) == (12, 0, 0)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refused_key_ends_the_rollout_and_what_was_answered_stays(roll_out, code):
    with pytest.raises(PolicyError, match=f"HTTP {code}"):
        roll_out(status(code), concurrency=1)
    before = roll_out.account
    assert (before.passed, before.failed, before.invalid_count) == (2, 0, 0)
    outcomes, _ = roll_out("right")
    assert outcomes == {name: [PASS] * 2 for name in "abcdef"}
    assert roll_out.account.generated == 12


def test_a_deadline_bounds_all_tries_together(roll_out, server):
    outcomes, reasons = roll_out(status(500), retries=1000, retry_wait_s=0.05, deadline_s=0.5)
    assert outcomes["c"] == [INVALID] * 2
    assert all(reason.startswith("no answer: deadline of 0.5 s: ") for reason in reasons)
    assert server.tries["c"] < 200
