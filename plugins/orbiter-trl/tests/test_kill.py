"""A run that is really killed, in a process of its own."""

import os
import signal
import subprocess
import sys

import attrs
import orjson
import pytest
from orbiter_trl.backend import TrlBackend

from orbiter.convert import unstructure
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig

SCRIPT = """
import sys, orjson
from pathlib import Path
from orbiter.convert import structure
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter_trl.backend import TrlBackend

model, data, out, config = sys.argv[1:]
TrlBackend().train(
    TrainJob(
        algorithm="sft", model=model, data=Path(data), output_dir=Path(out), config=structure(orjson.loads(config), TrainConfig),
        on_metrics=lambda step, _: print(step, flush=True),
    )
)
"""


@pytest.mark.slow
def test_a_killed_run_ends_in_the_weights_of_one_never_killed(nano, rows, write, tmp_path):
    config = TrainConfig(
        max_steps=120, batch_size=4, learning_rate=3e-3, log_every=1, save_every=15
    )
    data = write(rows(50))
    home = tmp_path / "home"
    home.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT,
            str(nano),
            str(data),
            str(tmp_path / "killed"),
            orjson.dumps(unstructure(config)).decode(),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if int(line) == 33:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    def job(name, **more):
        return TrainJob(
            algorithm="sft",
            model=str(nano),
            data=data,
            output_dir=tmp_path / name,
            **{"config": config, **more},
        )

    steps = []
    resumed = TrlBackend().train(job("killed", on_metrics=lambda step, _: steps.append(step)))
    straight = TrlBackend().train(job("straight", config=attrs.evolve(config, save_every=None)))
    assert steps[0] == 31
    assert (resumed.checkpoint / "model.safetensors").read_bytes() == (
        straight.checkpoint / "model.safetensors"
    ).read_bytes()
    assert (tmp_path / "killed" / "metrics.jsonl").read_bytes() == (
        tmp_path / "straight" / "metrics.jsonl"
    ).read_bytes()
    assert resumed.token_count == straight.token_count
    # Caches in the home folder would grow with every round.
    assert list(home.rglob("*")) == []
