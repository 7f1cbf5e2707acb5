import pytest
from orbiter_liveweb.composing import Composer, questions_of, task_of
from orbiter_liveweb.sites import topology_of
from orbiter_liveweb.sites.catalogue import Catalogue, ItemFact
from orbiter_liveweb.topology import Topology

from orbiter.errors import ConfigError


def test_ids_are_for_ever(teacher):
    """These were written down when the templates were made; a change of one is a change of what old data mean."""
    asked = [
        task_of(
            teacher.verifier.topology, teacher.composer.draw(seed=seed, templates=[name])
        ).task_id
        for seed, name in (
            (1, "catalogue/item_fact"),
            (1, "weather/year_total"),
            (1, "league/nth_club"),
            (2, "towns/warmer_maker"),
        )
    ]
    assert asked == EVER


EVER = [
    "liveweb:catalogue/item_fact/pewter-trellis,weight",
    "liveweb:weather/year_total/westhaven,2022,rain",
    "liveweb:league/nth_club/valley,1",
    "liveweb:towns/warmer_maker/oak-colander,bamboo-stool,2021,october",
]


class Extra(ItemFact):
    name = "extra_fact"


class LargerCatalogue(Catalogue):
    def templates(self):
        return [*super().templates(), Extra()]


def test_another_template_renames_nothing_and_takes_its_own_tasks_alone(web):
    old = Composer(Topology(web, [Catalogue()]))
    new = Composer(Topology(web, [LargerCatalogue()]))
    before = [old.draw(seed=seed)[0] for seed in range(120)]
    after = [new.draw(seed=seed)[0] for seed in range(120)]
    moved = [b for a, b in zip(before, after) if a != b]
    assert {question.template for question in moved} == {"extra_fact"}
    assert 5 < len(moved) < 40  # one of six templates
    assert all(task_of(new.topology, [q]) == task_of(old.topology, [q]) for q in before)


def test_a_composite_names_its_questions(teacher):
    questions = teacher.composer.draw(seed=5, num_subtasks=3)
    task = task_of(teacher.verifier.topology, questions)
    assert questions_of(task.task_id) == questions
    assert len(set(questions)) == 3
    assert all(f"{n}. " in task.prompt for n in (1, 2, 3))


def test_no_entity_is_on_both_sides(web):
    sides = {}
    for split in ("train", "held_out"):
        composer = Composer(topology_of(web), split=split, held_out_share=0.3)
        questions = [composer.draw(seed=seed)[0] for seed in range(60)]
        sides[split] = {e for q in questions for e in composer.topology.entities(q)}
    assert len(sides["train"]) > 20 < len(sides["held_out"])
    assert not sides["train"] & sides["held_out"]


def test_a_web_with_too_few_questions_says_so(web):
    composer = Composer(topology_of(web, ["league"]), split="held_out", held_out_share=1e-6)
    with pytest.raises(ConfigError, match="found 0 of 1 questions of split 'held_out'"):
        composer.draw(seed=0)
