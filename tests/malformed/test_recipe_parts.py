"""Recipes that name files and classes with every kind of fault: what, where, what to do."""

import pytest

PARTS = """
from orbiter.generate import Completion, Policy
from orbiter.records import Verdict
from orbiter.tasks import Environment
from orbiter.verify import Verifier

NUMBER = 7

class Good(Environment):
    name = "good"
    def task(self, index, *, seed):
        return self.make_task(index, f"say {index}", answer=str(index))
    def demonstrate(self, task):
        return task.messages[0].text.split()[1]

class Abstract(Environment):
    name = "abstract"

class Nameless(Environment):
    def task(self, index, *, seed):
        return self.make_task(index, "say", answer="x")

class Refusing(Good):
    def __init__(self, *, size):
        raise KeyError(size)

class Unjudged(Good):
    def verifier(self):
        return 3

class Misjudged(Good):
    def verifier(self):
        return "exakt"

class Raising(Good):
    def verifier(self):
        raise OSError("no judge")

class Late(Good):
    def task(self, index, *, seed):
        raise ValueError("no task")

class Taskless(Good):
    def task(self, index, *, seed):
        return "say 1"

class Judge(Verifier):
    name = "judge"
    def verify(self, task, trajectory):
        return Verdict.passed()

class Lonely:
    pass

def make_good():
    return Good()

def make_nothing():
    return None
"""


