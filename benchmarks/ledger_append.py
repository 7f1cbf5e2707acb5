"""How fast the ledger takes attempts, side by side with other ways to write them.

    python benchmarks/ledger_append.py [--rows 20000] [--folder DIR] [--open 200000]

Every way writes the same rows of about 2 kB. Ratios are to the plain unsynced append of the same run; the ways take turns and
the best of three turns counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import orjson

from orbiter.ledger import Attempt, AttemptKey, Ledger, RunIndex
from orbiter.ledger.journal import Journal
from orbiter.records import Message, Trajectory

GROUP = 64
TURNS = 3


def make_attempts(count: int) -> list[Attempt]:
    """Return attempts at ``count / 8`` tasks, 8 samples each, in rows of about 2 kB."""
    attempts = []
    for n in range(count):
        key = AttemptKey(1, "policy", "bench", f"bench:{n // 8}", n % 8)
        messages = (
            Message("user", f"question {n} " * 40),
            Message("assistant", f"thought {n} " * 100),
        )
        row = Trajectory(messages, key.env, key.task_id, None, generator="bench", seed=n)
        attempts.append(Attempt(key=key, trajectory=row, token_count=200))
    return attempts


def plain_append(folder: Path, lines: Sequence[bytes]) -> int:
    fd = os.open(folder / "plain.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for line in lines:
        os.write(fd, line + b"\n")
    os.close(fd)
    return len(lines)


def synced_append(folder: Path, lines: Sequence[bytes], sync: Callable[[int], None]) -> int:
    lines = lines[:500]
    fd = os.open(folder / "synced.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for line in lines:
        os.write(fd, line + b"\n")
        sync(fd)
    os.close(fd)
    return len(lines)


def journal_groups(folder: Path, lines: Sequence[bytes]) -> int:
    journal = Journal(folder / "journal.jsonl")
    list(journal.recover())
    for start in range(0, len(lines), GROUP):
        journal.append(lines[start : start + GROUP])
    journal.close()
    return len(lines)


def sqlite_groups(folder: Path, lines: Sequence[bytes], group: int) -> int:
    lines = lines if group > 1 else lines[:500]
    db = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, row BLOB)")
    for start in range(0, len(lines), group):
        part = [(str(start + i), line) for i, line in enumerate(lines[start : start + group])]
        db.execute("BEGIN")
        db.executemany("INSERT INTO rows VALUES (?, ?)", part)
        db.execute("COMMIT")
    db.close()
    return len(lines)


def encode_and_append(folder: Path, attempts: Sequence[Attempt]) -> int:
    return plain_append(folder, [orjson.dumps(attempt.to_row()) for attempt in attempts])


def ledger_groups(folder: Path, attempts: Sequence[Attempt], *, one_by_one: bool) -> int:
    tasks = list(dict.fromkeys((a.key.env, a.key.task_id) for a in attempts))
    step, rows = (1, GROUP) if one_by_one else (GROUP, 1)
    with Ledger.open(folder / "run", commit_rows=rows) as ledger:
        ledger.plan(1, "policy", tasks, samples=8)
        for start in range(0, len(attempts), step):
            ledger.add_attempts(attempts[start : start + step])
    return len(attempts)


def rate(work: Callable[[Path], int], parent: Path) -> float:
    folder = Path(tempfile.mkdtemp(dir=parent))
    started = perf_counter()
    count = work(folder)
    spent = perf_counter() - started
    shutil.rmtree(folder)
    return count / spent


def compare(title: str, ways: dict[str, Callable[[Path], int]], parent: Path) -> None:
    best = dict.fromkeys(ways, 0.0)
    for _ in range(TURNS):
        for name, work in ways.items():
            best[name] = max(best[name], rate(work, parent))
    reference = next(iter(best.values()))
    print(f"\n{title}")
    for name, value in best.items():
        print(f"  {name:<48} {value:>12,.0f} rows/s  {value / reference:>7.3f}")


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure_opening(folder: Path) -> None:
    """Print what a run of many attempts costs to open, to walk and to index. Runs in a process of its own, for its memory."""
    before = resident_mb()
    started = perf_counter()
    with Ledger.open(folder / "run") as ledger:
        opened = perf_counter() - started
        grown = resident_mb() - before
        started = perf_counter()
        account = ledger.account()
        accounted = perf_counter() - started
        started = perf_counter()
        for _ in ledger.attempts():
            pass
        walked = perf_counter() - started
    started = perf_counter()
    RunIndex(folder / "run").close()
    indexed = perf_counter() - started
    size = (folder / "run" / "attempts.jsonl").stat().st_size
    print(f"\na run of {account.generated:,} attempts, {size / 1e6:,.0f} MB")
    print(f"  open     {opened:8.2f} s   {grown:,.0f} MB of memory")
    print(f"  account  {accounted:8.3f} s")
    print(f"  read all {walked:8.2f} s")
    print(f"  index    {indexed:8.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument(
        "--open", type=int, default=200_000, help="attempts of the run that is opened"
    )
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    options = parser.parse_args()
    parent = Path(tempfile.mkdtemp(dir=options.folder))
    attempts = make_attempts(options.rows)
    lines = [orjson.dumps(attempt.to_row()) for attempt in attempts]
    print(
        f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, orjson {orjson.__version__}, "
        f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores, rows of {sum(map(len, lines)) // len(lines)} bytes"
    )
    try:
        compare(
            "lines that are encoded already",
            {
                "plain append, never synced": lambda f: plain_append(f, lines),
                f"journal, groups of {GROUP}, one fdatasync each": lambda f: journal_groups(
                    f, lines
                ),
                "append and fdatasync each": lambda f: synced_append(f, lines, os.fdatasync),
                "append and fsync each": lambda f: synced_append(f, lines, os.fsync),
                f"SQLite WAL full, {GROUP} a transaction": lambda f: sqlite_groups(f, lines, GROUP),
                "SQLite WAL full, one a transaction": lambda f: sqlite_groups(f, lines, 1),
            },
            parent,
        )
        compare(
            "attempts, encoding included",
            {
                "encode and append, never synced": lambda f: encode_and_append(f, attempts),
                f"ledger, groups of {GROUP}": lambda f: ledger_groups(
                    f, attempts, one_by_one=False
                ),
                f"ledger, one by one, committed in {GROUP}s": lambda f: ledger_groups(
                    f, attempts, one_by_one=True
                ),
            },
            parent,
        )
        ledger_groups(parent, make_attempts(options.open), one_by_one=False)
        child = multiprocessing.get_context("spawn").Process(target=measure_opening, args=(parent,))
        child.start()
        child.join()
    finally:
        shutil.rmtree(parent)


if __name__ == "__main__":
    main()
