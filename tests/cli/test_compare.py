import json

RECIPES = """\
name: NAME
environment: {name: sorting, length: 4}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 4}}
generate: {tasks: 4, samples: SAMPLES}
evaluate: {tasks: 10, audit: 0}
verify: {workers: 0}
rounds: 2
"""


def write(folder, **samples):
    for name, count in samples.items():
        text = RECIPES.replace("NAME", name).replace("SAMPLES", str(count))
        (folder / f"{name}.yaml").write_text(text)


def test_a_table_a_plot_and_json(orbiter, tmp_path):
    write(tmp_path, two=2, three=3)
    said = orbiter(
        "compare", "two.yaml", "three.yaml", "--seeds", 2, "--svg", "out.svg", "--target", 1
    )
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [
        "two seed 1",
        "three seed 1",
        "two seed 2",
        "three seed 2",
    ]
    assert lines[4].split() == [
        "recipe",
        "held-out",
        "[95%",
        "CI]",
        "reached",
        "1",
        "samples",
        "tokens",
        "seconds",
    ]
    assert {line.split()[0] for line in lines[5:]} == {"two", "three"}
    assert (tmp_path / "out.svg").read_text().startswith("<svg ")
    again = orbiter("compare", "two.yaml", "three.yaml", "--seeds", 2, "--json", "--samples", 8)
    told = json.loads(again.out)
    assert told["budget"] == {"samples": 8.0, "tokens": None, "seconds": None}
    ends = {
        one["recipe"]: one["courses"][0]["marks"][-1]["spent"]["samples"] for one in told["recipes"]
    }
    assert ends == {"two": 8, "three": 0}  # a round of three samples each is beyond the budget


def test_the_start_of_one_recipe_for_all(orbiter, tmp_path):
    write(tmp_path, two=2, three=3)
    (tmp_path / "away").mkdir()
    (tmp_path / "away/start.yaml").write_text(
        RECIPES.replace("length: 4", "length: 3").replace("SAMPLES", "9")
    )
    said = orbiter(
        "compare", "two.yaml", "three.yaml", "--seeds", 1, "--task", "away/start.yaml", "--json"
    )
    assert said.code == 0
    recipe = (tmp_path / "runs/two-1/recipe.yaml").read_text()
    assert "length: 3" in recipe
    assert "samples: 2" in recipe


def test_wrong_arguments_are_one_line(orbiter, tmp_path):
    write(tmp_path, two=2)
    for arguments, message in (
        (["--seeds", 0], "--seeds must be an integer >= 1, got 0"),
        (["--target", 2], "--target must be a number in (0, 1], got 2.0"),
        (["--samples", -1], "--samples must be"),
        (["--samples", 0.5], "--samples must be a number >= 1, got 0.5"),
        (["--task", "none.yaml"], "recipe 'none.yaml' does not exist"),
    ):
        said = orbiter("compare", "two.yaml", *arguments)
        assert said.code == 2
        assert message in said.err.splitlines()[0]


def test_a_run_at_scale_needs_a_section_that_says_so(orbiter, tmp_path):
    said = orbiter("run", "small.yaml", "--scale")
    assert said.code == 2
    assert "field 'scale' must be a mapping of fields, got None" in said.err
    with (tmp_path / "small.yaml").open("a") as file:
        file.write("scale: {environment: {name: sorting, length: 3}, evaluate: {tasks: 5}}\n")
    assert orbiter("run", "small.yaml", "--scale", "--plain", "--no-report").code == 0
    recipe = (tmp_path / "runs/small/recipe.yaml").read_text()
    assert "length: 3" in recipe
    assert "tasks: 5" in recipe
