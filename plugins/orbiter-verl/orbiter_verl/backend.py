"""The verl backend: PPO and GRPO on Ray, out of process."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import orjson
from attrs import frozen

from orbiter import jsonl
from orbiter.curate.export.verl import Verl
from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Task
from orbiter.train.backend import Backend, Finding, TrainJob, TrainResult
from orbiter.train.config import LoraConfig, TrainConfig, TrainMetrics
from orbiter.train.job_folder import JobFolder
from orbiter.train.rewards import check_rewards
from orbiter_verl.attempt import (
    Watch,
    account_until,
    kl_coef_after,
    new_attempt,
    newest_checkpoint,
    run,
    write_files,
)
from orbiter_verl.driver import Order, decide
from orbiter_verl.keys import Request
from orbiter_verl.merging import merge_adapters
from orbiter_verl.preflight import preflight
from orbiter_verl.process import compose_elsewhere
from orbiter_verl.settings import check_config, read_settings

log = logging.getLogger("orbiter.train.verl")


@frozen(kw_only=True)
class Seen:
    """What was seen of a job before it trains.

    Args:
        tasks: The tasks of each split.
        notes: What looks wrong, and is not refused.
    """

    tasks: Mapping[str, list[Task]]
    notes: Sequence[str]


class VerlBackend(Backend):
    """Trains with verl's own ``run_ppo``: PPO with a critic, or GRPO.

    verl runs in processes of its own, with the interpreter that the option ``python`` names, on a Ray cluster that lives as long as the
    training, or on a running one. ``job.options`` are those of :class:`orbiter_verl.settings.Settings`; verl's own go into ``overrides``.

    A job whose ``output_dir`` holds the same job goes on from its newest checkpoint, and returns its result if it is done.
    """

    name = "verl"
    algorithms: ClassVar[Mapping[str, type]] = {"ppo": Task, "grpo": Task}
    absent: ClassVar[Mapping[str, str]] = {
        "sft": "it is an algorithm of the backend 'trl' (orbiter-trl)",
        "dpo": "verl has no DPO; it is an algorithm of the backend 'trl' (orbiter-trl)",
        "rloo": "it is an algorithm of the backend 'trl' (orbiter-trl)",
    }

    def check_settings(
        self, algorithm: str, config: TrainConfig, options: Mapping[str, Any]
    ) -> None:
        """Raise if no job could work with these settings."""
        self.record_of(algorithm)
        check_config(config, read_settings(algorithm, options))

    def check(self, job: TrainJob) -> None:
        """Raise if the job cannot work, as :meth:`prepare` does."""
        self.prepare(job)

    def prepare(self, job: TrainJob) -> Callable[[], TrainResult]:
        """Return what trains a job that can work.

        Raises:
            ConfigError: The algorithm, an option, an override, the model or the data file cannot be used.
            RecordError: A row is no task, or has what verl cannot be given; names file, line and field.
            MissingPluginError: The interpreter lacks verl.
        """
        seen = self._seen(job)
        return lambda: self._train(job, seen)

    def native_config(self, job: TrainJob) -> str:
        """Return verl's whole configuration for a job, as YAML; the data need not be there."""
        self.record_of(job.algorithm)
        with tempfile.TemporaryDirectory(prefix="orbiter-verl-") as folder:
            request = self._request(job, row_count=None)
            return compose_elsewhere(Order(request=request, folder=folder))

    def examine(self) -> list[Finding]:
        """Return what of the things that verl needs this machine has."""
        from orbiter_verl.doctor import examine

        return examine()

    def train(self, job: TrainJob) -> TrainResult:
        """Check the job, run it, and return what it made.

        Raises:
            BackendError: The folder holds another job, or verl failed; the cause is the worker's own traceback.
            UserCodeError: A reward raises at every answer.
        """
        return self.prepare(job)()

    def _train(self, job: TrainJob, seen: Seen) -> TrainResult:
        folder = JobFolder(job.output_dir)
        folder.claim(job)
        if done := folder.result():
            return done
        request = self._request(job, row_count=len(seen.tasks["train"]))
        step, checkpoint = newest_checkpoint(folder.resume)
        watch = self._watch(job, folder, request, step)
        if step < watch.last_step:
            self._attempt(job, folder, request, watch, seen.tasks, step, checkpoint)
            step, checkpoint = newest_checkpoint(folder.resume)
        if checkpoint is None or step < watch.last_step:
            raise BackendError(
                f"verl ended after step {step} of {watch.last_step}, and said no error",
                hint=f"its log is in {folder.path / 'verl'}",
            )
        return self._finish(folder, watch, checkpoint, seen.notes, lora=job.config.lora)

    def _seen(self, job: TrainJob) -> Seen:
        """Return what was seen of a job that can work."""
        self.record_of(job.algorithm)
        request = self._request(job, row_count=None)
        check_config(job.config, request.settings)
        check_rewards(job.rewards)
        if job.toolbox is not None:
            raise ConfigError(
                f"toolbox must be None with the backend 'verl', got {job.toolbox!r}",
                hint="tools are called in grpo of the backend 'trl'",
            )
        model = Path(job.model)
        if model.is_dir() and not (model / "config.json").is_file():
            raise ConfigError(
                f"model must be a hub id or a folder with a config.json, got {job.model!r}"
            )
        if job.config.eval_every and job.eval_data is None:
            raise ConfigError(f"eval_every needs eval_data, got eval_every={job.config.eval_every}")
        found = {"train": read_tasks("data", job.data)}
        if job.eval_data is not None:
            found["eval"] = read_tasks("eval_data", job.eval_data)
        if len(found["train"]) < request.prompt_count:
            raise ConfigError(
                f"data must hold at least the {request.prompt_count} tasks of one step, got {len(found['train'])}",
                hint="lower batch_size or gradient_accumulation, or give more tasks",
            )
        settings = request.settings
        answers = request.prompt_count * settings.group_size
        if settings.kl_target is not None and settings.kl_horizon * 5 <= answers:
            raise ConfigError(
                f"kl_horizon must be > {answers // 5}, a fifth of the answers of a step, got {settings.kl_horizon}"
            )
        files = tuple(str(path) for path in (job.data, job.eval_data) if path is not None)
        request = self._request(job, row_count=len(found["train"]))
        return Seen(tasks=found, notes=_look(request, files))

    def _request(self, job: TrainJob, *, row_count: int | None) -> Request:
        plain = {f.name: getattr(job.config, f.name) for f in attrs.fields(TrainConfig)}
        model = Path(job.model)
        return Request(
            algorithm=job.algorithm,
            model=str(model.resolve()) if job.model and model.is_dir() else job.model,
            config=TrainConfig(**plain),
            settings=read_settings(job.algorithm, job.options),
            row_count=row_count,
        )

    def _watch(self, job: TrainJob, folder: JobFolder, request: Request, step: int) -> Watch:
        """Return what watches a run that begins after a step, with the account of all that came before."""
        account = account_until(folder.path / "verl", step, compares_groups=job.algorithm == "grpo")
        watch = Watch(
            folder=folder,
            account=account,
            log_every=job.config.log_every,
            last_step=request.step_count or 0,
            on_metrics=job.on_metrics,
        )
        watch.last.update(folder.keep_metrics(step))
        return watch

    def _attempt(
        self,
        job: TrainJob,
        folder: JobFolder,
        request: Request,
        watch: Watch,
        tasks: Mapping[str, list[Task]],
        step: int,
        checkpoint: Path | None,
    ) -> None:
        settings = request.settings
        if step and settings.kl_target is not None:
            stood = kl_coef_after(folder.path / "verl", step, request)
            request = attrs.evolve(request, settings=attrs.evolve(settings, kl_coef=stood))
        attempt = new_attempt(folder.path / "verl", step)
        files = write_files(
            job, attempt, checkpoints=folder.resume, resume_from=checkpoint, tasks=tasks
        )
        order = Order(
            request=attrs.evolve(request, files=files),
            folder=str(attempt.path.resolve()),
            train=True,
        )
        try:
            run(attempt, order, watch)
        finally:
            Path(files.rewards).unlink(missing_ok=True)

    def _finish(
        self,
        folder: JobFolder,
        watch: Watch,
        checkpoint: Path,
        notes: Sequence[str],
        *,
        lora: LoraConfig | None,
    ) -> TrainResult:
        trained = _weights_of(checkpoint)
        if lora is None:
            folder.publish(lambda draft: _copy(trained, draft))
        else:
            folder.publish(lambda draft: merge_adapters(trained, draft, lora))
        tally = watch.account.tally
        alarms = [*notes, *tally.alarms()]
        for alarm in alarms:
            log.warning("%s", alarm)
        result = TrainResult(
            checkpoint=folder.checkpoint,
            metrics=_final(watch),
            token_count=tally.token_count,
            sample_count=tally.sample_count,
            seconds=tally.seconds,
            alarms=tuple(alarms),
        )
        folder.finish(result)
        return result


