import asyncio
import hashlib
import subprocess
import sys

import pytest
from orbiter_liveweb.composing import questions_of
from orbiter_liveweb.guide import TeacherError
from orbiter_liveweb.session import ACTIONS
from orbiter_liveweb.teacher import TeacherGenerator
from orbiter_liveweb.topology import Question

from orbiter import jsonl
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.records import Outcome, Trajectory


def test_the_teacher_is_right_in_every_template(teacher):
    for name in teacher.templates:
        for seed in range(4):
            made = teacher.compose(seed=seed, num_subtasks=1, templates=[name])
            assert made.verdict.outcome is Outcome.PASS, (name, seed, made.verdict.reason)
            (record,) = made.records
            assert record["score"] == record["metadata"]["score"] == 1.0


async def test_a_composite_trajectory(web):
    generator = TeacherGenerator(cache_dir=web.folder, include_plugins=["catalogue", "weather"])
    result = await generator.generate_composite_trajectory(
        seed=3, num_subtasks=4, templates=["catalogue/maker_town", "weather"]
    )
    (record,) = result.records
    row = Trajectory.from_row(record)
    assert [question.id for question in questions_of(row.task_id)] == record["metadata"]["subtasks"]
    assert len(row.answer.splitlines()) == 4
    assert {name.split("/")[0] for name in record["metadata"]["templates"]} <= {
        "catalogue",
        "weather",
    }
    assert (row.env, row.score, row.verdict.verifier) == ("liveweb", 1.0, "liveweb")
    assert row.messages[-2].text == "The answer was taken."


def test_the_same_seed_gives_the_same_bytes_in_another_process(web, tmp_path):
    teacher = TeacherGenerator(web, seed=7)
    for name in ("a", "b"):
        assert jsonl.write(tmp_path / name, asyncio.run(teacher.generate(12))) == 12
    code = (
        "import asyncio, sys; from orbiter import jsonl; from orbiter_liveweb.teacher import TeacherGenerator\n"
        "jsonl.write(sys.argv[2], asyncio.run(TeacherGenerator(sys.argv[1], seed=7).generate(12)))"
    )
    subprocess.run(  # another hash seed finds what depends on the order of a set
        [sys.executable, "-c", code, str(web.folder), str(tmp_path / "c")],
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in "abc"}
    assert len(digests) == 1
    rows = list(jsonl.read(tmp_path / "a", Trajectory))
    assert len({row.id for row in rows}) == 12
    assert rows[:5] == asyncio.run(teacher.generate(5))


def test_fewer_than_asked_for_is_warned_of(web):
    teacher = TeacherGenerator(web, ["league"], templates=["league/nth_club"], num_subtasks=1)
    with pytest.warns(OrbiterWarning, match="12 different trajectories of 30"):
        rows = asyncio.run(teacher.generate(30))
    assert len(rows) == len({row.task_id for row in rows}) == 12  # two leagues of six clubs


def test_training_never_visits_what_is_held_out(web):
    teacher = TeacherGenerator(web, split="train", held_out_share=0.3)
    for seed in range(25):
        made = teacher.compose(seed=seed)
        urls = [
            m.text.split("\n")[0].removeprefix("URL: ")
            for m in made.trajectory.messages
            if m.role == "tool"
        ]
        entities = teacher.verifier.topology.entities_of_pages(urls)
        assert not any(teacher.composer.is_held_out(entity) for entity in entities)


def test_every_action_is_used(teacher):
    counts = dict.fromkeys(ACTIONS, 0)
    for seed in range(40):
        for name, count in teacher.compose(seed=seed).trajectory.metadata["actions"].items():
            counts[name] += count
    assert min(counts.values()) > 0
    assert max(counts.values()) < 0.5 * sum(counts.values())


def test_a_web_that_is_not_what_it_seems_gives_no_record(own_web, page):
    """The page of an item says no price any more: there is no record, rather than one without an answer."""
    url = next(url for url in own_web.urls() if "/item/" in url)
    html = own_web.get(url).html.replace("Price", "Prize")
    own_web.put(page(html, url))
    teacher = TeacherGenerator(own_web, ["catalogue"])
    question = Question("catalogue", "item_fact", (url.rpartition("/")[2], "price"))
    with pytest.raises(TeacherError, match="has no table row 'Price'"):
        teacher.act([question], seed=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_subtasks": 0}, "num_subtasks must be an integer"),
        ({"num_subtasks": [3, 1]}, "num_subtasks must be an integer"),
        (
            {"num_subtasks": [1, 2, 3]},
            "num_subtasks must be a number or two, the least and the most",
        ),
        ({"num_subtasks": 9}, "num_subtasks must be an integer"),
        ({"templates": []}, "templates must be a list"),
        (
            {"templates": ["weather/nwo"]},
            "unknown template 'weather/nwo'; did you mean 'weather/now'?",
        ),
        ({"split": "test"}, "split must be one of train, held_out"),
        ({"held_out_share": 1}, "held_out_share must be"),
        ({"seed": "x"}, "seed must be an integer"),
        ({"include_plugins": ["towns"]}, "there is no question about towns alone"),
    ],
)
def test_wrong_options_are_told(web, options, said):
    with pytest.raises(ConfigError) as caught:
        TeacherGenerator(web, **options)
    assert said in caught.value.message
