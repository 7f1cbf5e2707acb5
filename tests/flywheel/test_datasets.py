"""What a round trains on, joined of files that runs and people write."""

from collections import Counter

import pytest

from orbiter import jsonl
from orbiter.cli import main
from orbiter.curate.pairs import UnpairedPreference
from orbiter.curate.replay import ReplayBuffer
from orbiter.errors import ConfigError, LedgerWarning, OrbiterError, RecordError
from orbiter.flywheel import Flywheel
from orbiter.flywheel.account import read_account
from orbiter.ledger import History
from orbiter.records import Message, Pair, Trajectory

HEAD = """\
name: datasets
model: {id: some-model}
environment: {name: sorting, length: 6}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 6}}
generate: {tasks: 10, samples: 4}
evaluate: {tasks: 0, audit: 0}
verify: {workers: 0}
stages:
  mixed: {generate: {}, data: DATA, train: {backend: "stage_parts.py:Copying", algorithm: ALGORITHM}}
"""


def trained_on(wheel, data, algorithm="sft"):
    result = wheel(text=HEAD.replace("DATA", data).replace("ALGORITHM", algorithm)).run()
    return result.path / "data/round-1.jsonl"


@pytest.mark.parametrize("data", ["[mine.jsonl, mixed]", "{mine.jsonl: 1, mixed: 1}"])
def test_a_file_may_end_without_a_newline(wheel, tmp_path, data):
    turns = (Message("user", "hi"), Message("assistant", "ho"))
    rows = [jsonl.dumps(Trajectory(turns, "mine", f"mine:{n}", 1.0)) for n in range(3)]
    (tmp_path / "mine.jsonl").write_bytes(b"\n".join(rows))
    found = list(jsonl.read(trained_on(wheel, data), Trajectory))
    assert {row.task_id for row in found if row.env == "mine"} == {"mine:0", "mine:1", "mine:2"}
    assert {row.env for row in found} == {"mine", "sorting"}


@pytest.mark.parametrize("seed", [0, 5])
def test_what_another_run_kept_is_given_and_no_attempt_of_this_one(wheel, tmp_path, seed):
    """With the same seed its rows have the places of this run's own."""
    text = HEAD.replace("DATA", "[mixed]").replace("ALGORITHM", "sft")
    other = wheel("name=other", text=text).run()
    rows = (other.path / "data/round-1-kept.jsonl").read_bytes()
    (tmp_path / "mine.jsonl").write_bytes(rows)
    text = HEAD.replace("DATA", "[mine.jsonl, mixed]").replace("ALGORITHM", "sft")
    result = wheel(f"seed={seed}", text=text).run()
    with History.open(result.path) as ledger:
        written = ledger.last_event("dataset_written", path="data/round-1.jsonl")
    assert written["others"] == rows.count(b"\n")
    assert written["attempts"] == result.rounds[1]["kept"]


def test_a_wrong_pair_is_named_where_it_stands(wheel, tmp_path):
    said = [{"role": "assistant", "content": "a"}]
    good = {"prompt": said, "chosen": said, "rejected": said}
    jsonl.write(tmp_path / "mine.jsonl", [good, {**good, "metadata": None}])
    with pytest.raises(RecordError, match=r"mine.jsonl line 2: field 'metadata' must be an object"):
        trained_on(wheel, "[mixed, mine.jsonl]", "dpo")


@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_a_wrong_row_of_a_file_is_named_before_anything_is_made(wheel, tmp_path, algorithm):
    jsonl.write(tmp_path / "mine.jsonl", [{"prompt": [], "completion": [], "label": True}])
    with pytest.raises(
        RecordError, match=r"mine.jsonl line 1: field '(messages|chosen)' is missing"
    ):
        trained_on(wheel, "[mixed, mine.jsonl]", algorithm)
    assert not any(file.stat().st_size for file in tmp_path.rglob("attempts.jsonl"))


@pytest.mark.parametrize("curate", ["", "curate: {capacity: 50}, "])
def test_what_a_pair_of_a_file_calls_its_id_may_be_anything(wheel, tmp_path, curate):
    said = [{"role": "assistant", "content": "a"}]
    told = {"id": [1, 2], "chosen_id": {"a": 1}, "rejected_id": None, "round": 0}
    jsonl.write(
        tmp_path / "mine.jsonl",
        [{"prompt": said, "chosen": said, "rejected": said, "metadata": told}],
    )
    text = HEAD.replace("{generate", f"{{{curate}generate")
    text = text.replace("DATA", "[mixed, mine.jsonl]").replace("ALGORITHM", "dpo")
    result = wheel(text=text).run()
    assert told in [row.metadata for row in jsonl.read(result.path / "data/round-1.jsonl", Pair)]


