"""The check of an Environment."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence

import orjson

from orbiter.records import Outcome, Task, content_hash
from orbiter.tasks.environment import Environment, Probe
from orbiter.tasks.toolbox import Toolbox
from orbiter.testing.contract import Contract, shown
from orbiter.verify.answer import answered
from orbiter.verify.component import make_verifier
from orbiter.verify.verifier import Verifier, judge


def check_environment(
    make: Callable[[], Environment],
    *,
    seeds: Sequence[int] = (0, 1),
    count: int = 20,
    verifier: Verifier | None = None,
    fresh_process: bool = False,
) -> None:
    """Check that an environment keeps its contract.

    The clauses: it is named; tasks are tasks of this environment; the same (seed, index) gives the same task in any order,
    in a fresh instance and, if asked for, in a fresh process; seeds select different streams; one id never names two tasks;
    tasks survive the way through JSON; it has as many as its size says; tools are fresh for each answer; ``chars`` covers prompts and
    demonstrations; the verifier accepts each demonstration and does not accept every wrong answer; its probes are labelled as the verifier
    says.

        def test_doubling():
            check_environment(Doubling)

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        seeds: Streams to draw from.
        count: Tasks to draw from each, or the size of the environment if it is smaller.
        verifier: Judge to use instead of the environment's own.
        fresh_process: Draw the tasks again in another process with another hash seed, which finds a use of ``hash()``;
            ``make`` must be importable by name there. Takes about a second.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    environment = make()
    contract = Contract(
        "environment", str(getattr(environment, "name", type(environment).__name__))
    )
    _check_attributes(contract, environment)
    if environment.size is not None:
        count = min(count, environment.size)
        for seed in seeds:
            with contract.without_error("size", f"task({environment.size - 1}, seed={seed})"):
                environment.task(environment.size - 1, seed=seed)
    with contract.without_error("tasks", "task()"):
        streams = {
            seed: [environment.task(index, seed=seed) for index in range(count)] for seed in seeds
        }
    for seed, tasks in streams.items():
        for index, task in enumerate(tasks):
            _check_task(contract, environment, task, f"task({index}, seed={seed})")
    _check_determinism(contract, environment, make(), streams)
    if fresh_process:
        _check_fresh_process(contract, make, streams)
    _check_streams(contract, environment, streams)
    _check_toolbox(contract, environment)
    judged_by = verifier or make_verifier(environment.verifier())
    for tasks in streams.values():
        demonstrations = _demonstrations(contract, environment, tasks)
        _check_chars(contract, environment, tasks, demonstrations)
        _check_answers(contract, judged_by, tasks, demonstrations)
        _check_probes(contract, environment, judged_by, tasks)


def _check_attributes(contract: Contract, environment: Environment) -> None:
    name = getattr(environment, "name", None)
    contract.clause("name", isinstance(name, str) and name, f"name must be a text, got {name!r}")
    size = environment.size
    contract.clause(
        "size",
        size is None or (type(size) is int and size >= 1),
        f"size must be None or an integer >= 1, got {size!r}",
    )


def _check_task(contract: Contract, environment: Environment, task: Task, call: str) -> None:
    contract.clause(
        "tasks", isinstance(task, Task), f"{call} must return a Task, got {shown(task)}"
    )
    contract.clause(
        "tasks",
        task.env == environment.name,
        f"{call} must have env {environment.name!r}, got {task.env!r}",
    )
    contract.clause("tasks", task.task_id, f"{call} must have a task_id, got {task.task_id!r}")
    contract.clause("tasks", task.messages, f"{call} must have a prompt, got no messages")
    contract.clause(
        "tasks",
        not task.messages or task.messages[-1].role != "assistant",
        f"{call} must leave the next turn to the policy, got a last message of the assistant",
    )
    with contract.without_error("JSON", f"{call} through JSON"):
        back = Task.from_row(orjson.loads(orjson.dumps(task.to_row())))
    contract.clause(
        "JSON",
        back == task,
        f"{call} must be the same after a way through JSON, got {shown(back)} for {shown(task)}",
    )


def _check_determinism(
    contract: Contract,
    environment: Environment,
    fresh: Environment,
    streams: dict[int, list[Task]],
) -> None:
    for seed, tasks in streams.items():
        for index, task in reversed(list(enumerate(tasks))):
            for again, whose in ((environment, "the same"), (fresh, "a fresh")):
                other = again.task(index, seed=seed)
                contract.clause(
                    "same task for ever",
                    other == task,
                    f"task({index}, seed={seed}) of {whose} instance must be the same whenever it is asked for, "
                    f"got {shown(other)} after {shown(task)}",
                )


