"""Sampling from a model server: requests per second beside other clients on one core, slots that are kept filled, and a stop by SIGTERM.

    python benchmarks/openai_policy.py [--requests 4000] [--repeats 3] [--sdk FOLDER]

The server is scripted and in a process of its own: a bare asyncio.Protocol that finds the end of a request and writes a fixed answer
after its latency, so that it takes a fraction of what any client takes. Client and server are pinned to a core each where there are two.

- *Rate*: 50 ms of latency, 256 requests under way. ``bare`` posts with aiohttp and parses with orjson, in 256 tasks. ``sdk`` is AsyncOpenAI
  (``pip install openai``, or a folder that has it). ``orbiter`` is the policy in a Rollout: seeds, requests, answers, a verdict on each, in the
  same process (0 workers) or in a worker (1) on the same core, and attempts and verdicts durable in a ledger. The ways take turns; compared are
  the medians, and the best of each, since what else runs on the machine can only slow them down. Bars: at least 5 x the sdk and 0.6 x bare.
- *In flight*: what share of the requests that may be under way the server sees open, on the mean between ramp-up and tail. Latencies are
  log-normal (sigma 0.5), with a mean such that 512 requests a second keep all slots filled, 50 ms at least. Bar: 97 %.
- *SIGTERM*: seconds from the signal to the end of ``orbiter run`` with 256 requests under way, and what became of the answers. Bar: 2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep

import aiohttp
import orjson

from orbiter.flywheel.rollout import Rollout, RolloutPlan
from orbiter.flywheel.waves import UniformWaves
from orbiter.generate import Sampling
from orbiter.generate.openai import OpenAIPolicy
from orbiter.ledger import History, Ledger
from orbiter.records import Task
from orbiter.tasks.addition import Addition
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "579", "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }
)
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(ANSWER), ANSWER)
)  # fmt: skip
CONCURRENCY = 256


class Server(asyncio.Protocol):
    """Answers each request of one connection after a latency; notes when requests begin and end."""

    latency_s = staticmethod(lambda: 0.05)
    began, ended = array("d"), array("d")

    def __init__(self) -> None:
        self._data, self._size = b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Find the end of a request; a client sends no second one before the answer."""
        self._data += data
        if self._size < 0:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return
            length = self._data[:head].lower().partition(b"content-length:")[2]
            self._size = head + 4 + int(length.split(b"\r\n")[0])
        if len(self._data) >= self._size:
            self._data, self._size = b"", -1
            self.began.append(monotonic())
            asyncio.get_running_loop().call_later(self.latency_s(), self._answer)

    def _answer(self) -> None:
        self.ended.append(monotonic())
        self._transport.write(REPLY)


def serve(pipe: Connection, core: int | None) -> None:
    """Serve until the pipe is closed; a mean latency that is received begins a new count, and None returns it."""
    if core is not None:
        os.sched_setaffinity(0, {core})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        done = asyncio.Event()

        def told() -> None:
            try:
                asked = pipe.recv()
            except EOFError:
                done.set()
                return
            if asked is None:
                pipe.send((list(Server.began), list(Server.ended), process_time()))
                return
            mean_s, sigma = asked
            draw = random.Random(0)
            low = mean_s / 2.718281828 ** (sigma**2 / 2)
            Server.latency_s = staticmethod(
                lambda: low * draw.lognormvariate(0, sigma) if sigma else mean_s
            )
            del Server.began[:], Server.ended[:]
            pipe.send(True)

        loop.add_reader(pipe.fileno(), told)
        await done.wait()

    asyncio.run(main())


class Mock:
    """The server, seen from here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url = f"http://127.0.0.1:{pipe.recv()}/v1"

    def begin(self, mean_s: float, sigma: float = 0.0) -> None:
        """Answer with this latency from now on, and count anew."""
        self._pipe.send((mean_s, sigma))
        self._pipe.recv()

    def seen(self) -> tuple[list[float], list[float], float]:
        """Return when requests began and ended, and what the server has spent of its core in seconds."""
        self._pipe.send(None)
        return self._pipe.recv()


@contextmanager
def mock(core: int | None) -> Iterator[Mock]:
    """Start the server."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, core), daemon=True)
    process.start()
    there.close()
    yield Mock(here)
    here.close()
    process.join()


