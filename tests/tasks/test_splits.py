import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UserCodeError
from orbiter.records import Message, Task
from orbiter.tasks import Environment, TaskStream, is_held_out
from orbiter.tasks.reversal import Reversal
from orbiter.tasks.sorting import Sorting

SHARES = st.floats(0.01, 0.99)


class Listed(Environment):
    """The prompts of a list, in its order."""

    name = "listed"

    def __init__(self, prompts, *, endless=False):
        self.prompts = list(prompts)
        self.size = None if endless else len(self.prompts)

    def task(self, index, *, seed):
        assert self.size is None or 0 <= index < self.size
        prompt = self.prompts[index % len(self.prompts)]
        return self.make_task(prompt, prompt, answer="x", drawn_at=index)


def prompts(tasks):
    return [task.prompt for task in tasks]


@given(st.lists(st.text(max_size=3), min_size=1, max_size=40), SHARES, st.text(max_size=3))
def test_every_prompt_is_in_exactly_one_split(texts, share, salt):
    environment = Listed(texts)
    train, held_out = (
        prompts(TaskStream(environment, seed=0, split=split, share=share, salt=salt))
        for split in ("train", "held_out")
    )
    assert sorted(train + held_out) == sorted(set(texts))


@given(st.lists(st.text(max_size=3), min_size=1, max_size=40, unique=True), SHARES, st.randoms())
def test_the_split_of_a_prompt_does_not_depend_on_its_index(texts, share, random):
    before = set(prompts(TaskStream(Listed(texts), seed=0, share=share)))
    random.shuffle(texts)
    assert set(prompts(TaskStream(Listed(texts), seed=0, share=share))) == before


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 2**62), st.floats(0.1, 0.9))
def test_streams_of_different_seeds_keep_the_splits_apart(a, b, share):
    environment = Sorting(length=2)
    train = TaskStream(environment, seed=a, share=share).take(20, allow_fewer=True)
    held_out = TaskStream(environment, seed=b, split="held_out", share=share)
    assert set(prompts(train)).isdisjoint(prompts(held_out.take(20, allow_fewer=True)))


def test_share_is_met():
    tasks = [Sorting().task(index, seed=0) for index in range(4000)]
    held_out = sum(is_held_out(task, share=0.25) for task in tasks)
    assert 900 < held_out < 1100


def test_a_larger_share_only_adds():
    tasks = [Sorting().task(index, seed=0) for index in range(500)]
    assert all(is_held_out(t, share=0.3) for t in tasks if is_held_out(t, share=0.1))


def test_another_salt_is_another_split():
    tasks = [Sorting().task(index, seed=0) for index in range(500)]
    assert [is_held_out(t, share=0.5) for t in tasks] != [
        is_held_out(t, share=0.5, salt="2") for t in tasks
    ]


def test_only_the_prompt_counts():
    task = Sorting().task(0, seed=0)
    other = Task("other", "id", task.messages, answer="z", metadata={"a": 1})
    for n in range(50):
        assert is_held_out(task, share=0.5, salt=str(n)) == is_held_out(
            other, share=0.5, salt=str(n)
        )


def test_the_split_of_a_prompt_is_the_same_for_ever():
    tasks = [Listed("abcdefghijklmnop").task(index, seed=0) for index in range(16)]
    assert "".join(t.prompt for t in tasks if is_held_out(t, share=0.3)) == "cghik"


def test_nothing_is_held_out_at_share_zero():
    assert prompts(TaskStream(Listed("abc"), seed=0, share=0)) == ["a", "b", "c"]


def test_take_goes_on_from_a_position():
    stream = TaskStream(Sorting(), seed=5)
    everything = stream.take(50)
    assert stream.take(20, start=30) == everything[30:]
    assert TaskStream(Sorting(), seed=5).take(20, start=30) == everything[30:]
    assert stream.take(0, start=7) == []


@given(st.integers(0, 30), st.integers(0, 30))
def test_iteration_and_take_agree(start, count):
    everything = list(TaskStream(Listed("abcdefghijklmnopqrstuvwxyz"), seed=0))
    part = TaskStream(Listed("abcdefghijklmnopqrstuvwxyz"), seed=0).take(
        count, start=start, allow_fewer=True
    )
    assert part == everything[start : start + count]


