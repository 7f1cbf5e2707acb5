"""Self-play in several processes: blocks of games go out by number, and their lines come back in order.

A worker is a process of its own, which is not forked (a parent that has threads, as one with torch does, may hang its child)
and does not import the caller's script. Options and answers are JSON, and lines of JSONL.
"""

from __future__ import annotations

import gc
import queue
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from orbiter.errors import ConfigError, OrbiterError
from orbiter.jsonl.writing import replace_file

if TYPE_CHECKING:
    from orbiter_openspiel.selfplay import SelfPlaySynthesiser

GAMES_PER_CALL = 256
"""Most games that a worker plays before it hands over their lines; more where a deal is mirrored for more seats."""


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
    size = synthesiser.arena.group_size
    # A few games are shared out finely, so that no worker is left alone with the last of them.
    step = max(size, min(GAMES_PER_CALL, games // (8 * workers)) // size * size)
    blocks = (range(start, min(start + step, games)) for start in range(0, games, step))
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    with ExitStack() as stack:
        started = [stack.enter_context(_worker(synthesiser.options)) for _ in range(workers)]
        for worker in started:
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
                worker.process.kill()
            raise


class _Worker:
    """The parent's end of a worker."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def play(self, block: range) -> tuple[bytes, dict[str, Any]]:
        """Return the lines of these games, and how many they are and how the games ended."""
        self.tell([block.start, block.stop])
        answers = self.process.stdout
        assert answers is not None  # noqa: S101  # it was opened as a pipe
        head = orjson.loads(answers.readline() or b"{}")
        lines = answers.read(head.get("bytes", 0))
        if not head or len(lines) < head["bytes"]:
            code = self.process.wait()
            raise OrbiterError(
                f"a worker of self-play ended with code {code} at game {block.start}",
                hint="what it wrote to stderr says why",
            )
        return lines, head

    def tell(self, message: Any) -> None:
        """Send one message; a worker that is gone shows when its answer is read."""
        pipe = self.process.stdin
        assert pipe is not None  # noqa: S101
        try:
            pipe.write(orjson.dumps(message) + b"\n")
            pipe.flush()
        except BrokenPipeError:
            pass


@contextmanager
def _worker(options: dict[str, Any]) -> Iterator[_Worker]:
    command = [sys.executable, "-P", "-m", "orbiter_openspiel.workers"]
    # In a session of its own: on Ctrl-C the parent ends it, without a second traceback.
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    worker = _Worker(process)
    try:
        worker.tell(options)
        yield worker
    finally:
        process.kill()
        process.communicate()


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Play the games that are asked for until there are no more questions: the worker's end."""
    from orbiter_openspiel.selfplay import SelfPlaySynthesiser

    gc.disable()  # as where one process plays: nothing here is a cycle
    synthesiser = SelfPlaySynthesiser(**orjson.loads(questions.readline()))
    for question in questions:
        counts: Counter[str] = Counter()
        games = range(*orjson.loads(question))
        data = b"".join(synthesiser.lines_of(games, counts))
        head = {"bytes": len(data), "counts": counts}
        answers.write(orjson.dumps(head) + b"\n" + data)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
