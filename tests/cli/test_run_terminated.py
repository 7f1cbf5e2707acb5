"""``orbiter run`` is told to end while hundreds of requests are open: what was answered is durable, and not asked for again."""

import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest

from orbiter.cli import main
from orbiter.ledger import History
from orbiter.testing import ChatServer, Reply

RECIPE = """\
name: sampled
rounds: 1
environment: {{name: addition, digits: 6}}
policy: {{name: openai, base_url: "{url}", model: m, concurrency: 256}}
generate: {{tasks: 900, samples: 1}}
evaluate: {{tasks: 0, share: 0, audit: 0}}
curate: {{decontaminate: null}}
"""


def test_sigterm_loses_no_answer_and_the_same_command_goes_on(tmp_path, monkeypatch):
    def answer(asked):
        # One refusal, of which nothing is said: it was asked again.
        first = len(server.asked) == 1
        return Reply(status=503, body=b"busy", headers={"Retry-After": "0"}) if first else "579"

    monkeypatch.chdir(tmp_path)
    with ChatServer(answer, latency_s=0.4) as server:
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=server.url))
        command = [sys.executable, "-m", "orbiter.cli", "run", "recipe.yaml", "--no-report"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
            while len(server.asked) < 600:
                assert run.poll() is None
                sleep(0.01)
            run.send_signal(signal.SIGTERM)
            told = monotonic()
            err = run.communicate(timeout=60)[1].decode()
            took = monotonic() - told
        assert run.returncode == 143
        assert err == (
            "\nstopped; what is done is in runs/sampled. The same command goes on from there.\n"
        )
        assert took < 30  # the benchmark says how long it takes
        asked = len(server.asked)
        with History.open(tmp_path / "runs" / "sampled") as history:
            account = history.account().check()
        assert asked < 900
        # What is not durable was still open, or refused.
        assert asked - 257 <= account.generated < asked
        assert main(["run", "recipe.yaml", "--no-report"]) == 0
        assert len(server.asked) - asked == 900 - account.generated
        with History.open(tmp_path / "runs" / "sampled") as history:
            account = history.account().check()
        assert (account.planned, account.generated, account.pending) == (900, 900, 0)
        assert account.invalid_count == 0


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_it_is_told_between_rounds_too(orbiter, monkeypatch, number):
    before = signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr(
        "orbiter.flywheel.flywheel.stages.curate", lambda *_: signal.raise_signal(number)
    )
    try:
        said = orbiter("run", "small.yaml", "--no-report")
    finally:
        signal.signal(number, before)
    assert said.code == 143
    assert "stopped; what is done is in runs/small" in said.err
