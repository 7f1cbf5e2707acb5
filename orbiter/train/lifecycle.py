"""State machines: a table of allowed transitions, and a lifecycle that keeps to it and tells observers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

from orbiter.errors import LifecycleError
from orbiter.hookspecs import StateEvent
from orbiter.plugin import plugin_manager

S = TypeVar("S", bound=enum.StrEnum)


class TrainerState(enum.StrEnum):
    """Where a trainer stands."""

    CREATED = "created"
    VALIDATING = "validating"
    VALIDATED = "validated"
    TRAINING = "training"
    TRAINED = "trained"
    EVALUATING = "evaluating"
    COMPLETE = "complete"
    ERROR = "error"


TRAINER_TRANSITIONS: Mapping[TrainerState, tuple[TrainerState, ...]] = {
    TrainerState.CREATED: (TrainerState.VALIDATING, TrainerState.ERROR),
    TrainerState.VALIDATING: (TrainerState.VALIDATED, TrainerState.ERROR),
    TrainerState.VALIDATED: (TrainerState.TRAINING, TrainerState.ERROR),
    TrainerState.TRAINING: (TrainerState.TRAINED, TrainerState.ERROR),
    TrainerState.TRAINED: (TrainerState.EVALUATING, TrainerState.ERROR),
    TrainerState.EVALUATING: (TrainerState.COMPLETE, TrainerState.ERROR),
    TrainerState.COMPLETE: (),
    TrainerState.ERROR: (),
}
"""Every state, and the states that may follow it."""


class Lifecycle(Generic[S]):
    """The present state of one thing, moved along a table of transitions.

    Each move is announced through the hook ``orbiter_on_state``.

    Args:
        subject: Whose state it is, for events and errors.
        initial: The state it starts in.
        transitions: Every state, and the states that may follow it.
    """

    def __init__(self, subject: str, *, initial: S, transitions: Mapping[S, tuple[S, ...]]) -> None:
        self.subject = subject
        self._state = initial
        self._transitions = transitions

    @property
    def state(self) -> S:
        """The present state."""
        return self._state

    @property
    def is_terminal(self) -> bool:
        """Whether no state may follow."""
        return not self._transitions[self._state]

    def move(self, new: S, *, cause: BaseException | None = None) -> None:
        """Go to another state and tell observers.

        Args:
            new: The state to go to.
            cause: The error that makes it necessary, if one does.

        Raises:
            LifecycleError: The table does not allow it; the state stays.
        """
        allowed = self._transitions[self._state]
        if new not in allowed:
            raise LifecycleError(
                f"{self.subject} must be {self._sources(new)} to become {new.value}, "
                f"got {self._state.value}",
                hint=f"from {self._state.value} it may become: {_list(allowed)}",
            )
        old, self._state = self._state, new
        why = f"{type(cause).__name__}: {cause}" if cause is not None else None
        plugin_manager().notify(
            "orbiter_on_state", StateEvent(self.subject, old.value, new.value, why)
        )

    def _sources(self, new: S) -> str:
        sources = [state for state, allowed in self._transitions.items() if new in allowed]
        return " or ".join(s.value for s in sources) or "made anew"


def _list(states: tuple[S, ...]) -> str:
    return ", ".join(state.value for state in states) or "nothing"