def bodies(tasks: list[Task]) -> list[dict[str, object]]:
    """Return what a client asks for these tasks."""
    return [
        {
            "model": "m",
            "messages": [{"role": "user", "content": task.prompt}],
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": 512,
            "seed": number,
        }
        for number, task in enumerate(tasks)
    ]


async def bare(url: str, tasks: list[Task], concurrency: int) -> int:
    """Post and parse, and no more."""
    asked, right = iter(bodies(tasks)), 0
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def worker() -> None:
            nonlocal right
            for body in asked:
                async with session.post(
                    f"{url}/chat/completions",
                    data=orjson.dumps(body),
                    headers={"Content-Type": "application/json"},
                ) as response:
                    answer = orjson.loads(await response.read())
                right += answer["choices"][0]["message"]["content"] == "579"

        await asyncio.gather(*[worker() for _ in range(concurrency)])
    return right


async def sdk(url: str, tasks: list[Task], concurrency: int) -> int:
    """Ask with the SDK."""
    import openai

    asked, right = iter(bodies(tasks)), 0
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def worker() -> None:
            nonlocal right
            for body in asked:
                answer = await client.chat.completions.create(**body)
                right += answer.choices[0].message.content == "579"

        await asyncio.gather(*[worker() for _ in range(concurrency)])
    return right


async def orbiter(
    url: str, tasks: list[Task], concurrency: int, *, pool: VerifierPool, folder: Path
) -> int:
    """Ask, judge and record."""
    policy = OpenAIPolicy(base_url=url, model="m", concurrency=concurrency)
    plan = RolloutPlan(
        run="bench",
        round=1,
        engine="policy",
        tasks=tasks,
        waves=UniformWaves(1),
        seed=0,
        sampling=Sampling(),
    )
    with Ledger.open(folder) as ledger:
        result = await Rollout(plan, policy=policy, pool=pool, ledger=ledger).run()
        account = ledger.account().check()
    await policy.aclose()
    assert account.pending == account.invalid_count == 0
    return len(result.judged)


