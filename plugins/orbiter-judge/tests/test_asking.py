"""Judges that ask a real server on loopback from batches, loops, threads and other processes."""

import asyncio
import gc
import pickle
import subprocess
import sys
import threading

import pytest

from orbiter.records import Message, Outcome
from orbiter.verify.answer import answered
from orbiter.verify.judges import PairwiseJudge, PointwiseJudge, Question
from orbiter.verify.pool import VerifierPool

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
YES = 'It agrees. {"score": 10}'


def test_a_batch_keeps_to_the_concurrency(model, server, task):
    server.latency_s = 0.01
    pointwise = PointwiseJudge(model=model(YES, concurrency=4), rubric="r")
    found = pointwise.verify_batch([(task, answered(task, f"it is {n}")) for n in range(20)])
    assert [verdict.outcome for verdict in found] == [PASS] * 20
    assert server.most_under_way == 4


def test_one_failure_leaves_the_others(model, task):
    def odd(body):
        return (400, "no") if "| it is 3\n" in body["messages"][1]["content"] else YES

    pointwise = PointwiseJudge(model=model(odd), rubric="r")
    found = pointwise.verify_batch([(task, answered(task, f"it is {n}")) for n in range(6)])
    assert [v.outcome for v in found] == [PASS, PASS, PASS, INVALID, PASS, PASS]


async def test_it_can_be_asked_inside_a_running_loop(verdict):
    assert verdict(YES).outcome is PASS


def test_it_can_be_asked_from_several_threads(model, task):
    pointwise = PointwiseJudge(model=model(YES), rubric="r")
    outcomes = []

    def one(n):
        outcomes.append(pointwise.verify(task, answered(task, f"it is {n}")).outcome)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [PASS] * 8


def test_connections_and_thread_end_with_the_model(model, recwarn):
    asked = model(YES)
    asked.ask([Question(messages=(Message("user", "?"),))])
    names = [thread.name for thread in threading.enumerate()]
    assert "orbiter-judge" in names
    del asked
    gc.collect()
    assert "orbiter-judge" not in [thread.name for thread in threading.enumerate()]
    assert not recwarn.list


SCRIPT = """
import os, sys
from orbiter_judge.openai import OpenAIJudgeModel
from orbiter.records import Message
from orbiter.verify.judges import Question

question = Question(messages=(Message("user", "?"),))
model = OpenAIJudgeModel(base_url=sys.argv[1], model="small")
print(model.ask([question])[0].text, flush=True)
"""
FORK = """
child = os.fork()
if child == 0:
    print(model.ask([question])[0].error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def run_script(code, url, *options):
    command = [sys.executable, *options, "-c", code, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_script_that_asks_ends_cleanly(server):
    server.responses = [YES]
    done = run_script(SCRIPT, server.url, "-X", "dev")
    assert (done.returncode, done.stdout, done.stderr) == (0, YES + "\n", "")


def test_after_a_fork_it_says_that_it_cannot_ask(server):
    server.responses = [YES]
    done = run_script(SCRIPT + FORK, server.url, "-W", "ignore::DeprecationWarning")
    assert done.stdout.splitlines() == [YES, "judge model was used before this process was forked"]


def test_a_judge_travels_to_another_process_without_its_key(model, task, server, secret):
    pointwise = PointwiseJudge(model=model(YES), rubric="r", samples=3)
    pointwise.verify(task, answered(task, "42"))  # the connection does not travel
    data = pickle.dumps(pointwise)
    assert secret.encode() not in data
    again = pickle.loads(data)
    assert again.version == pointwise.version
    assert again.verify(task, answered(task, "42")).outcome is PASS
    assert server.seen[-1][0]["Authorization"] == f"Bearer {secret}"


def test_in_a_worker_a_judge_has_its_key_and_asks_about_many_at_once(model, task, server, secret):
    server.latency_s = 0.05
    pointwise = PointwiseJudge(model=model(YES, concurrency=8), rubric="r")
    pairs = [(task, answered(task, text)) for text in ("it is 42", ":", *map(str, range(14)))]
    with VerifierPool(pointwise, workers=1) as pool:
        found = pool.judge_all(pairs)
    assert [verdict.outcome for verdict in found] == [PASS, FAIL] + [PASS] * 14
    assert {headers["Authorization"] for headers, _ in server.seen} == {f"Bearer {secret}"}
    assert server.most_under_way == 8


@pytest.mark.parametrize(("samples", "size"), [(1, 8), (3, 2), (20, 1)])
def test_a_batch_is_what_can_be_under_way_at_once(model, samples, size):
    asked = model(YES, concurrency=8)
    assert PointwiseJudge(model=asked, rubric="r", samples=samples).batch_size == size
    assert PairwiseJudge(model=asked, rubric="r").batch_size == 4


def test_asking_in_a_loop_does_not_block_the_loop_of_the_model(verdict):
    """The judge's own loop runs on while the caller's waits, so retries and time limits hold there too."""

    async def inside():
        return verdict((500, ""), YES)

    assert asyncio.run(inside()).outcome is PASS
