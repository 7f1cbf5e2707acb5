import csv
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orbiter.errors import RecordError, UserCodeError
from orbiter.records import Message, Trajectory, TrajectoryItem
from orbiter.train.dataset import DefaultStrategy, TrajectoryDataset, TrajectoryStrategy

floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
cells = st.text(max_size=6) | st.text(alphabet="=+-@'\"\t\r\n,;[]{}019eE tru", max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | integers | floats | cells,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cells, inner, max_size=3),
    max_leaves=8,
)
items = st.builds(
    TrajectoryItem,
    state=json_values,
    action=json_values,
    reward=st.none() | floats | integers,
    metadata=st.dictionaries(cells, json_values, max_size=2),
)
same_folder = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def dataset_of(*items, strategy=None):
    dataset = TrajectoryDataset(strategy=strategy)
    dataset.extend(items)
    return dataset


def item(state="s", action="a", reward=1.0, **metadata):
    return TrajectoryItem(state=state, action=action, reward=reward, metadata=metadata)


def exactly(value):
    """The value with its types, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: exactly(v) for key, v in value.items()}
    if isinstance(value, list):
        return [exactly(v) for v in value]
    return (type(value), repr(value))


def fields(dataset):
    return [exactly([i.state, i.action, i.reward, dict(i.metadata)]) for i in dataset]


@same_folder
@given(st.lists(items, max_size=4))
def test_json_comes_back_as_it_was(tmp_path, many):
    dataset = dataset_of(*many)
    dataset.export_json(tmp_path / "d.json")
    again = TrajectoryDataset.from_json(tmp_path / "d.json")
    assert again == dataset
    assert fields(again) == fields(dataset)


@same_folder
@given(st.lists(items, max_size=4))
def test_csv_comes_back_as_it_was(tmp_path, many):
    dataset = dataset_of(*many)
    dataset.export_csv(tmp_path / "d.csv")
    again = TrajectoryDataset.from_csv(tmp_path / "d.csv")
    assert again == dataset
    assert fields(again) == fields(dataset)


signs = st.text(alphabet="=+-@'\"\t\r\n1", max_size=4)


@same_folder
@given(st.lists(st.tuples(signs, signs), max_size=6))
def test_no_text_cell_is_a_formula_and_every_text_comes_back(tmp_path, pairs):
    dataset = dataset_of(*(item(a, b) for a, b in pairs))
    dataset.export_csv(tmp_path / "d.csv")
    with (tmp_path / "d.csv").open(newline="") as file:
        read = list(csv.reader(file))[1:]
    assert [cell for row in read for cell in row[:2] if cell.startswith(tuple("=+-@\t\r\n"))] == []
    assert TrajectoryDataset.from_csv(tmp_path / "d.csv") == dataset


def test_the_files_as_they_are_written(tmp_path):
    dataset = dataset_of(
        item("a, b", {"x": 1}, -0.5, step=3), item("12", "=1+1", None), item("'q'")
    )
    dataset.export_csv(tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_text().splitlines() == [
        "state,action,reward,metadata",
        '"a, b","{""x"":1}",-0.5,"{""step"":3}"',
        '"""12""",\'=1+1,,{}',
        "''q',a,1.0,{}",
    ]
    assert TrajectoryDataset.from_csv(tmp_path / "d.csv") == dataset
    dataset.export_json(tmp_path / "d.json")
    assert json.loads((tmp_path / "d.json").read_text()) == [
        {"state": "a, b", "action": {"x": 1}, "reward": -0.5, "metadata": {"step": 3}},
        {"state": "12", "action": "=1+1", "reward": None, "metadata": {}},
        {"state": "'q'", "action": "a", "reward": 1.0, "metadata": {}},
    ]


def test_a_long_state_and_a_number_of_numpy(tmp_path):
    dataset = dataset_of(item("x," * 200_000, reward=np.float64(0.5)))
    dataset.export_csv(tmp_path / "d.csv")
    dataset.export_json(tmp_path / "d.json")
    before = csv.field_size_limit()
    assert TrajectoryDataset.from_csv(tmp_path / "d.csv") == dataset
    assert TrajectoryDataset.from_json(tmp_path / "d.json") == dataset
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "value", [math.nan, (1, 2), {1: 2}, object, b"x", "\ud800", 2**70, [math.inf]]
)
@pytest.mark.parametrize("export", ["export_json", "export_csv"])
def test_a_value_that_would_change_is_refused(tmp_path, value, export):
    dataset = dataset_of(item(), item(action=value))
    with pytest.raises(RecordError, match=r"item 2: field 'action' must be plain JSON, got"):
        getattr(dataset, export)(tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("reward", [math.nan, math.inf, "1", True])
def test_a_reward_is_a_finite_number(reward):
    with pytest.raises(RecordError, match="field 'reward' must be a finite number, got"):
        item(reward=reward)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "item 1: must be an object, got 1"),
        ('[{"state": "s"}]', "item 1: field 'action' is missing"),
        (
            '[{"state": 1, "action": 2, "reward": "x"}]',
            "item 1: field 'reward' must be a number, got 'x'",
        ),
        ("{}", "must hold a list of objects, got dict"),
        ("[", "must be JSON: unexpected end of data"),
    ],
)
def test_a_bad_json_file_is_named(tmp_path, text, message):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(RecordError) as caught:
        TrajectoryDataset.from_json(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


HEADER = "state,action,reward,metadata\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " line 1: must have the columns state, action, reward, metadata, got none"),
        ("a,b\n", " line 1: must have the columns state, action, reward, metadata, got a, b"),
        (HEADER + "s,a,1\n", " line 2: must have 4 cells, got 3"),
        (HEADER + "s,a,1,{}\ns,a,x,{}\n", " line 3: field 'reward' must be a number, got 'x'"),
        (HEADER + "s,a,1,7\n", " line 2: field 'metadata' must be an object, got 7"),
        (HEADER + '"s,a,1,{}\n', ": must be CSV in UTF-8: unexpected end of data"),
    ],
)
def test_a_bad_csv_file_is_named(tmp_path, text, message):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(RecordError) as caught:
        TrajectoryDataset.from_csv(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_csv_that_is_not_utf_8(tmp_path):
    (tmp_path / "d.csv").write_bytes(HEADER.encode() + b"\xff,a,1,{}\n")
    with pytest.raises(RecordError, match="must be CSV in UTF-8"):
        TrajectoryDataset.from_csv(tmp_path / "d.csv")


def test_capture_and_look():
    dataset = TrajectoryDataset()
    assert isinstance(dataset.strategy, DefaultStrategy)
    assert [dataset.capture(item("s1")), dataset.capture(item("s2"))] == [True, True]
    assert (len(dataset), dataset.items, list(dataset)) == (
        2,
        [item("s1"), item("s2")],
        dataset.items,
    )
    assert dataset[1] == item("s2")
    assert repr(dataset) == "TrajectoryDataset(2 items)"
    dataset.items.clear()
    assert len(dataset) == 2


def test_datasets_are_compared_by_their_items():
    assert dataset_of(item()) == dataset_of(item())
    assert dataset_of(item()) != dataset_of()
    assert dataset_of() != []
    with pytest.raises(TypeError, match="unhashable"):
        hash(dataset_of())


def test_a_trajectory_is_captured_by_its_steps():
    trajectory = Trajectory(
        messages=(Message("user", "2+2"), Message("assistant", "4")),
        env="e",
        task_id="t",
        score=1.0,
    )
    dataset = TrajectoryDataset()
    assert dataset.extend(trajectory.steps()) == 1
    assert (dataset[0].action, dataset[0].reward) == ({"role": "assistant", "content": "4"}, 1.0)
    with pytest.raises(RecordError, match="item must be a TrajectoryItem, got Trajectory"):
        dataset.capture(trajectory)


class Clipping(TrajectoryStrategy):
    def should_capture(self, item):
        return item.reward >= 0.5

    def process(self, item):
        return TrajectoryItem(item.state, item.action, min(1.0, item.reward))


def test_a_strategy_chooses_and_changes():
    dataset = dataset_of(item(reward=0.4), item(reward=3.0), strategy=Clipping())
    assert dataset.items == [item(reward=1.0)]
    assert dataset.capture(item(reward=0.1)) is False


def test_a_strategy_that_compares_no_reward_is_told_why():
    with pytest.raises(UserCodeError) as caught:
        dataset_of(item(reward=None), strategy=Clipping())
    assert caught.value.message == (
        "Clipping.should_capture raised TypeError: '>=' not supported between instances of 'NoneType' "
        "and 'float'; the reward of an unscored item is None"
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_strategy_gives_back_an_item():
    class Losing(DefaultStrategy):
        def process(self, item):
            return None

    with pytest.raises(
        UserCodeError, match=r"Losing\.process must return a TrajectoryItem, got None"
    ):
        dataset_of(item(), strategy=Losing())


def test_reading_does_not_ask_the_strategy_again(tmp_path):
    dataset_of(item(reward=0.1)).export_json(tmp_path / "d.json")
    dataset_of(item(reward=0.1)).export_csv(tmp_path / "d.csv")
    strategy = Clipping()
    for read, name in (
        (TrajectoryDataset.from_json, "d.json"),
        (TrajectoryDataset.from_csv, "d.csv"),
    ):
        dataset = read(tmp_path / name, strategy=strategy)
        assert (len(dataset), dataset.strategy) == (1, strategy)
