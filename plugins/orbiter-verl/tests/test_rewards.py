import importlib.util
import os
import stat
import subprocess
import sys
import threading

import pytest
from orbiter_verl.rewards import SealedRewards, recorded, seal_rewards

from orbiter.errors import BackendError, ConfigError
from orbiter.records import Message, Task
from orbiter.train.rewards import RewardSpec, combine_rewards
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool

TASK = Task("toy", "toy:1", (Message("user", "q"),), answer="42")

ELSEWHERE = """
import sys
from orbiter_verl.rewards import SealedRewards

for spec in SealedRewards(sys.argv[1], sys.argv[2]).open():
    print(spec.name, spec.weight, spec.score("aab")[0])
"""


def opened_elsewhere(sealed, folder):
    """Return what another process, which knows none of this one's modules, scores."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, sealed.path, sealed.digest],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    return done.stdout.split()


def test_functions_cross_by_value(tmp_path):
    source = tmp_path / "mine" / "my_rewards.py"
    source.parent.mkdir()
    source.write_text(
        "from my_letters import LETTER\n\ndef share(output):\n    return output.count(LETTER) / len(output)\n"
    )
    source.with_name("my_letters.py").write_text("LETTER = 'a'\n")
    sys.path.insert(0, str(source.parent))
    try:
        spec = importlib.util.spec_from_file_location("my_rewards", source)
        module = sys.modules["my_rewards"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        letter = "b"
        rewards = [
            RewardSpec(name="module", fn=module.share),
            RewardSpec(name="closure", weight=0.5, fn=lambda output: output.count(letter)),
        ]
        sealed = seal_rewards(rewards, tmp_path / "rewards.pkl")
    finally:
        sys.path.remove(str(source.parent))
        for name in ("my_rewards", "my_letters"):
            sys.modules.pop(name, None)
    found = opened_elsewhere(sealed, tmp_path)
    assert found[:2] + found[3:] == ["module", "1.0", "closure", "0.5", "1.0"]
    assert float(found[2]) == pytest.approx(2 / 3)


def test_verifiers_cross(tmp_path):
    with VerifierPool(ExactVerifier(), workers=0) as pool:
        specs = [
            RewardSpec.from_verifier(ExactVerifier()),
            RewardSpec.from_verifier(pool.remote, name="pool"),
        ]
        opened = seal_rewards(specs, tmp_path / "rewards.pkl").open()
    assert [spec.score("42", task=TASK)[0] for spec in opened] == [1.0, 1.0]
    assert [spec.score("43", task=TASK)[0] for spec in opened] == [0.0, 0.0]


def test_the_file_is_this_users_alone(tmp_path):
    sealed = seal_rewards([RewardSpec(name="len", fn=len)], tmp_path / "rewards.pkl")
    assert stat.S_IMODE(os.stat(sealed.path).st_mode) == 0o600


def test_a_file_that_was_changed_is_not_opened(tmp_path):
    sealed = seal_rewards([RewardSpec(name="len", fn=len)], tmp_path / "rewards.pkl")
    planted = tmp_path / "planted"
    evil = f"cos\nsystem\n(S'touch {planted}'\ntR.".encode()
    (tmp_path / "rewards.pkl").write_bytes(evil)
    with pytest.raises(BackendError, match="must be the file that this run wrote, got another"):
        sealed.open()
    assert not planted.exists()
    assert SealedRewards(sealed.path, sealed.digest) == sealed


def test_what_cannot_cross_is_named(tmp_path):
    lock = threading.Lock()
    with pytest.raises(
        ConfigError, match="reward 'locked' must be a function that other processes"
    ) as caught:
        seal_rewards(
            [
                RewardSpec(name="len", fn=len),
                RewardSpec(name="locked", fn=lambda output: lock.locked()),
            ],
            tmp_path / "r.pkl",
        )
    assert "may not hold open files, locks" in caught.value.hint
    assert not (tmp_path / "r.pkl").exists()


def test_the_first_traceback_is_kept():
    def broken(output, task=None):
        raise ValueError(f"no {output}")

    mine = recorded([RewardSpec(name="broken", fn=broken)])[0]
    rewards = combine_rewards([mine], ["x", "y"], [TASK, TASK])
    assert rewards.scores == (None, None)
    assert rewards.unscored == {"broken: raised ValueError": 2}
    assert "ValueError: no x" in mine.fn.traceback
    assert "in broken" in mine.fn.traceback
    assert not mine.needs_task


class Together:
    def __call__(self, output, task):
        raise AssertionError

    def score_batch(self, pairs):
        if len(pairs) > 2:
            raise ValueError("too many")
        return [float(len(pairs))] * len(pairs)


def test_what_scores_a_batch_still_does():
    specs = recorded(
        [RewardSpec(name="both", fn=Together()), RewardSpec.from_verifier(ExactVerifier())]
    )
    assert [spec.needs_task for spec in specs] == [True, True]
    rewards = combine_rewards(specs, ["42", "43"], [TASK, TASK])
    assert rewards.by_name == {"both": (2.0, 2.0), "exact": (1.0, 0.0)}
    assert combine_rewards(specs[:1], ["42"] * 3, [TASK] * 3).unscored_count == 3
    assert "ValueError: too many" in specs[0].fn.traceback
