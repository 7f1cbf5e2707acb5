"""Self-play in several processes: blocks of games go out by number, and their lines come back in order.

A worker is a fork of this process, which knows at once what the positions are worth that were met before. A process that has
threads, as one with numpy or torch does, may hang its child: then a worker begins anew, without the caller's script. Questions
and answers are JSON, and lines of JSONL.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from orbiter.errors import ConfigError, OrbiterError
from orbiter.jsonl.writing import replace_file

if TYPE_CHECKING:
    from orbiter_openspiel.selfplay import SelfPlaySynthesiser

MOST_GAMES = 256
"""Games that a worker plays at most before it hands over their lines; more where a deal is mirrored for more seats."""


def write_in_parallel(
    synthesiser: SelfPlaySynthesiser,
    path: Path,
    *,
    games: int,
    workers: int,
    counts: Counter[str],
) -> None:
    """Write the rows that ``synthesiser`` would write alone, in the same order.

    Args:
        synthesiser: Between teachers that are named; an object would have to be sent to other processes.
        path: The file; it appears when it is complete.
        games: How many games to play.
        workers: Processes that play.
        counts: Is given how many rows there are and how the games ended.
    """
    if any(not isinstance(spec, str | dict) for spec in synthesiser.options["players"]):
        raise ConfigError("players must be names, with or without options, for several workers")
    blocks = _blocks(games, workers=workers, size=synthesiser.arena.group_size)
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    with ExitStack() as stack:
        started: list[_Worker] = []
        stack.callback(_end, started)
        for _ in range(workers):
            worker = _fork(synthesiser) if _may_fork() else _launch(synthesiser.options)
            started.append(worker)
            idle.put(worker)
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        file = stack.enter_context(replace_file(path))

        def play(block: range) -> tuple[bytes, dict[str, Any]]:
            worker = idle.get()
            try:
                return worker.play(block)
            finally:
                idle.put(worker)

        try:
            under_way = deque(threads.submit(play, block) for block in islice(blocks, 4 * workers))
            while under_way:
                lines, head = under_way.popleft().result()
                under_way.extend(threads.submit(play, block) for block in islice(blocks, 1))
                file.write(lines)
                counts.update(head["counts"])
        except BaseException:  # Ctrl-C, say: nobody wants the blocks that are under way, or wait
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in started:
                worker.kill()
            raise


def _blocks(games: int, *, workers: int, size: int) -> Iterator[range]:
    """Yield the games in blocks of whole groups, smaller ones towards the end, so that no worker is left alone with a large one.

    This is guided self-scheduling (Polychronopoulos & Kuck 1987), at half of its block size.
    """
    start = 0
    while start < games:
        step = (games - start) // (2 * workers)
        step = max(size, min(step, MOST_GAMES) // size * size)
        yield range(start, min(start + step, games))
        start += step


class _Worker:
    """The parent's end of a worker: two pipes, and how its process is killed and waited for."""

    def __init__(
        self,
        questions: IO[bytes],
        answers: IO[bytes],
        kill: Callable[[], None],
        wait: Callable[[], int | None],
    ) -> None:
        self.questions, self.answers, self.kill, self.wait = questions, answers, kill, wait

    def play(self, block: range) -> tuple[bytes, dict[str, Any]]:
        """Return the lines of these games, and how many they are and how the games ended."""
        self.tell([block.start, block.stop])
        head = orjson.loads(self.answers.readline() or b"{}")
        lines = self.answers.read(head.get("bytes", 0))
        if not head or len(lines) < head["bytes"]:
            code = self.wait()
            raise OrbiterError(
                f"a worker of self-play ended with code {code} at game {block.start}",
                hint="what it wrote to stderr says why",
            )
        return lines, head

    def tell(self, message: Any) -> None:
        """Send one message; a worker that is gone shows when its answer is read."""
        with suppress(BrokenPipeError):
            self.questions.write(orjson.dumps(message) + b"\n")
            self.questions.flush()

    def close(self) -> None:
        """Wait for the process that was killed, and close its pipes."""
        self.wait()
        with suppress(BrokenPipeError):
            self.questions.close()
        self.answers.close()


def _end(workers: Sequence[_Worker]) -> None:
    """Kill processes, whatever they are at; they end side by side."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.close()


def _may_fork() -> bool:
    """Return whether this process has one thread: a lock that another one held would stay locked in a fork."""
    if multiprocessing.current_process().daemon:  # as in a Pool, where it may have no such children
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # not Linux
        return False


def _fork(synthesiser: SelfPlaySynthesiser) -> _Worker:
    """Start a worker as a fork of this process."""
    (asked, questions), (answers, told) = os.pipe(), os.pipe()

    def play() -> None:
        os.setsid()  # on Ctrl-C the parent ends it, without a second traceback
        # Or it would keep its own pipe open, and stay when the parent is killed. Ends of other workers close as these go.
        os.close(questions)
        os.close(answers)
        serve(synthesiser, open(asked, "rb"), open(told, "wb"))  # noqa: SIM115

    process = multiprocessing.get_context("fork").Process(target=play)
    process.start()
    os.close(asked)
    os.close(told)

    def wait() -> int | None:
        process.join()
        return process.exitcode

    return _Worker(open(questions, "wb"), open(answers, "rb"), process.kill, wait)


def _launch(options: dict[str, Any]) -> _Worker:
    """Start a worker as a new process."""
    command = [sys.executable, "-P", "-m", "orbiter_openspiel.workers"]
    # In a session of its own: on Ctrl-C the parent ends it, without a second traceback.
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None  # noqa: S101  # it was opened as a pipe
    assert process.stdout is not None  # noqa: S101
    worker = _Worker(process.stdin, process.stdout, process.kill, process.wait)
    worker.tell(options)
    return worker


def serve(synthesiser: SelfPlaySynthesiser, questions: IO[bytes], answers: IO[bytes]) -> None:
    """Play the games that are asked for until there are no more questions: the worker's end."""
    gc.disable()  # as where one process plays: nothing here is a cycle
    for question in questions:
        counts: Counter[str] = Counter()
        games = range(*orjson.loads(question))
        data = b"".join(synthesiser.lines_of(games, counts))
        head = {"bytes": len(data), "counts": counts}
        answers.write(orjson.dumps(head) + b"\n" + data)
        answers.flush()


def main() -> None:
    """Serve the parent by standard input and output; the first line is the synthesiser's options."""
    from orbiter_openspiel.selfplay import SelfPlaySynthesiser

    options = orjson.loads(sys.stdin.buffer.readline())
    serve(SelfPlaySynthesiser(**options), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
