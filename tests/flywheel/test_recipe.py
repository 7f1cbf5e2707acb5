import attrs
import pytest
import yaml

from orbiter.errors import ConfigError, OrbiterWarning, RecordError
from orbiter.flywheel.recipe import Recipe
from orbiter.flywheel.recipe_file import dump_recipe, load_recipe

SMALL = """\
name: small
environment:
  name: sorting
  length: 4
policy:
  name: scripted
  temperature: 0.7
  accuracy: 0.5
"""


@pytest.fixture
def recipe_file(tmp_path):
    def write(text):
        path = tmp_path / "r.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_recipe_holds_defaults_options_and_sampling(recipe_file):
    recipe = load_recipe(recipe_file(SMALL))
    assert (recipe.rounds, recipe.generate.samples, recipe.train) == (5, 8, None)
    assert recipe.environment.extra == {"length": 4}
    assert recipe.policy.sampling.temperature == 0.7
    assert recipe.policy.extra == {"accuracy": 0.5}


def test_overrides_replace_and_make_sections(recipe_file):
    recipe = load_recipe(
        recipe_file(SMALL),
        ["rounds=2", "policy.temperature=0", "generate.tasks=7", "environment.length=6"],
    )
    assert (recipe.rounds, recipe.policy.temperature, recipe.generate.tasks) == (2, 0, 7)
    assert recipe.environment.extra["length"] == 6


def test_number_without_a_point_but_an_exponent_is_a_number(recipe_file):
    text = SMALL + "model: {id: m}\ntrain: {learning_rate: 2e-3}\n"
    assert load_recipe(recipe_file(text)).train.learning_rate == 0.002


def test_inputs_fill_in_and_keep_their_type(recipe_file):
    text = (
        SMALL.replace("length: 4", "length: ${inputs.size}\n  note: n${inputs.size}")
        + "inputs: {size: null}\n"
    )
    recipe = load_recipe(recipe_file(text), ["inputs.size=5"])
    assert recipe.environment.extra == {"length": 5, "note": "n5"}
    with pytest.raises(RecordError) as error:
        load_recipe(recipe_file(text))
    assert error.value.hint == "add inputs.size=... to the command line"


def test_an_input_that_the_recipe_does_not_have_is_refused(recipe_file):
    text = SMALL.replace("length: 4", "length: ${inputs.size}") + "inputs: {other: 1}\n"
    assert load_recipe(recipe_file(text), ["inputs.size=5", "inputs.other=2"]).inputs["other"] == 2
    with pytest.raises(
        RecordError, match=r"'inputs.sise' is no input .*did you mean 'size'"
    ) as error:
        load_recipe(recipe_file(text), ["inputs.sise=5"])
    assert error.value.hint == "inputs: other, size; --scale may bring others"
    used = ["environment.length=${inputs.long}", "inputs.long=3"]
    assert load_recipe(recipe_file(SMALL), used).environment.extra["length"] == 3


def test_a_section_that_an_override_made_is_the_overrides_fault(recipe_file):
    text = SMALL + "stages:\n  one:\n    demonstrate: {count: 2}\n"
    with pytest.raises(RecordError) as error:
        load_recipe(recipe_file(text), ["stages.oen.synthesise.tasks=10"])
    assert error.value.source == "override 'stages.oen.synthesise.tasks'"


def test_an_override_that_no_stage_takes_over_is_told(recipe_file):
    stages = (
        "stages:\n  one:\n    generate: {}\n    train: {algorithm: dpo, options: {beta: 0.1}}\n"
    )
    file = recipe_file(SMALL + "model: {id: m}\n" + stages)
    with pytest.warns(OrbiterWarning, match=r"'train\.options\.beta' .*: stages\.one\.train\.opt"):
        load_recipe(file, ["train.options.beta=0.3"])
    made = load_recipe(file, ["train.learning_rate=0.5", "generate.samples=3"]).stages["one"]
    assert (made.train.learning_rate, made.generate.samples) == (0.5, 3)