def _check_fresh_process(
    contract: Contract, make: Callable[[], Environment], streams: dict[int, list[Task]]
) -> None:
    try:
        pickled = pickle.dumps(make)
    except Exception as error:
        raise ValueError(
            f"make must be importable by name for a fresh process, got {make!r}: {error}"
        ) from error
    hashes = {seed: [content_hash(task) for task in tasks] for seed, tasks in streams.items()}
    code = (
        "import json, pickle, sys; from orbiter.testing.environment import task_hashes; "
        "task_hashes(pickle.load(sys.stdin.buffer), json.loads(sys.argv[1]))"
    )
    wanted = json.dumps([[seed, len(tasks)] for seed, tasks in streams.items()])
    done = subprocess.run(  # noqa: S603  # our own interpreter on our own code
        [sys.executable, "-c", code, wanted],
        input=pickled,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    contract.clause(
        "same task for ever",
        done.returncode == 0,
        f"it must work in a fresh process, got {done.stderr.decode()[-400:]}",
    )
    contract.clause(
        "same task for ever",
        json.loads(done.stdout) == list(hashes.values()),
        "a fresh process must give the same tasks; is hash() or the order of a set used?",
    )


def task_hashes(make: Callable[[], Environment], wanted: Sequence[tuple[int, int]]) -> None:
    """Print content hashes of the first tasks per (seed, count) as JSON; what runs in the fresh process."""
    environment = make()
    hashes = [
        [content_hash(environment.task(index, seed=seed)) for index in range(count)]
        for seed, count in wanted
    ]
    sys.stdout.write(json.dumps(hashes))


def _check_streams(
    contract: Contract, environment: Environment, streams: dict[int, list[Task]]
) -> None:
    if environment.size is None and len(streams) > 1:
        first, *rest = (tuple(content_hash(task) for task in tasks) for tasks in streams.values())
        contract.clause(
            "seeds",
            all(other != first for other in rest),
            f"seeds {list(streams)} must select different streams, got the same tasks",
        )
    named: dict[str, Task] = {}
    for tasks in streams.values():
        for task in tasks:
            other = named.setdefault(task.task_id, task)
            contract.clause(
                "one id, one task",
                other == task,
                f"task_id {task.task_id!r} must name one task, got {shown(other)} and {shown(task)}",
            )
        prompts = {content_hash(task.messages) for task in tasks}
        contract.clause(
            "variety", len(tasks) < 2 or len(prompts) > 1, "tasks must differ, got one prompt only"
        )


def _check_toolbox(contract: Contract, environment: Environment) -> None:
    with contract.without_error("toolbox", "toolbox()"):
        boxes = [environment.toolbox() for _ in range(2)]
    if boxes != [None, None]:
        contract.clause(
            "toolbox",
            all(isinstance(box, Toolbox) for box in boxes) and boxes[0] is not boxes[1],
            f"toolbox() must return None, or a fresh Toolbox each time, got {shown(boxes)}",
        )


def _demonstrations(
    contract: Contract, environment: Environment, tasks: Sequence[Task]
) -> list[str | None]:
    with contract.without_error("demonstrations", "demonstrate()"):
        demonstrations = [environment.demonstrate(task) for task in tasks]
        again = [environment.demonstrate(task) for task in tasks]
    for right in demonstrations:
        contract.clause(
            "demonstrations",
            right is None or isinstance(right, str),
            f"demonstrate(task) must return text or None, got {right!r}",
        )
    contract.clause(
        "demonstrations",
        again == demonstrations,
        "demonstrate(task) must give the same answer again, got another",
    )
    return demonstrations


def _check_chars(
    contract: Contract,
    environment: Environment,
    tasks: Sequence[Task],
    demonstrations: Sequence[str | None],
) -> None:
    if environment.chars is None:
        return
    for task, right in zip(tasks, demonstrations, strict=True):
        used = set(right or "").union(*(message.text for message in task.messages))
        missing = sorted(used - set(environment.chars))
        contract.clause(
            "chars",
            not missing,
            f"chars must hold every character of prompts and demonstrations, got none of {missing} "
            f"in {task.task_id!r}",
        )


def _check_answers(
    contract: Contract,
    verifier: Verifier,
    tasks: Sequence[Task],
    demonstrations: Sequence[str | None],
) -> None:
    rejected = False
    for index, (task, right) in enumerate(zip(tasks, demonstrations, strict=True)):
        if right is not None:
            verdict = judge(verifier, task, answered(task, right))
            contract.clause(
                "demonstrations are accepted",
                verdict.outcome is Outcome.PASS,
                f"verifier {verifier.name!r} must accept {shown(right)} for {task.task_id!r}, "
                f"got {verdict.outcome.value}: {verdict.reason}",
            )
        wrong = ["", "\N{SNOWMAN}", demonstrations[index - 1] or ""]
        rejected |= any(
            judge(verifier, task, answered(task, text)).outcome is not Outcome.PASS
            for text in wrong
        )
    contract.clause(
        "wrong answers are rejected",
        rejected,
        f"verifier {verifier.name!r} must not accept everything; it passed empty answers, "
        "nonsense and the answers of other tasks",
    )


def _check_probes(
    contract: Contract, environment: Environment, verifier: Verifier, tasks: Sequence[Task]
) -> None:
    for task in tasks:
        with contract.without_error("probes", "probes()"):
            probes, again = list(environment.probes(task)), list(environment.probes(task))
        contract.clause(
            "probes", again == probes, "probes(task) must give the same probes again, got others"
        )
        for probe in probes:
            contract.clause(
                "probes",
                isinstance(probe, Probe),
                f"probes(task) must give Probes, got {shown(probe)}",
            )
            verdict = judge(verifier, task, answered(task, probe.answer))
            contract.clause(
                "probes",
                (verdict.outcome is Outcome.PASS) == probe.correct,
                f"verifier {verifier.name!r} must say that {shown(probe.answer)} ({probe.family}) is "
                f"{'right' if probe.correct else 'wrong'} for {task.task_id!r}, "
                f"got {verdict.outcome.value}: {verdict.reason}",
            )
