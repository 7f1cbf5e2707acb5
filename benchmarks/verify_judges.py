"""Verdicts per second of a judge whose model answers after a fixed time: one answer at a time, several processes, batches.

    python benchmarks/verify_judges.py [--answers 256] [--latency-ms 50] [--processes 8] [--repeats 3]

A scripted server on loopback, in a process of its own, waits that time before each reply. The ways take turns; each is given
its own connections and warmed up first. What they are compared by is the ratio of the medians. ``one worker`` is a
VerifierPool with its defaults, which is how a recipe judges.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
from importlib.metadata import version
from multiprocessing.connection import Connection
from time import perf_counter, process_time

from aiohttp import web

from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.judges import PointwiseJudge
from orbiter.verify.pool import VerifierPool

TASK = Task("bench", "bench:0", (Message("user", "What is 6 * 7?"),), answer="42")


def serve(port: Connection, latency_s: float) -> None:
    """Answer every request after ``latency_s`` seconds with a score of 10, for ever."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        message = {"role": "assistant", "content": 'It is right. {"score": 10}'}
        body = {
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 10},
        }
        return web.Response(text=json.dumps(body), content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


def made(port: int) -> PointwiseJudge:
    """Return a judge that asks the server."""
    model = {"name": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "model": "m"}
    judge = registry().create("verifier", "pointwise_judge", {"model": model, "rubric": "right"})
    assert isinstance(judge, PointwiseJudge)
    return judge


def one_by_one(judge: PointwiseJudge, texts: list[str]) -> list[Outcome]:
    """Ask about one answer after the other."""
    return [judge.verify(TASK, answered(TASK, text)).outcome for text in texts]


def in_a_batch(judge: PointwiseJudge, texts: list[str]) -> list[Outcome]:
    """Ask about all answers at once; the client keeps 64 under way."""
    return [v.outcome for v in judge.verify_batch([(TASK, answered(TASK, t)) for t in texts])]


_judge: PointwiseJudge | None = None


def _start(port: int) -> None:
    global _judge
    _judge = made(port)


def _in_worker(text: str) -> Outcome:
    assert _judge is not None
    return one_by_one(_judge, [text])[0]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=256)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"python {platform.python_version()}, aiohttp {version('aiohttp')}")
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, options.latency_ms / 1e3), daemon=True)
    server.start()
    port = here.recv()
    judge = made(port)
    texts = [f"it is {n}" for n in range(options.answers)]
    # One by one takes long, and its rate does not depend on the number.
    few = texts[: max(1, len(texts) // 8)]
    pairs = [(TASK, answered(TASK, text)) for text in texts]
    with (
        context.Pool(options.processes, initializer=_start, initargs=(port,)) as pool,
        VerifierPool(judge, workers=1) as worker,
    ):
        ways = {
            "one by one": lambda: (one_by_one(judge, few), len(few)),
            f"{options.processes} processes": lambda: (pool.map(_in_worker, texts, 1), len(texts)),
            "one worker": lambda: ([v.outcome for v in worker.judge_all(pairs)], len(pairs)),
            "one batch": lambda: (in_a_batch(judge, texts), len(texts)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu_ms: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(options.repeats + 1):
            for name, way in ways.items():
                began, cpu = perf_counter(), process_time()
                outcomes, count = way()
                seconds, used = perf_counter() - began, process_time() - cpu
                assert outcomes == [Outcome.PASS] * count
                if repeat:
                    rates[name].append(count / seconds)
                    cpu_ms[name].append(1e3 * used / count)
    server.terminate()
    base = statistics.median(rates["one by one"])
    for name, found in rates.items():
        median = statistics.median(found)
        print(
            f"{name:12} {median:7.1f} verdicts/s ({min(found):.1f} to {max(found):.1f}), {median / base:5.1f} x one by one, "
            f"{statistics.median(cpu_ms[name]):.2f} ms of CPU each in this process"
        )
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
