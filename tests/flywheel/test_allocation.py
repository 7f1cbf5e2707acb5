import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, LifecycleError
from orbiter.flywheel.allocation import Allocator, BetaPrior, fit_prior
from orbiter.records import Outcome
from orbiter.tasks.streams import item_stream

quick = settings(deadline=None, max_examples=40)

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


def world(rates, *, seed, invalid_rate=0.0):
    """Every outcome that could ever be seen, fixed in advance by (seed, task, attempt)."""

    def outcome(task, attempt):
        stream = item_stream(seed, task, attempt)
        if stream.random() < invalid_rate:
            return INVALID
        return PASS if stream.random() < rates[task] else FAIL

    return outcome


def play(allocator, outcome, *, shuffle=None):
    waves = []
    while wave := allocator.next_wave():
        waves.append(wave)
        assert allocator.spent <= allocator.budget
        for task, attempt in shuffle(wave) if shuffle else wave:
            allocator.record(task, attempt, outcome(task, attempt))
    return waves


def uniform_survivors(outcome, *, tasks, k, c):
    return [min(c, sum(outcome(t, a) is PASS for a in range(k))) for t in range(tasks)]


arguments = st.fixed_dictionaries(
    {
        "tasks": st.integers(0, 12),
        "samples_per_task": st.integers(1, 6),
        "target_survivors": st.integers(1, 3),
        "wave_size": st.none() | st.integers(1, 20),
        "need_rate": st.sampled_from([0, 0.2, 0.5, 1]),
    }
)


@quick
@given(arguments, st.data())
def test_never_costs_more_and_never_keeps_less_than_uniform(options, data):
    """The guarantee, for any world: per task and without any tolerance."""
    tasks, k, c = options["tasks"], options["samples_per_task"], options["target_survivors"]
    rates = data.draw(st.lists(st.floats(0, 1), min_size=tasks, max_size=tasks))
    outcome = world(rates, seed=data.draw(st.integers(0, 99)), invalid_rate=0.1)
    bound = data.draw(st.none() | st.integers(k, 2 * k))
    allocator = Allocator(**options, max_samples_per_task=bound)
    waves = play(allocator, outcome)

    asked = [key for wave in waves for key in wave]
    assert len(asked) == len(set(asked)) == allocator.spent <= tasks * k
    kept = [min(c, passed) for passed in allocator.passes]
    fair = uniform_survivors(outcome, tasks=tasks, k=k, c=c)
    assert all(ours >= theirs for ours, theirs in zip(kept, fair, strict=True))
    assert sum(kept) == allocator.survivors
    for task in range(tasks):
        attempts = sorted(a for t, a in asked if t == task)
        assert attempts == list(range(len(attempts)))
        assert bound is None or len(attempts) <= bound
    if options["wave_size"] is not None:
        assert max(map(len, waves), default=0) <= options["wave_size"]


@quick
@given(arguments, st.integers(0, 99))
def test_the_plan_does_not_depend_on_the_order_of_results(options, seed):
    rates = [random.Random(seed).random() for _ in range(options["tasks"])]
    outcome = world(rates, seed=seed)
    in_order = play(Allocator(**options), outcome)
    stream = random.Random(seed + 1)
    shuffled = play(
        Allocator(**options), outcome, shuffle=lambda wave: stream.sample(wave, len(wave))
    )
    assert shuffled == in_order


@quick
@given(arguments, st.integers(0, 99), st.data())
def test_an_interrupted_sampling_resumes_to_the_same_end(options, seed, data):
    rates = [random.Random(seed).random() for _ in range(options["tasks"])]
    outcome = world(rates, seed=seed, invalid_rate=0.1)
    whole = Allocator(**options)
    asked = [key for wave in play(whole, outcome) for key in wave]

    before = Allocator(**options)
    known = {}
    stop = data.draw(st.integers(0, len(asked)))
    while len(known) < stop and (wave := before.next_wave()):
        # Results of the wave in which the run is killed are known in no particular order.
        for key in data.draw(st.permutations(wave)):
            if len(known) < stop:
                before.record(*key, outcome(*key))
                known[key] = outcome(*key)

    after = Allocator(**options)
    for key in after.replay(known):
        assert key not in known
        after.record(*key, outcome(*key))
        known[key] = outcome(*key)
    known |= {key: outcome(*key) for wave in play(after, outcome) for key in wave}
    assert known == {key: outcome(*key) for key in asked}
    assert (after.passes, after.spent) == (whole.passes, whole.spent)


def beta(a, b):
    return lambda stream: stream.betavariate(a, b)


SPREADS = {
    "all hard": lambda stream: 0.03,
    "all easy": lambda stream: 0.9,
    "uniform": beta(1, 1),
    "most hard": beta(0.3, 2),
    "two kinds": lambda stream: stream.choice([0.02, 0.7]),
    "many impossible": lambda stream: stream.choice([0.0, 0.0, 0.3]),
}


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("target", [1, 2])
def test_what_adaptive_sampling_gains(name, target):
    """Keeping the savings: the survivors of uniform at no more cost. Spending them: more survivors at no more cost."""
    stream = random.Random(f"{name}{target}")
    tasks, k = 150, 8
    rates = [SPREADS[name](stream) for _ in range(tasks)]
    outcome = world(rates, seed=target)
    options = {"tasks": tasks, "samples_per_task": k, "target_survivors": target}
    fair = uniform_survivors(outcome, tasks=tasks, k=k, c=target)

    thrifty = Allocator(**options, max_samples_per_task=k)
    play(thrifty, outcome)
    assert [min(target, p) for p in thrifty.passes] == fair
    assert thrifty.spent <= tasks * k

    keen = Allocator(**options)
    play(keen, outcome)
    assert keen.spent <= tasks * k
    assert keen.survivors >= sum(fair)
    open_tasks = [t for t in range(tasks) if fair[t] < target and rates[t] > 0]
    savings = tasks * k - thrifty.spent
    if len(open_tasks) >= 5 and savings >= 100:
        assert keen.survivors > sum(fair)