@pytest.mark.parametrize("metadata", [{}, {"round": 2}])
def test_a_pair_that_no_buffer_takes_is_named_before_anything_is_made(wheel, tmp_path, metadata):
    said = [{"role": "assistant", "content": "a"}]
    pair = {"prompt": said, "chosen": said, "rejected": said, "metadata": metadata}
    jsonl.write(tmp_path / "mine.jsonl", [pair])
    text = HEAD.replace("{generate", "{curate: {capacity: 50}, generate")
    text = text.replace("DATA", "[mixed, mine.jsonl]").replace("ALGORITHM", "dpo")
    with pytest.raises(ConfigError, match=r"stages.mixed.data: mine.jsonl: .*round of pair"):
        wheel(text=text).run()
    assert not any(file.stat().st_size for file in tmp_path.rglob("attempts.jsonl"))


def test_pairs_of_a_file_are_joined(wheel, tmp_path):
    said = [{"role": "assistant", "content": "a"}]
    jsonl.write(tmp_path / "mine.jsonl", [{"prompt": said, "chosen": said, "rejected": said}])
    pairs = list(jsonl.read(trained_on(wheel, "[mixed, mine.jsonl]", "dpo"), Pair))
    assert [pair.env for pair in pairs].count("") == 1 < len(pairs)


def test_a_stage_that_demonstrates_and_samples_trains_on_both(wheel):
    stage = (
        "  mixed: {demonstrate: {count: 7, environment: {name: addition}}, generate: {}, rounds: 2,"
    )
    text = HEAD.replace("  mixed: {generate: {}, data: DATA,", stage).replace("ALGORITHM", "sft")
    result = wheel(text=text).run()
    for number in (1, 2):
        rows = list(jsonl.read(result.path / f"data/round-{number}.jsonl", Trajectory))
        assert [row.env for row in rows].count("addition") == 7 * number
        kept = sum(row["kept"] for row in result.rounds[1 : number + 1])
        assert [row.env for row in rows].count("sorting") == kept > 0


def test_each_stage_compares_its_rows_with_held_out_tasks_in_its_own_way(wheel):
    """A sorted pair of digits may be the one word that another task asks to be sorted."""
    stages = "".join(
        f"  n{n}: {{generate: {{tasks: 40, reuse_tasks: true}}, curate: {{decontaminate: {n}}}}}\n"
        for n in ("null", 1)
    )
    head = HEAD[: HEAD.index("  mixed:")].replace("length: 6", "length: 2")
    result = wheel("evaluate.tasks=20", text=head + stages).run()
    found = [row["decisions"].get("contaminated", 0) for row in result.rounds[1:]]
    assert found[0] == 0 < found[1]


AGAIN = """\
  again: {rounds: 4, generate: {tasks: 8, samples: 4, reuse_tasks: true}, CURATE train: {backend: "stage_parts.py:Copying", algorithm: ALGORITHM}}
"""


def asked_again(wheel, algorithm, curate="", *overrides, **more):
    stages = AGAIN.replace("CURATE", curate).replace("ALGORITHM", algorithm)
    return wheel(*overrides, text=HEAD[: HEAD.index("  mixed:")] + stages, **more)


def test_a_row_that_several_rounds_keep_is_trained_on_once_and_the_funnel_says_so(wheel, capsys):
    result = asked_again(wheel, "sft").run()
    for row in result.rounds[1:]:
        number = row["round"]
        kept = [
            one
            for n in range(1, number + 1)
            for one in jsonl.read(result.path / f"data/round-{n}-kept.jsonl", Trajectory)
        ]
        trained_on = list(jsonl.read(result.path / f"data/round-{number}.jsonl", Trajectory))
        first = list({one.id: one for one in reversed(kept)}.values())[::-1]
        assert sorted(one.id for one in trained_on) == sorted(one.id for one in first)
        assert row["rows"] == len(trained_on) == len(kept) - row["repeated"]
        # The row that stays is the oldest, and leads back to its attempt.
        assert {one.round for one in trained_on} <= {one.round for one in first}
    assert result.rounds[4]["repeated"] > result.rounds[1]["repeated"] == 0
    with History.open(result.path) as history:
        written = history.last_event("dataset_written", path="data/round-4.jsonl")
    assert written["attempts"] == result.rounds[4]["rows"]
    assert main(["yield", str(result.path)]) == 0
    assert (
        f"{result.rounds[4]['repeated']} more say what earlier ones say" in capsys.readouterr().out
    )


