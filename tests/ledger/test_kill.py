"""kill -9 at random points of a real writing process: nothing committed is lost, nothing is there twice."""

import json
import subprocess
import sys
from pathlib import Path

KILLS = 200


def test_killed_at_random_points_the_run_ends_as_if_it_had_never_been_killed(tmp_path):
    script = Path(__file__).with_name("kill_ledger.py")
    command = [sys.executable, script, tmp_path, str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= KILLS
    assert found["cuts"] > KILLS / 4, (
        "hardly a kill fell into the middle of a line: the test did not test"
    )
