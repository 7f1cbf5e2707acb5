"""The Judge ABC: a verifier that asks a model, and trusts neither the answer nor the reply."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import attrs
from attrs import field, frozen

from orbiter.checks import check_bool, check_number, check_seed, check_whole_number
from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Trajectory, Verdict, content_hash
from orbiter.tasks.component import make_component
from orbiter.tasks.streams import item_seed
from orbiter.verify.answer import final_answer
from orbiter.verify.judges.attacks import certain_failure
from orbiter.verify.judges.fence import fenced, plain
from orbiter.verify.judges.model import JudgeModel, Question, Reply, ask
from orbiter.verify.judges.prompt import REMINDER, Sections, is_all_text
from orbiter.verify.judges.reply import UnreadableError, last_object
from orbiter.verify.judges.votes import largest_log_odds
from orbiter.verify.verifier import Verifier, verdict_of_error


@frozen
class Sample:
    """What one reply said.

    Args:
        value: What the judge read in it; None if nothing, or if the model could not tell.
        fault: Why nothing could be read; empty if the reply is sound.
    """

    value: Any = None
    fault: str = ""


@frozen
class Evidence:
    """What came back for one answer.

    Args:
        samples: One list per prompt, with one sample per time that it was asked.
        details: What goes into the verdict: model, hash of the prompts, tokens, cost, values and faults.
    """

    samples: tuple[tuple[Sample, ...], ...]
    details: dict[str, Any]

    def unknown(self, otherwise: str) -> str:
        """Return why the evidence decides nothing: the first fault, or that the judge could not tell, or ``otherwise``."""
        every = [sample for samples in self.samples for sample in samples]
        fault = next((sample.fault for sample in every if sample.fault), None)
        if fault is not None:
            return fault
        cannot_tell = any(sample.value is None for sample in every)
        return "abstain: judge cannot tell" if cannot_tell else f"abstain: {otherwise}"


def _model(given: object) -> JudgeModel:
    made = make_component("judge_model", given, JudgeModel)  # type: ignore[type-abstract]
    named = getattr(made, "model", None)
    if not isinstance(named, str) or not named:
        raise ConfigError(
            f"judge model must have a name, got {show(named)}",
            hint=f"add the line  model = ...  to the class {type(made).__name__}",
        )
    return made


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class Judge(Verifier):
    """Ask a model whether an answer is good.

    A small complete subclass:

        class YesNo(Judge):
            name, keys = "yes_no", ("yes",)
            instructions = f'Is the answer in the section ANSWER polite? {FENCES} End with {{"yes": true}} or {{"yes": false}}.'

            def prompts(self, task, answer):
                return [[*task_sections(task), ("ANSWER", answer)]]

            def read(self, verdict):
                if not isinstance(verdict["yes"], bool):
                    raise UnreadableError("verdict must be true or false")
                return float(verdict["yes"])

            def decide(self, evidence):
                decision = Votes.of(sample.value for sample in evidence.samples[0]).decide(self.margin)
                if decision is None:
                    return Verdict.invalid(evidence.unknown("votes under the margin"), details=evidence.details)
                return Verdict.passed() if decision else Verdict.failed("not polite")

    What certainly is no answer fails before anyone is asked (:func:`orbiter.verify.judges.attacks.certain_failure`). A reply
    that cannot be read, or that did not come, is an unknown vote; the verdict is invalid if unknown votes could turn it, and
    also if the log-odds of the votes stay under the margin. So a judge never fails an answer for a fault of its own.

    A subclass says what the model is told (``instructions``), what it is shown (``prompts``), which keys its verdict has
    (``keys``), how that is read (``read``) and what follows (``decide``). An option that stands in the instructions is
    listed in ``told``.

    Args:
        model: A JudgeModel, or the name of one with options beside it.
        samples: How often each prompt is asked.
        margin: Log-odds that the votes must reach, in nats, above 0; below, the judge abstains. With the default, one vote
            decides, and so do 2:0, 3:0 and 4:1; 1:1, 2:1 and 3:2 do not.
        temperature: Of the samples, >= 0.
        max_tokens: Bound on one reply, in tokens.
        max_length: Longest text that is shown, in characters, task and reference included; a longer one is invalid.
        refusals: Whether an answer that is a mere refusal fails without asking.
        seed: Selects the seeds of the samples.
    """

    opinion = True
    model: JudgeModel = field(converter=_model)
    samples: int = 1
    margin: float = 1.0
    temperature: float = 0.2
    max_tokens: int = 1024
    max_length: int = 32_000
    refusals: bool = True
    seed: int = 0

    name = "judge"
    keys: ClassVar[tuple[str, ...]]
    """Keys of the JSON object that a reply ends with."""

    told: ClassVar[tuple[str, ...]] = ()
    """Options that the instructions hold, so that the version need not name them."""

    orders: ClassVar[int] = 1
    """How many prompts vote on one question."""

    def __attrs_post_init__(self) -> None:
        check_whole_number("samples", self.samples, low=1)
        check_number("margin", self.margin, "(0, inf)")
        check_number("temperature", self.temperature, "[0, inf)")
        check_whole_number("max_tokens", self.max_tokens, low=1)
        check_whole_number("max_length", self.max_length, low=1)
        check_seed(self.seed)
        check_bool("refusals", self.refusals)
        votes = self.samples * self.orders
        if self.margin > largest_log_odds(votes) + 1e-9:
            raise ConfigError(
                f"margin must be at most {largest_log_odds(votes):.4g}, the log-odds of {votes} votes that all agree, "
                f"got {self.margin!r}",
                hint="ask for more samples, or accept a smaller margin",
            )
        self.needs_env = self.model.needs_env
        # As many as are under way at once: a batch then takes about as long as one of its verdicts.
        self.batch_size = max(1, self.model.concurrency // votes)
        named = (
            f"model={self.model.model}",
            f"prompt={content_hash([self.instructions, REMINDER])}",
        )
        options = [
            f"{a.name}={getattr(self, a.name)!r}"
            for a in attrs.fields(type(self))
            if a.name not in ("model", *self.told) and getattr(self, a.name) != a.default
        ]
        self.version = ";".join(("2", *named, *options))

    @property
    @abstractmethod
    def instructions(self) -> str:
        """What the model is told: the same for every answer."""

    @abstractmethod
    def prompts(self, task: Task, answer: str) -> list[Sections] | Verdict:
        """Return what the model is shown, or the verdict if that can be told without it."""

    @abstractmethod
    def read(self, verdict: Mapping[str, Any]) -> Any:
        """Return the value of the object that a reply ended with, or None if it says that the model cannot tell.

        Raises:
            UnreadableError: It is no verdict.
        """

    @abstractmethod
    def decide(self, evidence: Evidence) -> Verdict:
        """Return the verdict that follows."""

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on one answer."""
        return self.verify_batch([(task, trajectory)])[0]

    def verify_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
        """Return one verdict per pair, in their order; the model is given the questions about all of them at once."""
        cases = [self._case(task, trajectory) for task, trajectory in pairs]
        evidence = iter(self.ask([case for case in cases if not isinstance(case, Verdict)]))
        return [
            case if isinstance(case, Verdict) else self._decided(next(evidence)) for case in cases
        ]

    def ask(self, cases: Sequence[Sequence[Sections]]) -> list[Evidence]:
        """Put the prompts of every case to the model, each ``samples`` times, and read what comes back."""
        texts = [[fenced(sections) + REMINDER for sections in case] for case in cases]
        questions = [
            self._question(text, number)
            for case in texts
            for text in case
            for number in range(self.samples)
        ]
        replies = iter(ask(self.model, questions) if questions else ())
        return [
            self._evidence(case, [[next(replies) for _ in range(self.samples)] for _ in case])
            for case in texts
        ]

    def _case(self, task: Task, trajectory: Trajectory) -> list[Sections] | Verdict:
        """Return what the model is to be shown, or the verdict if nobody need be asked."""
        answer = final_answer(trajectory)
        if answer is None:
            return Verdict.failed("no answer")
        if not is_all_text(trajectory.messages[-1:]):
            return Verdict.invalid("answer holds more than text")
        reason = certain_failure(task, answer, refusals=self.refusals)
        if reason is not None:
            return Verdict.failed(reason)
        try:
            prompts = self.prompts(task, answer)
        except Exception as error:  # of this answer alone, and not of its whole batch
            return verdict_of_error(error)
        if isinstance(prompts, Verdict):
            return prompts
        reason = self.unshowable(task, prompts)
        return prompts if reason is None else Verdict.invalid(reason)

    def _decided(self, evidence: Evidence) -> Verdict:
        try:
            return self.decide(evidence)
        except Exception as error:
            return verdict_of_error(error)

    def unshowable(self, task: Task, prompts: Sequence[Sections]) -> str | None:
        """Return why these prompts cannot be put to the model whole, or None if they can."""
        if not is_all_text(task.messages):
            return "task holds more than text"
        longest = max(sum(len(text) for _, text in sections) for sections in prompts)
        return "too long to be judged" if longest > self.max_length else None

    def _question(self, text: str, number: int) -> Question:
        return Question(
            messages=(Message("system", self.instructions), Message("user", text)),
            seed=item_seed("judge", self.seed, content_hash(text), number),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )

    def _evidence(self, texts: list[str], replies: list[list[Reply]]) -> Evidence:
        samples = tuple(tuple(map(self._sample, some)) for some in replies)
        every = [reply for some in replies for reply in some]
        values = [sample.value for some in samples for sample in some]
        details: dict[str, Any] = {
            "model": self.model.model,
            "prompt": content_hash([self.instructions, texts]),
            "values": values,
            "prompt_tokens": _total(reply.prompt_tokens for reply in every),
            "completion_tokens": _total(reply.completion_tokens for reply in every),
            "cost": _total(reply.cost for reply in every),
        }
        served_by = sorted({plain(reply.model) for reply in every if reply.model})
        faults = [
            {"fault": sample.fault, "reply": plain((reply.text or reply.error)[-300:])}
            for some, them in zip(samples, replies)
            for sample, reply in zip(some, them)
            if sample.fault
        ]
        details.update(
            {key: value for key, value in (("served_by", served_by), ("faults", faults)) if value}
        )
        return Evidence(samples, details)

    def _sample(self, reply: Reply) -> Sample:
        if reply.text is None:
            return Sample(fault=f"no reply: {plain(reply.error).partition(':')[0][:80]}")
        if reply.truncated:
            return Sample(fault="reply was cut off")
        try:
            return Sample(self.read(last_object(reply.text, self.keys)))
        except UnreadableError as error:
            return Sample(fault=f"unreadable reply: {error.message}")
        except Exception as error:
            return Sample(fault=f"unreadable reply: read raised {type(error).__name__}")


def check_text(option: str, value: object) -> None:
    """Raise ConfigError unless a rubric says anything."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{option} must be a text, got {show(value)}")


def _total(numbers: Iterable[float | None]) -> float | None:
    """Return the sum, or None if a part is unknown."""
    known = list(numbers)
    return None if None in known else sum(n for n in known if n is not None)