def test_repeated_prompts_are_drawn_once():
    stream = TaskStream(Listed("abacabad"), seed=0, share=0)
    assert [(t.prompt, t.metadata["drawn_at"]) for t in stream] == [
        ("a", 0),
        ("b", 1),
        ("c", 3),
        ("d", 7),
    ]


def test_an_environment_that_runs_out_says_so():
    stream = TaskStream(Listed("abcab"), seed=0, share=0)
    with pytest.raises(ConfigError) as caught:
        stream.take(4, start=1)
    assert caught.value.message == (
        "environment 'listed' must have 5 distinct tasks in split 'train', got 3"
    )
    assert "ask for fewer tasks" in caught.value.hint


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 5), st.integers(0, 15))
def test_a_cycle_goes_round_what_there_is_and_gives_no_task_twice(size, start, after, count):
    stream = TaskStream(Listed("abcdefghijkl"[:size]), seed=0, share=0)
    ring = prompts(stream.take(size, start=after, allow_fewer=True))
    found = prompts(stream.cycle(count, start=after + start, after=after))
    assert found == [ring[(start + n) % len(ring)] for n in range(min(count, len(ring)))]


def test_fewer_may_be_allowed():
    stream = TaskStream(Listed("abcab"), seed=0, share=0)
    assert prompts(stream.take(9, start=1, allow_fewer=True)) == ["b", "c"]
    assert stream.take(9, start=4, allow_fewer=True) == []


def test_an_endless_environment_with_few_prompts_runs_out_too():
    stream = TaskStream(Listed("abc", endless=True), seed=0, share=0)
    assert prompts(stream.take(9, allow_fewer=True)) == ["a", "b", "c"]


def test_every_prompt_of_a_small_space_is_found():
    stream = TaskStream(Reversal(length=2, alphabet="abcde"), seed=0, share=0)
    assert len(stream.take(25)) == 25


def test_ids_must_differ_where_prompts_do():
    class Careless(Listed):
        def task(self, index, *, seed):
            return self.make_task(0, self.prompts[index])

    with pytest.raises(ConfigError, match="task ids of environment 'listed' must differ"):
        TaskStream(Careless("ab"), seed=0, share=0).take(2)


def test_an_environment_that_raises_is_named():
    class Broken(Listed):
        def task(self, index, *, seed):
            return 1 / 0

    with pytest.raises(UserCodeError, match=r"'listed' raised in task\(0, seed=3\): ZeroDiv") as e:
        TaskStream(Broken("a"), seed=3).take(1)
    assert isinstance(e.value.__cause__, ZeroDivisionError)


def test_an_environment_must_return_a_task():
    class Wrong(Listed):
        def task(self, index, *, seed):
            return "task"

    with pytest.raises(ConfigError, match=r"task\(0\) of environment 'listed' must be a Task"):
        TaskStream(Wrong("a"), seed=0).take(1)


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), "0.1", None, True])
def test_share_must_be_a_share(share):
    with pytest.raises(ConfigError, match=r"share must be a number in \[0, 1\), got "):
        TaskStream(Sorting(), seed=0, share=share)


def test_split_must_be_known():
    with pytest.raises(ConfigError, match="split must be one of train, held_out, got 'test'"):
        TaskStream(Sorting(), seed=0, split="test")


def test_a_held_out_stream_needs_a_share():
    with pytest.raises(ConfigError, match="share must be above 0 for a held-out stream"):
        TaskStream(Sorting(), seed=0, split="held_out", share=0)


def test_prompts_with_parts_and_tools_are_hashed_too():
    task = Task("e", "i", (Message("user", [{"type": "text", "text": "a"}], tool_calls=({},)),))
    assert is_held_out(task, share=0.999999)


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(ConfigError, match="prompt of task 'e:1' must be valid JSON text"):
        is_held_out(Task("e", "e:1", (Message("user", "\ud800"),)), share=0.5)