def test_resolved_recipe_loads_back_equal(recipe_file):
    text = (
        SMALL
        + "model: {id: m}\ntrain: {learning_rate: 2e-3, lora: {rank: 4}}\nexports: [{name: trl-sft}]\n"
    )
    recipe = load_recipe(recipe_file(text))
    dumped = dump_recipe(recipe)
    assert load_recipe(recipe_file(dumped)) == recipe
    written = yaml.safe_load(dumped)
    assert set(written) == {a.name for a in attrs.fields(Recipe)}  # defaults are written out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("round: 3\n", "line 9: field 'round' is unknown; did you mean 'rounds'?"),
        (
            "curate: {max_per_tsk: 3}\n",
            "line 9: field 'curate.max_per_tsk' is unknown; did you mean 'max_per_task'?",
        ),
        ("rounds: three\n", "line 9: field 'rounds' must be an integer, got 'three'"),
        ("rounds: 0\n", "line 9: field 'rounds' must be >= 1, got 0"),
        ("rounds: true\n", "line 9: field 'rounds' must be an integer, got True"),
        ("rounds: 2\nrounds: 3\n", "line 10: is not valid YAML: key 'rounds' stands here twice"),
        (
            "rounds: [\n",
            "line 10: is not valid YAML: expected the node content, but found '<stream end>'",
        ),
        (
            "model: {}\n",
            "line 9: field 'model' must have either id (a hub id or folder) or name (a model maker)",
        ),
        ("evaluate:\n  share: 2\n", "line 10: field 'evaluate.share' must be in [0, 1), got 2"),
        (
            "curate:\n  keep: all\n",
            "line 10: field 'curate.keep' must be one of survivors, none, got 'all'",
        ),
        ("exports: [{}]\n", "line 9: field 'exports[0].name' is missing"),
        ("exports: trl\n", "line 9: field 'exports' must be a list, got 'trl'"),
        ("train: {backend: trl}\n", ": field 'model' must be given, since there is a train stage"),
        (
            "model: {id: m}\ntrain: {learning_rate: -1}\n",
            "line 10: field 'train.learning_rate' must be >= 0, got -1",
        ),
        ("7: x\n", "line 9: is not valid YAML: key 7 must be text"),
        ("seed: .nan\n", "line 9: is not valid YAML: a number must be finite, got .nan"),
    ],
)
def test_wrong_field_is_named_with_its_line(recipe_file, text, message):
    path = recipe_file(SMALL + text)
    with pytest.raises((RecordError, ConfigError)) as error:
        load_recipe(path)
    assert str(error.value).splitlines()[0].removeprefix(str(path)).lstrip() == message.lstrip()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rounds", "override must look like field=value, got 'rounds'"),
        ("=3", "override must look like field=value, got '=3'"),
        ("rounds=x", "override 'rounds': field 'rounds' must be an integer, got 'x'"),
        ("ronds=3", "override 'ronds': field 'ronds' is unknown; did you mean 'rounds'?"),
        ("name.x=3", "override 'name.x=3' goes into 'name', which is not a section"),
        (
            "name=../up",
            "override 'name': field 'name' must be 1 to 100 letters, digits, '_', '.' and '-', got '../up'",
        ),
    ],
)
def test_wrong_override_is_named(recipe_file, override, message):
    with pytest.raises((RecordError, ConfigError)) as error:
        load_recipe(recipe_file(SMALL), [override])
    assert str(error.value).splitlines()[0] == message


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match="must be UTF-8, got the byte 0xe9 at offset 9"):
        load_recipe(tmp_path / "latin.yaml")


def test_yaml_tags_build_no_objects(recipe_file):
    with pytest.raises((RecordError, ConfigError), match="is not valid YAML"):
        load_recipe(recipe_file("name: !!python/object/apply:os.system ['true']\n"))


@pytest.mark.parametrize(
    "key",
    ["api_key", "hub_api_key", "X-Api-Key", "apiKey", "Authorization", "password", "client_secret"],
)
def test_secret_in_a_recipe_is_refused_and_not_repeated(recipe_file, key):
    with pytest.raises(RecordError) as error:
        load_recipe(recipe_file(SMALL), [f"policy.{key}=hunter2"])
    assert f"policy.{key}" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "place",
    [
        "verifier={name: all_of, verifiers: [{name: judge, model: {name: openai, api_key: hunter2}}]}",
        "inputs.api_key=hunter2",
        "exports=[{name: trl-sft, hub_token: hunter2}]",
    ],
)
def test_a_secret_is_found_wherever_it_stands(recipe_file, place):
    with pytest.raises(RecordError) as error:
        load_recipe(recipe_file(SMALL), [place])
    assert "_key" in str(error.value) or "_token" in str(error.value)
    assert "hunter2" not in str(error.value)