def test_what_only_the_last_rounds_kept_stays_however_often_it_was_kept_before(wheel):
    """A round that is no longer looked at takes nothing from those that are."""
    result = asked_again(wheel, "sft", "curate: {rounds: 1},").run()
    for row in result.rounds[1:]:
        kept = (result.path / f"data/round-{row['round']}-kept.jsonl").read_bytes()
        assert (result.path / f"data/round-{row['round']}.jsonl").read_bytes() == kept
        assert row["repeated"] == 0


def turns(*texts):
    return [{"role": r, "content": t} for r, t in zip(["user", "assistant"] * 2, texts)]


LEAKS = {
    "sft": lambda asked, said: {
        "messages": turns(asked, said),
        "env": "mine",
        "task_id": said,
        "score": 1.0,
    },
    "dpo": lambda asked, said: {
        "prompt": turns(asked),
        "chosen": turns("", said)[1:],
        "rejected": turns("", "x")[1:],
        "metadata": {"round": 0},
    },
    "kto": lambda asked, said: {
        "prompt": turns(asked),
        "completion": turns("", said)[1:],
        "label": True,
    },
}


@pytest.mark.parametrize(
    ("algorithm", "curate"),
    [("sft", ""), ("dpo", ""), ("dpo", "curate: {capacity: 500}, "), ("kto", "")],
)
def test_rows_of_a_file_that_repeat_a_held_out_task_are_left_out_and_counted(
    wheel, tmp_path, capsys, algorithm, curate
):
    text = HEAD.replace("{generate", f"{{{curate}generate").replace("ALGORITHM", algorithm)
    text = text.replace("DATA", "[mixed, mine.jsonl]")
    path = tmp_path / "mine.jsonl"
    path.touch()
    held_out = wheel("evaluate.tasks=20", text=text).held_out_tasks
    leaks = [LEAKS[algorithm](task.prompt.upper(), f"leak {n}") for n, task in enumerate(held_out)]
    jsonl.write(path, [*leaks, LEAKS[algorithm]("What is new?", "clean")])
    result = wheel("evaluate.tasks=20", text=text).run()
    data = (result.path / "data/round-1.jsonl").read_bytes()
    assert b"clean" in data
    assert b"leak" not in data
    assert result.rounds[1]["contaminated"] == 20
    assert main(["yield", str(result.path)]) == 0
    assert "left 20 rows of files out that repeat held-out tasks" in capsys.readouterr().out
    open_ = wheel("evaluate.tasks=20", "curate.decontaminate=null", "name=open", text=text)
    assert open_.run().rounds[1]["contaminated"] == 0


SAYS = {
    "dpo": (Pair, lambda one: (one.task_id, one.chosen[0].text, one.rejected[0].text)),
    "kto": (UnpairedPreference, lambda one: (one.task_id, one.completion[0].text, one.label)),
}


@pytest.mark.parametrize("algorithm", SAYS)
def test_a_preference_that_several_rounds_give_is_trained_on_once(wheel, algorithm):
    result = asked_again(wheel, algorithm).run()
    record, says = SAYS[algorithm]
    name = {"dpo": "pairs", "kto": "unpaired"}[algorithm]
    given = [
        says(one)
        for n in range(1, 5)
        for one in jsonl.read(result.path / f"data/round-{n}-{name}.jsonl", record)
    ]
    trained_on = [says(one) for one in jsonl.read(result.path / "data/round-4.jsonl", record)]
    assert trained_on == list(dict.fromkeys(given))
    assert result.rounds[4]["repeated"] == len(given) - len(trained_on) > 0


@pytest.mark.parametrize("curate", ["", "curate: {capacity: 12},"])
def test_a_round_of_preferences_reads_no_attempts_of_earlier_rounds(wheel, monkeypatch, curate):
    looked_at, judged, read = [], Flywheel.judged, Counter()
    read_objects = jsonl.read_objects

    def counted(self, number):
        looked_at.append((number, max(n for n, _ in [(0, 0), *self._done])))
        return judged(self, number)

    def counted_reading(path, **more):
        read[str(path).rpartition("/")[2]] += 1
        return read_objects(path, **more)

    monkeypatch.setattr(Flywheel, "judged", counted)
    monkeypatch.setattr(jsonl, "read_objects", counted_reading)
    asked_again(wheel, "dpo", curate).run()
    assert looked_at
    assert all(number == now for number, now in looked_at)
    assert {count for name, count in read.items() if name.endswith("-pairs.jsonl")} == {1}