def rates(mock: Mock, options: argparse.Namespace) -> None:
    """Print requests per second of every way."""
    environment = Addition(digits=9)
    tasks = [environment.task(index, seed=0) for index in range(options.requests)]
    few = tasks[: max(CONCURRENCY, len(tasks) // 8)]
    verifier = ExactVerifier()
    with (
        VerifierPool(verifier, workers=0) as here,
        VerifierPool(verifier, workers=1) as worker,
        tempfile.TemporaryDirectory(dir=options.folder) as root,
    ):
        folders = (Path(root) / f"run-{number}" for number in range(1_000_000))
        ways: dict[str, Callable[[], tuple[int, int]]] = {
            "bare": lambda: (asyncio.run(bare(mock.url, tasks, CONCURRENCY)), len(tasks)),
        }
        if options.sdk is not None or _installed("openai"):
            ways["sdk"] = lambda: (asyncio.run(sdk(mock.url, few, CONCURRENCY)), len(few))
        for name, pool in (("orbiter, 0 workers", here), ("orbiter, 1 worker", worker)):
            ways[name] = lambda pool=pool: (
                asyncio.run(orbiter(mock.url, tasks, CONCURRENCY, pool=pool, folder=next(folders))),
                len(tasks),
            )
        found: dict[str, list[float]] = {name: [] for name in ways}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        share: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(options.repeats + 1):
            for name, way in ways.items():
                mock.begin(0.05)
                served = mock.seen()[2]
                began, cpu = perf_counter(), process_time()
                count, wanted = way()
                seconds, used = perf_counter() - began, process_time() - cpu
                assert name == "sdk" or count == wanted or name == "bare"
                if repeat:
                    found[name].append(wanted / seconds)
                    spent[name].append(1e6 * used / wanted)
                    share[name].append((mock.seen()[2] - served) / seconds)
    for name, values in found.items():
        against = [
            f"{statistics.median(values) / statistics.median(found[other]):.2f} x {other} "
            f"(best to best {max(values) / max(found[other]):.2f})"
            for other in ("bare", "sdk")
            if other in ways and other != name
        ]
        print(
            f"{name:18} {statistics.median(values):5.0f} requests/s ({min(values):.0f} to {max(values):.0f}); "
            f"{statistics.median(spent[name]):.0f} us of CPU each in this process; server {max(share[name]):.0%} busy\n"
            f"{'':18} {', '.join(against)}"
        )


def in_flight(mock: Mock, options: argparse.Namespace) -> None:
    """Print which share of the slots the server sees filled, and beside it what a bare client fills; the busier the machine, the less."""
    environment = Addition(digits=9)
    with (
        VerifierPool(ExactVerifier(), workers=1) as pool,
        tempfile.TemporaryDirectory(dir=options.folder) as root,
    ):
        for concurrency in (16, 64, 256, 1024):
            mean_s = max(0.05, concurrency / 512)
            count = max(6 * concurrency, round(5 * concurrency / mean_s))
            tasks = [environment.task(index, seed=0) for index in range(count)]
            folders = (Path(root) / f"run-{concurrency}-{number}" for number in range(1000))

            def ours(url: str, tasks: list[Task], concurrency: int, folders=folders):
                return orbiter(url, tasks, concurrency, pool=pool, folder=next(folders))

            ways = {"orbiter": ours, "bare": bare}
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(options.repeats):
                for name, way in ways.items():
                    mock.begin(mean_s, 0.5)
                    asyncio.run(way(mock.url, tasks, concurrency))
                    found[name].append(filled(*mock.seen()[:2], concurrency))
            shares = ", ".join(
                f"{name} {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"
                for name, shares in found.items()
            )
            print(f"{concurrency:5} in flight, mean latency {1e3 * mean_s:4.0f} ms: {shares}")


def filled(began: list[float], ended: list[float], concurrency: int) -> float:
    """Return the mean share of the slots that were filled between ramp-up and tail."""
    # From when each slot has had an answer, until there is nothing more to be asked.
    low, high = began[min(len(began) - 1, 2 * concurrency)], began[-1]
    # Sorted ends go with sorted beginnings: what overlaps a span on the whole is the same.
    open_s = sum(
        max(0.0, min(end, high) - max(start, low))
        for start, end in zip(sorted(began), sorted(ended))
    )
    return open_s / (high - low) / concurrency


RECIPE = """\
name: stopped
rounds: 1
environment: {{name: addition, digits: 9}}
policy: {{name: openai, base_url: "{url}", model: m, concurrency: 256}}
generate: {{tasks: {tasks}, samples: 1}}
evaluate: {{tasks: 0, share: 0, audit: 0}}
curate: {{decontaminate: null}}
"""


def stopping(mock: Mock, options: argparse.Namespace) -> None:
    """Print how long a run takes to end."""
    for repeat in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=options.folder) as root:
            recipe = Path(root) / "recipe.yaml"
            recipe.write_text(RECIPE.format(url=mock.url, tasks=20_000))
            mock.begin(0.5, 0.5)
            command = [sys.executable, "-m", "orbiter.cli", "run", str(recipe), "--runs", root]
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as run:
                while len(mock.seen()[1]) < 1_000:
                    sleep(0.05)
                told = monotonic()
                run.send_signal(signal.SIGTERM)
                code = run.wait()
                took = monotonic() - told
            answered = sum(at < told for at in mock.seen()[1])
            with History.open(Path(root) / "stopped") as history:
                durable = history.account().check().generated
            print(
                f"SIGTERM {repeat + 1}: exit code {code} after {took:.2f} s, {durable} attempts durable, "
                f"{answered} answers sent before the signal"
            )


def _installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sdk", help="a folder that the openai package is installed in")
    parser.add_argument("--folder", help="where runs are written; default: the temporary folder")
    parser.add_argument("--only", choices=("rate", "flight", "stop"))
    options = parser.parse_args()
    if options.sdk is not None:
        sys.path.append(options.sdk)
    shown = [name for name in ("aiohttp", "orjson", "openai") if _installed(name)]
    print(f"python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in shown))
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    with mock(cores[1] if len(cores) > 1 else None) as server:
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[0]})
        parts = {"rate": rates, "flight": in_flight, "stop": stopping}
        for name, part in parts.items():
            if options.only in (None, name):
                part(server, options)
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
