"""Trained reward models at work: as rewards of algorithms that sample, and as verifiers."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.train.objectives import process_reward
from orbiter.verify.answer import answered, final_answer, prompt_size
from orbiter.verify.verifier import Verifier
from orbiter_trl.policy import is_path

if TYPE_CHECKING:
    from orbiter_trl.scoring import Scorer

HOW = ("product", "min", "last")

DIGITS = 3
"""To how many decimals a verdict takes a model's number: what else is in the batch changes those beyond."""


class _Scoring:
    """A scorer that is loaded when it is first asked, so that what holds it can be sent to another process."""

    algorithm: ClassVar[str]

    def __init__(
        self, model: str | Path, *, batch_size: int = 32, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self.model = str(model)
        if not self.model or (is_path(self.model) and not Path(self.model).is_dir()):
            raise ConfigError(f"model must be a folder that exists or a hub id, got {model!r}")
        self.batch_size = check_whole_number("batch_size", batch_size, low=1)
        self.device, self.dtype = device, dtype
        self._scorer: Scorer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scorer": None}

    @property
    def scorer(self) -> Scorer:
        """The loaded model."""
        if self._scorer is None:
            from orbiter_trl.scoring import Scorer

            self._scorer = Scorer.open(
                self.model,
                algorithm=self.algorithm,
                batch_size=self.batch_size,
                device=self.device,
                dtype=self.dtype,
            )
        return self._scorer

    def fingerprint(self) -> str:
        """Return what changes when the model does: a hash of a folder's files, or the hub id."""
        folder = Path(self.model)
        if not folder.is_dir():
            return self.model
        found = hashlib.blake2b(digest_size=8)
        for file in sorted(folder.iterdir()):
            if file.suffix in (".json", ".safetensors", ".jinja") and file.is_file():
                with file.open("rb") as opened:
                    found.update(hashlib.file_digest(opened, hashlib.sha256).digest())
        return found.hexdigest()


class RewardModel(_Scoring):
    """A trained reward model as the function of a reward: the score of prompt and answer, a number of any range.

        RewardSpec(name="preference", fn=RewardModel("runs/reward/checkpoint"))

    The score has no zero of its own: only differences between answers to one prompt mean anything. What is longer than the model's
    context is unscored.

    Args:
        model: Folder or hub id; what the algorithm ``reward`` made.
        batch_size: Answers per forward pass.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda:1``, ...
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
    """

    algorithm = "reward"

    @property
    def version(self) -> str:
        """What changes when the model does."""
        return self.fingerprint()

    def __call__(
        self, output: str, task: Task, trajectory: Trajectory | None = None
    ) -> float | Verdict:
        """Return the score of one answer."""
        return self.score_batch([(task, trajectory or answered(task, output))])[0]

    def score_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[float | Verdict]:
        """Return the score of each answer, or an invalid verdict that says why it has none."""
        scores = self.scorer.score_wholes(_following(pairs))
        return [s if isinstance(s, float) else Verdict.invalid(str(s)) for s in scores]


class _ModelVerifier(Verifier, _Scoring):
    """What the verifiers share: a model, and the least score that passes."""

    opinion = True

    def __init__(
        self,
        model: str | Path,
        *,
        threshold: float = 0.5,
        batch_size: int = 32,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        _Scoring.__init__(self, model, batch_size=batch_size, device=device, dtype=dtype)
        self.threshold = check_number("threshold", threshold, "[0, 1]")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on one answer."""
        return self.verify_batch([(task, trajectory)])[0]

    def verify_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
        """Return one verdict per pair, in their order, from few forward passes."""
        asked = [pair for pair in pairs if (final_answer(pair[1]) or "").strip()]
        verdicts = iter(self._verdicts(_following(asked)))
        return [
            next(verdicts) if (final_answer(row) or "").strip() else Verdict.failed("no answer")
            for _, row in pairs
        ]

    @abstractmethod
    def _verdicts(self, trajectories: list[Trajectory]) -> list[Verdict]:
        """Return the verdicts on trajectories that hold an answer."""

    def _judged(self, score: float, **more: Any) -> Verdict:
        if score >= self.threshold:
            return Verdict.passed(score=score, **more)
        return Verdict.failed("score below the threshold", score=score, **more)


class RewardModelVerifier(_ModelVerifier):
    """Passes an answer whose score by a trained reward model, as 1 / (1 + e^-(r - offset)), reaches the threshold.

    Args:
        model: Folder or hub id; what the algorithm ``reward`` made.
        threshold: Least score that passes, in [0, 1].
        offset: The reward that counts as 1/2: a reward model has no zero of its own, so measure it on answers that are known.
        batch_size: Answers per forward pass.
        device: As of :class:`RewardModel`.
        dtype: As of :class:`RewardModel`.
    """

    name = "reward_model"
    algorithm = "reward"

    def __init__(
        self,
        model: str | Path,
        *,
        threshold: float = 0.5,
        offset: float = 0.0,
        batch_size: int = 32,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        super().__init__(
            model, threshold=threshold, batch_size=batch_size, device=device, dtype=dtype
        )
        self.offset = check_number("offset", offset, "(-inf, inf)")
        self.version = f"1;{self.fingerprint()};threshold={threshold};offset={offset}"

    def _verdicts(self, trajectories: list[Trajectory]) -> list[Verdict]:
        return [
            self._judged(
                _sigmoid(round(score, DIGITS) - self.offset),
                details={"reward": round(score, DIGITS)},
            )
            if isinstance(score, float)
            else Verdict.invalid(str(score))
            for score in self.scorer.score_wholes(trajectories)
        ]


class ProcessRewardVerifier(_ModelVerifier):
    """Gives each assistant turn the probability that it is right, by a trained process reward model.

    Args:
        model: Folder or hub id; what the algorithm ``prm`` made.
        threshold: Least score that passes, in [0, 1].
        how: The score of an answer: the ``product`` of its steps' scores, their ``min``, or that of the ``last`` step.
        batch_size: Answers per forward pass.
        device: As of :class:`RewardModel`.
        dtype: As of :class:`RewardModel`.
    """

    name = "process_reward_model"
    algorithm = "prm"

    def __init__(
        self,
        model: str | Path,
        *,
        threshold: float = 0.5,
        how: str = "min",
        batch_size: int = 32,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        super().__init__(
            model, threshold=threshold, batch_size=batch_size, device=device, dtype=dtype
        )
        if how not in HOW:
            raise ConfigError(f"how must be one of {', '.join(HOW)}, got {how!r}")
        self.how = how
        self.version = f"1;{self.fingerprint()};threshold={threshold};how={how}"

    def _verdicts(self, trajectories: list[Trajectory]) -> list[Verdict]:
        return [
            self._of_steps([_sigmoid(round(score, DIGITS)) for score in scores])
            if isinstance(scores, list)
            else Verdict.invalid(str(scores))
            for scores in self.scorer.score_steps(trajectories)
        ]

    def _of_steps(self, scores: list[float]) -> Verdict:
        if self.how == "last":
            score = scores[-1]
        else:
            how: Any = self.how
            score = float(process_reward([scores], [[1] * len(scores)], how=how)[0])
        return self._judged(score, step_scores=tuple(scores))


def _following(pairs: Sequence[tuple[Task, Trajectory]]) -> list[Trajectory]:
    """Return what follows the prompt, after the task's own: a trajectory may show another, or count otherwise."""
    return [
        Trajectory.following(task, *trajectory.messages[prompt_size(task, trajectory) :])
        for task, trajectory in pairs
    ]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