@pytest.fixture
def parts(tmp_path):
    """Return the folder of a recipe that lies elsewhere than the current one, beside ``parts.py``."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "parts.py").write_text(PARTS)
    (folder / "recipe.yaml").write_text((tmp_path / "small.yaml").read_text())
    return folder


FILES = [
    ("none.py:Good", "file 'elsewhere/none.py' of 'none.py:Good' does not exist"),
    ("parts.py:Goood", "elsewhere/parts.py has no 'Goood'; did you mean 'Good'?"),
    ("parts.py:", "elsewhere/parts.py has no ''"),
    ("parts.py", "unknown environment 'parts.py'"),
    ("parts.Good", "unknown environment 'parts.Good'"),
    ("../parts.py:Good", "file 'elsewhere/../parts.py' of '../parts.py:Good' does not exist"),
    ("parts.py:NUMBER", "environment 'parts.py:NUMBER' must be a class or a function, got 7"),
    (
        "parts.py:Lonely",
        "environment 'parts.py:Lonely' must be an Environment, got the class Lonely",
    ),
    ("parts.py:Judge", "environment 'parts.py:Judge' must be an Environment, got the class Judge"),
    (
        "parts.py:make_nothing",
        "environment 'parts.py:make_nothing' must be an Environment, got None",
    ),
    (
        "parts.py:Abstract",
        "environment 'parts.py:Abstract' must define task, got the class Abstract",
    ),
    ("parts.py:Nameless", "environment 'parts.py:Nameless' must have a name, got None"),
    ("parts.py:Refusing", "environment 'parts.py:Refusing' needs the option 'size'"),
    (
        "parts.py:Unjudged",
        "verifier must be a Verifier, a name, or a name with options beside it, got",
    ),
    ("parts.py:Misjudged", "unknown verifier 'exakt'; did you mean 'exact'?"),
    ("parts.py:Raising", "environment 'good' raised in verifier(): OSError: no judge"),
    ("parts.py:Taskless", "task(0) of environment 'good' must be a Task, got 'say 1'"),
]


@pytest.mark.parametrize(("name", "message"), FILES)
def test_file_and_class(refused, parts, name, message):
    what, _ = refused("run", "elsewhere/recipe.yaml", f"environment={{name: '{name}'}}")
    assert what.replace(f"{parts}/", "elsewhere/").startswith(message)


KINDS = [
    (["verifier={name: 'parts.py:Good'}"], "a Verifier, got the class Good"),
    (["audit_verifier={name: 'parts.py:Good'}"], "a Verifier, got the class Good"),
    (["policy={name: 'parts.py:Judge'}"], "a Policy, got the class Judge"),
    (["exports=[{name: 'parts.py:Judge'}]"], "an Exporter, got the class Judge"),
    (["model.id=m", "train.backend=parts.py:Judge"], "a Backend, got the class Judge"),
]


@pytest.mark.parametrize(("overrides", "cls"), KINDS)
def test_class_of_another_kind(refused, parts, tmp_path, overrides, cls):
    what, todo = refused("run", "elsewhere/recipe.yaml", *overrides)
    assert what.endswith(f" must be {cls}")
    assert todo.startswith("derive the class from orbiter.")
    assert not (tmp_path / "runs").exists()


def test_constructor_that_raises(refused, parts):
    what, todo = refused(
        "run", "elsewhere/recipe.yaml", "environment={name: 'parts.py:Refusing', size: 3}"
    )
    assert what == "environment 'parts.py:Refusing' cannot be made: KeyError: 3"
    line = PARTS[: PARTS.index("raise KeyError")].count("\n") + 1
    assert todo == f"its options were {{'size': 3}}\nraised at {parts}/parts.py:{line}"


@pytest.mark.parametrize(
    ("code", "error", "line"),
    [
        ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero", 2),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'", 1),
        ("class Mine(\n", "SyntaxError: '(' was never closed (parts.py, line 1)", 1),
        ("import sys\n\nsys.exit(0)\n", "SystemExit: 0", 3),
        ("raise ValueError('a\\nb\\x1b[31m')\n", "ValueError: a b\\x1b[31m", 1),
    ],
)
def test_file_that_raises_on_import(refused, parts, code, error, line):
    (parts / "parts.py").write_text(code)
    what, todo = refused("run", "elsewhere/recipe.yaml", "environment={name: 'parts.py:Mine'}")
    assert what == f"{parts}/parts.py cannot be imported: {error}"
    assert todo == f"raised at {parts}/parts.py:{line}"


def test_code_that_raises_in_the_run_fails_the_run(refused, parts):
    what, todo = refused(
        "run", "elsewhere/recipe.yaml", "environment={name: 'parts.py:Late'}", code=1
    )
    assert what.startswith("environment 'good' raised in task(0, seed=")
    assert what.endswith("): ValueError: no task")
    assert todo.startswith("raised at ")


NESTED = [
    "verifier={name: all_of, verifiers: [exact, 'parts.py:Judge']}",
    "verifier={name: any_of, verifiers: [{name: all_of, verifiers: ['parts.py:Judge']}]}",
    "policy={name: scripted, environment: 'parts.py:make_good'}",
]


@pytest.mark.parametrize("override", NESTED)
def test_file_in_the_options_is_relative_to_the_recipe_too(orbiter, refused, parts, override):
    command = ["run", "elsewhere/recipe.yaml", "environment={name: 'parts.py:Good'}", "--no-report"]
    said = orbiter(*command, override)
    assert said.code == 0, said
    what, _ = refused(*command, override.replace("parts.py", "part.py"), "name=other")
    assert "file 'elsewhere/part.py' of 'part.py:" in what
    assert "does not exist" in what


def test_checkpoint_that_is_gone(orbiter, refused, parts, learning, tmp_path):
    (parts / "learning.py").write_text(learning)
    command = ["run", "elsewhere/recipe.yaml", "model.id=m", "train.backend=learning.py:Learning"]
    said = orbiter(*command, "--no-report")
    assert said.code == 0, said
    (tmp_path / "runs/small/checkpoints/round-1/checkpoint/scripted.json").unlink()
    what, _ = refused(*command, "rounds=2")
    assert what.startswith(
        "checkpoint 'runs/small/checkpoints/round-1/checkpoint' of a scripted policy must hold "
    )


def test_algorithm_that_the_backend_does_not_know(refused, parts, learning):
    (parts / "learning.py").write_text(learning)
    command = ["run", "elsewhere/recipe.yaml", "model.id=m", "train.backend=learning.py:Learning"]
    assert refused(*command, "train.algorithm=sfd")[0] == (
        "algorithm of the backend 'learning' must be one of sft, got 'sfd'; did you mean 'sft'?"
    )


def test_later_parts_are_looked_at_before_the_run_leaves_anything(
    refused, parts, learning, tmp_path
):
    (parts / "learning.py").write_text(learning)
    recipe, backend = "elsewhere/recipe.yaml", "backend: 'learning.py:Learning'"
    teach = f"teach={{{backend}, synthesisers: [{{name: nobody}}]}}"
    assert refused("run", recipe, "model.id=m", teach)[0] == "unknown synthesiser 'nobody'"
    model = "model={name: 'parts.py:make_good', colour: red}"
    what, _ = refused("run", recipe, model, f"train={{{backend}}}")
    assert what.startswith("model 'parts.py:make_good' has no option 'path'")
    assert not (tmp_path / "runs").exists()


def test_run_in_which_nothing_was_made_may_be_deleted(refused, parts):
    (parts / "maker.py").write_text(
        "def make(path, *, seed, size, chars=''):\n    raise ValueError(f'size {size}')\n"
    )
    run = ("run", "elsewhere/recipe.yaml", "model.name=maker.py:make")
    assert refused(*run, "model.size=0")[0].endswith("cannot be made: ValueError: size 0")
    what, todo = refused(*run, "model.size=1")
    assert what.endswith("made by another recipe: model differs; model.size was 0, now 1")
    assert todo == (
        "choose another name with name=..., or delete the folder: nothing was made there yet"
    )


def test_model_folder_that_does_not_exist(refused):
    pytest.importorskip("orbiter_trl")
    what, _ = refused("run", "small.yaml", "policy={name: transformers}", "model.id=./no/model")
    assert what == (
        "policy 'transformers': model must be a folder that exists or a hub id, got './no/model'"
    )