def test_savings_go_where_a_pass_is_likeliest():
    """Task 0 saves 9 of 10 samples; of the two that are left, the one with a pass already gets them first."""
    allocator = Allocator(tasks=3, samples_per_task=10, target_survivors=2, wave_size=1)
    further = []
    while wave := allocator.next_wave():
        for task, attempt in wave:
            lucky = task == 0 or (task == 1 and attempt == 0)
            allocator.record(task, attempt, PASS if lucky else FAIL)
            if attempt >= 10:
                further.append(task)
    assert allocator.passes[0] == 2
    assert allocator.spent == 30
    assert len(further) == 8
    assert Counter(further)[1] > Counter(further)[2]


def test_an_invalid_outcome_is_neither_pass_nor_failure():
    allocator = Allocator(tasks=2, samples_per_task=3)
    outcomes = world([1.0, 1.0], seed=0)
    while wave := allocator.next_wave():
        for task, attempt in wave:
            allocator.record(task, attempt, INVALID if task == 0 else outcomes(task, attempt))
    assert allocator.passes[0] == 0
    assert allocator.passes[1] >= 1
    assert allocator.prior.mean > 0.5  # task 0 says nothing about pass rates


def test_a_task_that_is_always_invalid_gets_none_of_the_savings():
    allocator = Allocator(tasks=20, samples_per_task=8, wave_size=4)
    rates = [0.0] + [0.9] * 10 + [0.05] * 9
    outcome = world(rates, seed=3)
    asked = Counter()
    while wave := allocator.next_wave():
        for task, attempt in wave:
            asked[task] += 1
            allocator.record(task, attempt, INVALID if task == 0 else outcome(task, attempt))
    assert asked[0] == 8
    assert max(asked.values()) > 8


def test_attempts_are_asked_ahead_only_while_probably_needed():
    cautious = Allocator(tasks=4, samples_per_task=8, need_rate=1)
    assert cautious.next_wave() == [(t, 0) for t in range(4)]
    eager = Allocator(tasks=4, samples_per_task=8, need_rate=0)
    assert eager.next_wave() == [(t, a) for t in range(4) for a in range(8)]
    hard = Allocator(tasks=40, samples_per_task=8)
    for task, attempt in hard.next_wave():
        hard.record(task, attempt, FAIL)
    # Nothing passed, so more than one each is likely to be needed.
    assert len(hard.next_wave()) > 40


# --- the prior ---


def test_prior_without_results_is_flat():
    assert fit_prior([]) == fit_prior([(0, 0)] * 9) == BetaPrior(1.0, 1.0)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.4, 2), (6, 3), (1, 20)])
def test_prior_recovers_the_spread_of_pass_rates(a, b):
    stream = random.Random(a * 100 + b)
    counts = []
    for _ in range(4000):
        rate = stream.betavariate(a, b)
        passes = sum(stream.random() < rate for _ in range(12))
        counts.append((passes, 12 - passes))
    prior = fit_prior(counts)
    assert prior.mean == pytest.approx(a / (a + b), abs=0.02)
    assert prior.passes + prior.failures == pytest.approx(a + b, rel=0.2)


def test_prior_is_not_biased_by_stopping_at_the_first_pass():
    stream = random.Random(5)
    counts = []
    for _ in range(4000):
        rate = stream.betavariate(1, 4)
        failures = 0
        while failures < 8 and stream.random() >= rate:
            failures += 1
        counts.append((int(failures < 8), failures))
    pooled = sum(p for p, _ in counts) / sum(p + f for p, f in counts)
    assert fit_prior(counts).mean == pytest.approx(0.2, abs=0.02)
    assert pooled < 0.17  # the share of passes, which is biased


# --- misuse ---


def test_misuse_is_refused():
    allocator = Allocator(tasks=2, samples_per_task=2)
    with pytest.raises(ConfigError, match="attempt must be one of the current wave"):
        allocator.record(0, 0, PASS)
    assert allocator.next_wave() == [(0, 0), (1, 0)]
    with pytest.raises(LifecycleError, match="got 2 without one"):
        allocator.next_wave()
    with pytest.raises(ConfigError, match="outcome must be an Outcome, got 'pass'"):
        allocator.record(0, 0, "pass")
    allocator.record(0, 0, PASS)
    with pytest.raises(ConfigError, match=r"got \(0, 0\)"):
        allocator.record(0, 0, PASS)
    assert allocator.pending == [(1, 0)]
    with pytest.raises(LifecycleError, match="replay must come before the first wave, got 2"):
        allocator.replay({})
    with pytest.raises(ConfigError, match=r"outcomes must be of planned attempts, got \(0, 1\)"):
        Allocator(tasks=2, samples_per_task=2).replay({(0, 0): PASS, (1, 0): FAIL, (0, 1): FAIL})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": -1}, "tasks must be an integer >= 0, got -1"),
        ({"samples_per_task": 0}, "samples_per_task must be an integer >= 1, got 0"),
        ({"target_survivors": 1.0}, "target_survivors must be an integer >= 1, got 1.0"),
        ({"wave_size": 0}, "wave_size must be an integer >= 1, got 0"),
        ({"max_samples_per_task": 3}, "max_samples_per_task must be an integer >= 4, got 3"),
        ({"need_rate": 2}, "need_rate must be a number in [0, 1], got 2"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ConfigError) as caught:
        Allocator(**{"tasks": 3, "samples_per_task": 4, **options})
    assert caught.value.message == message
