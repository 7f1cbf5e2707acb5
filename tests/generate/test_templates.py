import itertools
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.templates import TemplateSynthesiser

names = ["a", "b", "c"]
values = st.lists(st.text("xy", max_size=3), min_size=1, max_size=4)
templates = st.lists(
    st.lists(st.sampled_from(["{a}", "{b}", "{c}", "-", "{{", "x"]), max_size=4).map("".join),
    min_size=1,
    max_size=3,
)


def made(templates, variables, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrbiterWarning)  # that a variable is not used
        return TemplateSynthesiser(templates, variables, **more)


def every_text(templates, variables):
    """All different texts, by str.format over the whole product."""
    products = itertools.product(*variables.values())
    filled = [dict(zip(variables, chosen, strict=True)) for chosen in products]
    return {template.format(**f) for template in templates for f in filled}


@settings(max_examples=60, deadline=None)
@given(templates=templates, lists=st.tuples(values, values, values), count=st.integers(0, 40))
async def test_items_are_different_texts_and_as_many_as_there_are(templates, lists, count):
    variables = dict(zip(names, lists, strict=True))
    synthesiser = made(templates, variables)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrbiterWarning)
        items = await synthesiser.generate(count)
        again = await synthesiser.generate(count)
    possible = every_text(templates, variables)
    assert set(items) <= possible
    assert len(items) == len(set(items)) == min(count, len(possible))
    assert synthesiser.shortfall == count - len(items)
    assert again == items


async def test_all_combinations_come_in_order():
    synthesiser = TemplateSynthesiser(["{a}{b}", "{{{b}}} {b}"], {"a": [1, 2], "b": ["x", "y"]})
    assert synthesiser.combination_count == 6
    assert await synthesiser.generate(6) == ["1x", "1y", "2x", "2y", "{x} x", "{y} y"]


async def test_a_shortfall_is_a_warning_and_an_attribute():
    synthesiser = TemplateSynthesiser(templates=["hello {a}"], variables={"a": ["x", "y", "x"]})
    with pytest.warns(
        OrbiterWarning, match="the templates give 2 different items, 3 fewer than the 5"
    ):
        assert await synthesiser.generate(count=5) == ["hello x", "hello y"]
    assert synthesiser.shortfall == 3
    assert (await synthesiser.generate(2), synthesiser.shortfall) == (["hello x", "hello y"], 0)


async def test_the_seed_chooses():
    variables = {"a": list(range(1000))}
    drawn = [
        await TemplateSynthesiser(["{a}"], variables, seed=seed).generate(5) for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


async def test_the_draw_favours_no_template():
    synthesiser = TemplateSynthesiser(["few {a}", "many {b}"], {"a": [1], "b": list(range(999))})
    few = 0
    for seed in range(200):
        synthesiser.seed = seed
        few += sum(text.startswith("few") for text in await synthesiser.generate(100))
    assert 5 < few < 40  # 20 expected, and a standard deviation of 4.2


async def test_more_combinations_than_a_list_can_hold():
    variables = {f"v{i}": list(range(10)) for i in range(30)}
    synthesiser = TemplateSynthesiser(["".join(f"{{{name}}}" for name in variables)], variables)
    items = await synthesiser.generate(20)
    assert len(set(items)) == 20
    assert {len(item) for item in items} == {30}


async def test_texts_that_coincide_are_drawn_past():
    powers = ["x" * n for n in range(1, 40)]
    synthesiser = TemplateSynthesiser(["{a}{b}"], {"a": powers, "b": powers})
    assert len(set(await synthesiser.generate(70))) == 70
    assert synthesiser.shortfall == 0


async def test_it_completes_the_data_of_a_pipeline():
    synthesiser = TemplateSynthesiser(["hello {a}"], {"a": ["x", "y", "z"]})
    config = SynthesisConfig(target_size=3)
    items = await synthesiser.synthesise(["seed"], config)
    assert (items[0], len(items)) == ("seed", 3)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{concpt}",
            "template '{concpt}' has an unknown variable 'concpt'; did you mean 'concept'?",
        ),
        ("{concept.__class__}", "must hold plain names in braces, got {concept.__class__}"),
        ("{concept[0]}", "must hold plain names in braces, got {concept[0]}"),
        ("{concept:>{concept}}", "must hold plain names in braces, got {concept:>{concept}}"),
        ("{concept!r}", "must hold plain names in braces, got {concept!r}"),
        ("{}", "must hold plain names in braces, got {}"),
        ("{concept", "is malformed: expected '}' before end of string"),
        ("}", "is malformed: Single '}' encountered in format string"),
        (3, "a template must be a text, got 3"),
    ],
)
def test_a_bad_template_is_named(template, message):
    with pytest.raises(ConfigError) as caught:
        TemplateSynthesiser(["{concept}", template], {"concept": ["x"]})
    assert message in caught.value.message
    assert repr(template) in caught.value.message


@pytest.mark.parametrize(
    ("templates", "variables", "message"),
    [
        ("{a}", {"a": ["x"]}, "templates must be a list of texts, got '{a}'"),
        ([], {}, "templates must be a list of texts, got []"),
        (["{a}"], {"a": []}, "variable 'a' must be a list of values, got []"),
        (["{a}"], {"a": "xyz"}, "variable 'a' must be a list of values, got 'xyz'"),
        (["{a}"], {"a": [None]}, "values of variable 'a' must be texts or numbers, got None"),
        (["{a}"], {"a": [True]}, "values of variable 'a' must be texts or numbers, got True"),
    ],
)
def test_bad_arguments(templates, variables, message):
    with pytest.raises(ConfigError) as caught:
        TemplateSynthesiser(templates, variables)
    assert caught.value.message == message


@pytest.mark.parametrize("count", [-1, 1.0, True, "3"])
async def test_a_count_is_a_whole_number(count):
    with pytest.raises(ConfigError, match="count must be an integer >= 0, got"):
        await TemplateSynthesiser(["{a}"], {"a": ["x"]}).generate(count)


def test_an_unused_variable_is_a_warning():
    with pytest.warns(OrbiterWarning, match="no template uses the variables b, c"):
        TemplateSynthesiser(["{a}"], {"a": [1], "c": [2], "b": [3]})
