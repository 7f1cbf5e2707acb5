import attrs
import pytest
from orbiter_liveweb.coverage import Coverage, CoverageGate, coverage_of

from orbiter.errors import ConfigError


@pytest.fixture(scope="module")
def rows(teacher):
    return [teacher.compose(seed=seed, num_subtasks=1 + seed % 3).trajectory for seed in range(60)]


def test_the_matrix_of_a_corpus(rows, teacher):
    coverage = coverage_of(rows)
    assert coverage.rows == 60
    assert sum(coverage.templates.values()) == sum(len(row.metadata["subtasks"]) for row in rows)
    assert coverage.actions["stop"] == 60
    for (site, template, _), count in coverage.calls.items():
        assert count > 0
        assert site == "composite" or f"{site}/{template}" in teacher.templates


def test_what_the_teacher_makes_is_let_through(rows, teacher):
    gate = CoverageGate(least_template_share=0.1)
    assert gate.faults(coverage_of(rows), teacher.templates) == []


def test_a_corpus_of_gotos_is_refused():
    calls = {("a", "t", "goto"): 82, ("a", "t", "stop"): 18}
    faults = CoverageGate().faults(Coverage(10, calls, {"a/t": 10}), ["a/t"])
    assert "action goto is 82.0% of the calls, at most 60.0% allowed" in faults
    assert "action click is 0.0% of the calls, at least 5.0% wanted" in faults
    assert not any("stop" in fault for fault in faults)


def test_calls_are_read_from_the_messages(rows):
    """What a row says of its own actions does not count."""
    lying = [attrs.evolve(row, metadata={"actions": {"click": 10**6}}) for row in rows]
    assert coverage_of(lying).calls == coverage_of(rows).calls


def test_a_template_that_is_missing_is_named(rows, teacher):
    faults = CoverageGate().faults(
        coverage_of(rows), [*teacher.templates, "python_docs/next_topic"]
    )
    assert any("template python_docs/next_topic is 0.0%" in fault for fault in faults)


def test_near_duplicates_are_counted(rows):
    coverage = coverage_of([*rows[:20], *rows[:5]])
    assert coverage.duplicate_rate == 5 / 25
    faults = CoverageGate().faults(coverage, [])
    assert "near duplicates are 20.0% of the trajectories, at most 5.0% allowed" in faults


def test_an_empty_corpus_is_refused():
    assert CoverageGate().faults(coverage_of([]), ["a/t"]) == ["no calls at all"]


def test_wrong_bounds_are_told():
    with pytest.raises(ConfigError, match="least_shares must name actions, got 'tap'"):
        CoverageGate(least_shares={"tap": 0.1})
    with pytest.raises(ConfigError, match="most_share must be"):
        CoverageGate(most_share=2)


def test_a_row_of_another_environment_is_named(rows):
    with pytest.raises(ConfigError, match="row 2 is no task of a cached web"):
        coverage_of([rows[0], attrs.evolve(rows[1], task_id="countdown-7")])
