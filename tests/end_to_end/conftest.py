"""A flywheel that is small and real: a model of one layer learns to sort three digits, with transformers and TRL."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

RECIPE = """\
name: tiny
description: sort three digits
seed: 1
rounds: 2
model: {name: nano, hidden_size: 32, layers: 1, heads: 2}
environment: {name: sorting, length: 3}
policy: {name: transformers, temperature: 1.0, max_new_tokens: 5, batch_size: 16}
teach: {demonstrations: 60, max_steps: 50, batch_size: 32, learning_rate: 1e-2, warmup_steps: 5}
generate: {tasks: 80, samples: 4}
train: {max_steps: 80, batch_size: 64, learning_rate: 5e-3, warmup_steps: 5}
evaluate: {tasks: 80, audit: 40}
exports: [{name: trl-sft}]
"""

LAUNCH = """
import os, pty, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit that it is ignored
terminal, *command = sys.argv[1:]
if terminal == "pty":
    sys.exit(os.waitstatus_to_exitcode(pty.spawn(command)))
os.execv(command[0], command)
"""


class Started:
    """``orbiter`` with some arguments, in a process of its own; with ``terminal``, on a pseudo-terminal.

    ``program`` is a script that takes the arguments in its place.
    """

    def __init__(
        self, folder: Path, *arguments: object, terminal: bool = False, program: str | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder, prefix="printed-"))
        program = [program] if program else ["-m", "orbiter.cli"]
        self.command = [sys.executable, *program, *map(str, arguments)]
        with (
            open(self.folder / "stderr", "wb") as stderr,
            open(self.folder / "stdout", "wb") as stdout,
        ):
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, "pty" if terminal else "pipe", *self.command],
                cwd=folder,
                env={**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"},
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
            )

    def wait_until(self, condition) -> None:
        """Wait until something holds while the process runs."""
        deadline = time.monotonic() + 120
        while not condition():
            assert self.process.poll() is None, f"it ended before that: {self.errors}"
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.002)

    def end(self) -> int:
        """Return the exit code, once it ends."""
        code = self.process.wait(120)
        self.process.stdin.close()
        return code

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal, and return the exit code and the seconds until it ended."""
        sent = time.monotonic()
        self.process.send_signal(number)
        code = self.end()
        return code, time.monotonic() - sent

    @property
    def output(self) -> str:
        """What it printed so far."""
        return (self.folder / "stdout").read_text()

    @property
    def errors(self) -> str:
        """What it complained about so far."""
        return (self.folder / "stderr").read_text()


@pytest.fixture
def start(tmp_path):
    """Start ``orbiter`` in the test's folder; whatever still runs at the end is killed."""
    started = []

    def begin(*arguments, **more):
        started.append(Started(tmp_path, *arguments, **more))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.end()


@pytest.fixture(scope="session")
def turn():
    """Run a recipe in this process."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("orbiter_trl")
    torch.set_num_threads(1)
    from orbiter.flywheel import Flywheel, load_recipe

    def run(recipe: Path, runs: Path, *overrides: str):
        return Flywheel(load_recipe(recipe, overrides), runs_dir=runs, base_dir=recipe.parent).run()

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The recipe's file."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def whole(turn, tiny, tmp_path_factory):
    """The result of the tiny flywheel, run without an interruption."""
    return turn(tiny, tmp_path_factory.mktemp("whole"))


def data_of(run: Path) -> dict[str, bytes]:
    """Return every file of a run's data and exports."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for folder in ("data", "exports")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file()
    }


def line_count(path: Path) -> int:
    """Return how many whole lines a file has; none if there is no file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="session", name="data_of")
def _data_of():
    return data_of


@pytest.fixture(scope="session", name="line_count")
def _line_count():
    return line_count