def test_a_run_that_goes_on_joins_the_same_preferences(wheel, data_of, monkeypatch):
    whole = asked_again(wheel, "dpo", folder="whole").run()
    for number in (2, 3, 4):
        stop = Flywheel.stage

        def broken(self, n, name, work, stop=stop, number=number):
            if (n, name) == (number, "curate"):
                raise KeyboardInterrupt
            return stop(self, n, name, work)

        monkeypatch.setattr(Flywheel, "stage", broken)
        with pytest.raises(KeyboardInterrupt):
            asked_again(wheel, "dpo").run()
        monkeypatch.setattr(Flywheel, "stage", stop)
    result = asked_again(wheel, "dpo").run()
    assert data_of(result.path) == data_of(whole.path)
    with History.open(result.path) as one, History.open(whole.path) as other:
        named = [[(e["path"], e["hash"], e["attempts"]) for e in h.events("dataset_written")] for h in (one, other)]  # fmt: skip
    assert named[0] == named[1]
    assert read_account(result.path).total == read_account(whole.path).total


def test_a_buffer_that_is_never_full_is_filled_once_a_round(wheel, monkeypatch):
    filled, added = [], ReplayBuffer.added

    def counted(self, pairs, *, round):
        filled.append(round)
        return added(self, pairs, round=round)

    monkeypatch.setattr(ReplayBuffer, "added", counted)
    asked_again(wheel, "dpo", "curate: {capacity: 1000},").run()
    assert filled == [1, 2, 3, 4]


@pytest.mark.parametrize("capacity", [1, 7, 30, 1000])
def test_a_buffer_holds_what_one_that_was_given_all_pairs_holds(wheel, capacity):
    result = asked_again(wheel, "dpo", f"curate: {{capacity: {capacity}}},").run()
    for number in range(1, 5):
        pairs = [
            pair
            for n in range(1, number + 1)
            for pair in jsonl.read(result.path / f"data/round-{n}-pairs.jsonl", Pair)
        ]
        buffer = ReplayBuffer(capacity=capacity, max_age=number).added(pairs, round=number)
        assert tuple(jsonl.read(result.path / f"data/round-{number}.jsonl", Pair)) == buffer.pairs


@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_a_file_of_held_out_tasks_alone_is_nothing_to_train_on(wheel, tmp_path, algorithm):
    text = HEAD.replace("DATA", "[mine.jsonl]").replace("ALGORITHM", algorithm)
    (tmp_path / "mine.jsonl").touch()
    held_out = wheel("evaluate.tasks=2", text=text).held_out_tasks
    jsonl.write(tmp_path / "mine.jsonl", [LEAKS[algorithm](task.prompt, "x") for task in held_out])
    with pytest.raises(OrbiterError, match=r"nothing to train on: .*; 2 rows of files repeat held"):
        wheel("evaluate.tasks=2", text=text).run()


def test_a_run_that_goes_on_with_another_file_says_so_and_keeps_its_hash(wheel, tmp_path):
    text = HEAD.replace("DATA", "[mine.jsonl, mixed]").replace("ALGORITHM", "sft")
    text = text.replace("mixed]", "mixed, same.jsonl]")
    for name in ("mine", "same"):
        jsonl.write(tmp_path / f"{name}.jsonl", [LEAKS["sft"]("What is new?", "one")])
    path = wheel(text=text).run().path
    wheel(text=text).run()
    jsonl.write(tmp_path / "mine.jsonl", [LEAKS["sft"]("What is new?", "two")])
    with pytest.warns(
        LedgerWarning, match="goes on with other code or files .*: file mine.jsonl changed"
    ):
        wheel(text=text).run()
    wheel(text=text).run()
    with History.open(path) as history:
        before, after = (
            history.last_event(name)["provenance"]["files"]
            for name in ("run_started", "provenance_changed")
        )
    assert before["same.jsonl"] == after["same.jsonl"] == before["mine.jsonl"]
    assert before["mine.jsonl"] != after["mine.jsonl"]