def _look(request: Request, files: tuple[str, ...]) -> list[str]:
    """Have the interpreter that is to train compose the configuration and look at the model and the prompts; return what looks wrong."""
    here = request.settings.python == sys.executable
    with tempfile.TemporaryDirectory(prefix="orbiter-verl-") as folder:
        compose_elsewhere(Order(request=request, folder=folder, prompts=() if here else files))
        if not here:
            notes: list[str] = orjson.loads(Path(folder, "notes.json").read_bytes())
            return notes
    # The driver would have to import torch and transformers for it, which are often here already.
    return preflight(attrs.evolve(request, settings=decide(request.settings)), files)


def read_tasks(name: str, path: Path) -> list[Task]:
    """Return the tasks of a file, each of which verl can be given.

    Raises:
        ConfigError: There is no such file, or nothing in it.
        RecordError: A row is no task, or holds tools or anything but text; names file, line and field.
    """
    if not path.is_file():
        raise ConfigError(f"{name} must be a JSONL file, got {str(path)!r}")
    exporter, tasks = Verl(), []
    for line, task in enumerate(jsonl.read(path, Task), start=1):
        try:
            exporter.row(task, index=line - 1)
        except RecordError as error:
            raise error.at(str(path), line) from None
        tasks.append(task)
    if not tasks:
        raise ConfigError(f"{name} must hold at least one task, got none in {str(path)!r}")
    return tasks


def _weights_of(checkpoint: Path) -> Path:
    """Return the folder of a checkpoint of verl's that transformers can load."""
    for place in ("actor/huggingface", "actor/model/huggingface"):  # FSDP, Megatron
        if any((checkpoint / place).glob("*.safetensors")):
            return checkpoint / place
    raise BackendError(
        f"verl must leave the weights in the format of transformers in {checkpoint}, and there are none"
    )


def _copy(source: Path, draft: Path) -> None:
    shutil.copytree(source, draft, dirs_exist_ok=True)


def _final(watch: Watch) -> TrainMetrics:
    named = ("loss", "reward")
    extra = {name: value for name, value in sorted(watch.last.items()) if name not in named}
    tally = watch.account.tally
    if tally.group_count:
        extra["flat_group_ratio"] = tally.flat_group_count / tally.group_count
    return TrainMetrics(
        **{name: watch.last.get(name) for name in named}, steps=watch.last_step, extra=extra
    )
