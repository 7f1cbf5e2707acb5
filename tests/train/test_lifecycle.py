import enum
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter import hookimpl
from orbiter.errors import LifecycleError
from orbiter.hookspecs import StateEvent
from orbiter.plugin import plugin_manager
from orbiter.train.lifecycle import TRAINER_TRANSITIONS, Lifecycle, TrainerState

states = st.sampled_from(list(TrainerState))
FORWARD = ["created", "validating", "validated", "training", "trained", "evaluating", "complete"]


class Recorder:
    def __init__(self):
        self.events = []

    @hookimpl
    def orbiter_on_state(self, event):
        self.events.append(event)


@pytest.fixture
def events():
    recorder = Recorder()
    plugin_manager().register(recorder)
    yield recorder.events
    plugin_manager().unregister(recorder)


def lifecycle(initial=TrainerState.CREATED):
    return Lifecycle("T", initial=initial, transitions=TRAINER_TRANSITIONS)


def test_the_table_is_the_seven_steps_and_the_way_to_error():
    expected = set(itertools.pairwise(FORWARD))
    expected |= {(state, "error") for state in FORWARD[:-1]}
    assert {(a, b) for a, allowed in TRAINER_TRANSITIONS.items() for b in allowed} == expected
    assert set(TRAINER_TRANSITIONS) == set(TrainerState)


@given(old=states, new=states)
def test_exactly_the_moves_of_the_table_are_allowed(old, new):
    machine = lifecycle(old)
    if new in TRAINER_TRANSITIONS[old]:
        machine.move(new)
        assert machine.state is new
    else:
        with pytest.raises(LifecycleError):
            machine.move(new)
        assert machine.state is old


@given(st.lists(states, max_size=12))
def test_no_way_leads_out_of_a_terminal_state(moves):
    machine = lifecycle()
    for new in moves:
        was_terminal, before = machine.is_terminal, machine.state
        try:
            machine.move(new)
        except LifecycleError:
            assert machine.state is before
        else:
            assert not was_terminal
    assert machine.is_terminal == (machine.state in {TrainerState.COMPLETE, TrainerState.ERROR})


def test_an_illegal_move_says_what_is_allowed():
    with pytest.raises(LifecycleError) as caught:
        lifecycle().move(TrainerState.TRAINING)
    assert caught.value.message == "T must be validated to become training, got created"
    assert caught.value.hint == "from created it may become: validating, error"


def test_nothing_becomes_created():
    with pytest.raises(LifecycleError, match="T must be made anew to become created, got complete"):
        lifecycle(TrainerState.COMPLETE).move(TrainerState.CREATED)


def test_moves_are_announced(events):
    machine = lifecycle()
    machine.move(TrainerState.VALIDATING)
    machine.move(TrainerState.ERROR, cause=ValueError("bad"))
    assert events == [
        StateEvent("T", "created", "validating"),
        StateEvent("T", "validating", "error", "ValueError: bad"),
    ]


def test_a_refused_move_is_not_announced(events):
    with pytest.raises(LifecycleError):
        lifecycle().move(TrainerState.COMPLETE)
    assert events == []


def test_any_table_will_do():
    class Light(enum.StrEnum):
        RED = "red"
        GREEN = "green"

    table = {Light.RED: (Light.GREEN,), Light.GREEN: (Light.RED,)}
    machine = Lifecycle("light", initial=Light.RED, transitions=table)
    machine.move(Light.GREEN)
    machine.move(Light.RED)
    assert (machine.state, machine.is_terminal) == (Light.RED, False)
