"""An attempt: one run of verl on a job, from the start or from a checkpoint, watched until it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
from attrs import field, frozen

from orbiter.curate.export.verl import Verl
from orbiter.errors import BackendError, UserCodeError
from orbiter.jsonl import replace_file
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.job_folder import JobFolder
from orbiter.train.objectives import adaptive_kl_coef
from orbiter_verl.driver import Order
from orbiter_verl.keys import Files, Request
from orbiter_verl.metrics import translated
from orbiter_verl.process import Training, WorkerTraceback
from orbiter_verl.rewards import seal_rewards
from orbiter_verl.samples import Account, SampleReader
from orbiter_verl.tail import JsonlTail

POLL_S = 0.2
"""Seconds between two looks at what verl has written."""


@frozen(kw_only=True)
class Attempt:
    """The folder of one attempt, ``verl/attempt-<number>`` in the job's.

    config.yaml      verl's whole configuration, exactly
    log.txt          what verl, Ray and the workers printed
    metrics.jsonl    verl's own metrics
    samples/         what was sampled and how it was scored
    error.json       the tracebacks, if it failed

    Args:
        path: The folder.
        start: Step of the checkpoint that it goes on from; 0 for none.
    """

    path: Path
    start: int

    @property
    def number(self) -> int:
        """Its number, counted from 1."""
        return int(self.path.name.removeprefix("attempt-"))

    @property
    def samples(self) -> Path:
        """Folder of its samples."""
        return self.path / "samples"


def attempts(folder: Path) -> list[Attempt]:
    """Return the attempts that were made on a job, in order."""
    found = [
        Attempt(path=file.parent, start=orjson.loads(file.read_bytes()))
        for file in folder.glob("attempt-*/start.json")
        if re.fullmatch(r"attempt-\d+", file.parent.name)
    ]
    return sorted(found, key=lambda attempt: attempt.number)


def new_attempt(folder: Path, start: int) -> Attempt:
    """Make the folder of the next attempt."""
    number = max((attempt.number for attempt in attempts(folder)), default=0) + 1
    path = folder / f"attempt-{number}"
    path.mkdir(parents=True, exist_ok=True)
    with replace_file(path / "start.json") as file:
        file.write(orjson.dumps(start))
    return Attempt(path=path, start=start)


def newest_checkpoint(resume: Path) -> tuple[int, Path | None]:
    """Return step and folder of the newest complete checkpoint of verl, or (0, None)."""
    try:
        # Written when all the rest is.
        step = int((resume / "latest_checkpointed_iteration.txt").read_text())
    except (FileNotFoundError, ValueError):
        return 0, None
    folder = resume / f"global_step_{step}"
    return (step, folder) if folder.is_dir() else (0, None)


def account_until(folder: Path, step: int, *, compares_groups: bool) -> Account:
    """Return the account of what the attempts did up to a step, leaving out what a later one did again.

    Args:
        folder: Of the attempts.
        step: The last step that counts.
        compares_groups: Whether answers to one prompt are compared with each other.
    """
    account, made = Account(compares_groups=compares_groups), attempts(folder)
    for attempt, later in zip(made, [*(each.start for each in made[1:]), step]):
        until = min(later, step)
        account.add(
            s for s in SampleReader(attempt.samples).read() if attempt.start < s.step <= until
        )
        account.close(until)
        account.tally.seconds += sum(
            translated(row["data"]).get("step_time", 0.0)
            for row in JsonlTail(attempt.path / "metrics.jsonl").rows()
            if attempt.start < row["step"] <= until
        )
    account.tracebacks.clear()
    return account


def kl_coef_after(folder: Path, step: int, request: Request) -> float:
    """Return where the adaptive controller stood after a step, which verl's checkpoints do not hold.

    Args:
        folder: Of the attempts.
        step: The step.
        request: Of the job.
    """
    settings = request.settings
    for attempt in reversed(attempts(folder)):
        for row in JsonlTail(attempt.path / "metrics.jsonl").rows():
            data = row["data"]
            if row["step"] == step and "actor/reward_kl_penalty" in data:
                return adaptive_kl_coef(
                    data["actor/reward_kl_penalty_coeff"],
                    data["actor/reward_kl_penalty"],
                    target=settings.kl_target,
                    horizon=settings.kl_horizon,
                    count=request.prompt_count * settings.group_size,
                )
    return settings.kl_coef


@frozen(kw_only=True)
class Watch:
    """Passes on what a run writes: rows of metrics, counts of samples.

    Args:
        folder: The job's.
        account: Of its samples.
        log_every: Steps between rows.
        last_step: The last step of the job, which gets a row too.
        on_metrics: Called with each row.
    """

    folder: JobFolder
    account: Account
    log_every: int
    last_step: int
    on_metrics: Callable[[int, Mapping[str, float]], None] | None
    last: dict[str, float] = field(factory=dict)
    window: list[dict[str, float]] = field(factory=list)

    def see(self, step: int, row: Mapping[str, float]) -> None:
        """Take in the metrics of a step, whose samples are all in the account."""
        metrics = {**row, **self.account.close(step)}
        self.account.tally.seconds += metrics.get("step_time", 0.0)
        metrics["token_count"] = float(self.account.tally.token_count)
        self.window.append(metrics)
        if step % self.log_every and step < self.last_step:
            return
        for name in ("loss", "reward"):
            values = [each[name] for each in self.window if name in each]
            if values:
                metrics[name] = sum(values) / len(values)
        self.window.clear()
        self.last.update(metrics)
        with self.folder.metrics.open("ab") as file:
            file.write(orjson.dumps({"step": step, **metrics}) + b"\n")
        if self.on_metrics is not None:
            self.on_metrics(step, metrics)


def run(attempt: Attempt, order: Order, watch: Watch) -> None:
    """Run verl until it is done.

    Raises:
        UserCodeError: No answer could be scored, since a reward raises.
        BackendError: verl failed; the cause is what the worker said.
    """
    metrics = attempt.path / "metrics.jsonl"
    tail, reader = JsonlTail(metrics), SampleReader(attempt.samples)

    def look() -> None:
        rows = list(tail.rows())
        watch.account.add(reader.read())
        for row in rows:
            watch.see(row["step"], translated(row["data"]))

    with Training(order, log=attempt.path / "log.txt", metrics=metrics) as training:
        while training.is_running():
            time.sleep(POLL_S)
            look()
    look()
    try:
        training.check()
    except BackendError as error:
        watch.account.close(watch.last_step)
        raise _blamed(error, watch.account) from error.__cause__


def _blamed(error: BackendError, account: Account) -> BackendError | UserCodeError:
    """Return the error, or that of the reward which left nothing to learn from."""
    if "no answer could be scored" not in error.message:
        return error
    reasons = ", ".join(f"{why} ({count})" for why, count in account.tally.unscored.items())
    message = f"no answer of several batches could be scored: {reasons}"
    if not account.tracebacks:
        return BackendError(
            message, hint="an answer without a score is never learned from; mend the rewards"
        )
    blamed = UserCodeError(message, hint=error.hint)
    error.__cause__ = WorkerTraceback("\n".join(account.tracebacks))
    return blamed


def write_prompts(tasks: list[Task], path: Path, *, split: str) -> str:
    """Write tasks as verl's parquet, and return the file."""
    exporter = Verl(split=split)
    path.parent.mkdir(parents=True, exist_ok=True)
    exporter.save((exporter.row(task, index=i) for i, task in enumerate(tasks)), path)
    return str(path)


def write_files(
    job: TrainJob,
    attempt: Attempt,
    *,
    checkpoints: Path,
    resume_from: Path | None,
    tasks: Mapping[str, list[Task]],
) -> Files:
    """Write what verl reads, and return where it is."""
    prompts = {
        split: write_prompts(rows, attempt.path / f"{split}.parquet", split=split)
        for split, rows in tasks.items()
    }
    sealed = seal_rewards(job.rewards, attempt.path / "rewards.pkl")
    sources = {"train": job.data, "eval": job.eval_data}
    return Files(
        train=prompts["train"],
        eval=prompts.get("eval"),
        tasks={split: str(Path(str(sources[split])).resolve()) for split in tasks},
        checkpoints=str(checkpoints.resolve()),
        resume_from=None if resume_from is None else str(resume_from.resolve()),
        samples=str(attempt.samples.resolve()),
        rewards=str(Path(sealed.path).resolve()),
        rewards_digest=sealed.digest,
    )
