"""However the process ends that began a training, verl and Ray end with it."""

import os
import signal
import subprocess
import sys
import time
import uuid

import psutil
import pytest

pytestmark = pytest.mark.timeout(1200)  # seconds; a cluster starts slowly on a machine that is busy


@pytest.mark.slow
@pytest.mark.xdist_group("verl-ppo")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_began(nano, data, tmp_path, number):
    (tmp_path / "reward.py").write_text("def count(output):\n    return output.count('a')\n")
    mark = uuid.uuid4().hex
    command = [
        sys.executable, "-m", "orbiter.cli", "train", "--backend", "verl", "--model", str(nano), "--data", str(data), "--reward", "reward.py:count",
        "--output", "out", "batch_size=4", "options.device=cpu", "options.max_prompt_length=16", "options.max_response_length=8",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TRAINING_OF_A_TEST": mark},
        stderr=subprocess.PIPE,
        text=True,
    )

    def mine():
        found = []
        for other in psutil.process_iter():
            try:
                if (
                    other.environ().get("TRAINING_OF_A_TEST") == mark
                    and other.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(other.name())
            except (psutil.Error, OSError):
                continue
        return found

    try:
        while "raylet" not in (running := mine()):
            assert process.poll() is None, process.stderr.read()
            assert running
            time.sleep(0.2)
        process.send_signal(number)
        said = process.communicate()[1]
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        if number == signal.SIGTERM:
            assert "stopped; what is done is in out." in said
            assert not mine()
        while mine():
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
