"""Recipes with every kind of fault, through ``orbiter run``: what, where, what to do, and exit code 2."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = """\
name: small
environment: {name: sorting, length: 4}
policy: {name: scripted, answers: {}}
"""

TEXTS = [
    ("", "must be a mapping of fields, got None"),
    ("just words", "must be a mapping of fields, got 'just words'"),
    ("- name: small\n", "must be a mapping of fields, got [{'name': 'small'}]"),
    ("name: [\n", " line 2: is not valid YAML: "),
    ("name: 'small\n", " line 2: is not valid YAML: found unexpected end of stream"),
    ("a: b: c\n", " line 1: is not valid YAML: mapping values are not allowed here"),
    ("\tname: small\n", " line 1: is not valid YAML: found character '\\t' that cannot start any"),
    ("name: small\nname: large\n", " line 2: is not valid YAML: key 'name' stands here twice"),
    ("environment: {a: 1, a: 2}\n", " line 1: is not valid YAML: key 'a' stands here twice"),
    ("3: small\n", " line 1: is not valid YAML: key 3 must be text"),
    ("? [a]\n: b\n", " line 1: is not valid YAML: key ['a'] must be text"),
    ("name: \x07\n", " line 1: is not valid YAML: the character '\\x07' is not allowed"),
    ("---\nname: a\n---\nname: b\n", " line 3: is not valid YAML: but found another document"),
    ("name: &n [*n]\n", " line 1: is not valid YAML: a value must not contain itself"),
    ("name: *small\n", " line 1: is not valid YAML: found undefined alias 'small'"),
    ("a: " + 99 * "[" + 99 * "]", " line 1: must be nested at most 64 levels deep"),
    ("a: " + 500 * "[", ": must be nested at most 64 levels deep"),
    (
        "a: &a [1,2,3,4,5,6,7,8,9,0]\n"
        + "".join(f"a{n}: &a{n} [{','.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 9)).replace(
            "*a0", "*a"
        ),
        " line 5: is not valid YAML: it must hold at most 100000 values, aliases written out",
    ),
    (
        "name: !!python/object/apply:os.system [ls]\n",
        " line 1: is not valid YAML: the tag 'tag:yaml",
    ),
    ("when: !!timestamp 2020-13-45\n", " line 1: is not valid YAML: the tag "),
    ("seed: !!int x\n", " line 1: is not valid YAML: 'x' cannot be read as !!int"),
    (
        f"a: &a {40 * '['}{40 * ']'}\nb: {40 * '['}*a{40 * ']'}\n",
        " line 1: must be nested at most 64 levels deep",
    ),
    ("seed: .inf\n", " line 1: is not valid YAML: a number must be finite, got .inf"),
    (
        "seed: 123456789012345678901\n",
        " line 1: is not valid YAML: an integer must have at most 64 bits",
    ),
    ('name: "\\udc80"\n', " line 1: is not valid YAML: text must be whole characters"),
    ("name: small\n", ": field 'environment' is missing"),
    ("name: small\nenvironment: {name: sorting}\n", ": field 'policy' is missing"),
    ("environment: {name: sorting}\npolicy: {name: scripted}\n", ": field 'name' is missing"),
    (
        "name: small\nenvironment: sorting\n",
        " line 2: field 'environment' must be an object, got 'sor",
    ),
]
"""Whole recipes, and how the message goes on after the name of the file."""

FIELDS = [
    ("rounds: 0", "line 4: field 'rounds' must be >= 1, got 0"),
    ("rounds: many", "line 4: field 'rounds' must be an integer, got 'many'"),
    ("rounds: 2.0", "line 4: field 'rounds' must be an integer, got 2.0"),
    ("rounds: null", "line 4: field 'rounds' must be an integer, got None"),
    ("roundz: 3", "line 4: field 'roundz' is unknown; did you mean 'rounds'?"),
    ("seed: '3'", "line 4: field 'seed' must be an integer, got '3'"),
    ("description: [a]", "line 4: field 'description' must be a string, got ['a']"),
    ("generate:\n  task: 5", "line 5: field 'generate.task' is unknown; did you mean 'tasks'?"),
    ("generate: {samples: -1}", "line 4: field 'generate.samples' must be >= 1, got -1"),
    ("generate: []", "line 4: field 'generate' must be an object, got []"),
    ("curate: {min_score: 1.5}", "line 4: field 'curate.min_score' must be in [0, 1], got 1.5"),
    (
        "curate: {keep: all}",
        "line 4: field 'curate.keep' must be one of survivors, none, got 'all'",
    ),
    (
        "evaluate: {temperature: hot}",
        "line 4: field 'evaluate.temperature' must be a number, got 'h",
    ),
    ("gates: {stop_at: 2}", "line 4: field 'gates.stop_at' must be in [0, 1], got 2"),
    ("model: {}", "line 4: field 'model' must have either id "),
    ("model: {id: m, size: 3}", "line 4: field 'model' options go with name, not with id"),
    ("train: {backend: trl}", "field 'model' must be given, since there is a train stage"),
    ("model: {id: m}\ntrain: {learning_rat: 1}", "line 5: field 'train.learning_rat' is unknown"),
    ("model: {id: m}\ntrain: {lora: {rank: 0}}", "line 5: field 'train.lora.rank' must be "),
    ("exports: [trl-sft]", "line 4: field 'exports[0]' must be an object, got 'trl-sft'"),
    ("exports:\n- {name: trl-sft}\n- {}", "line 6: field 'exports[1].name' is missing"),
    (
        "inputs: {size: null}\ndescription: ${inputs.size}",
        "line 4: field 'inputs.size' must be given",
    ),
]
"""What is added to a good recipe, and the message after the name of the file."""

OVERRIDES = [
    ("rounds=", "override 'rounds': field 'rounds' must be an integer, got None"),
    ("=3", "override must look like field=value, got '=3'"),
    ("a..b=3", "override must look like field=value, got 'a..b=3'"),
    ("name=../up", "override 'name': field 'name' must be 1 to 100 letters, digits, "),
    ("name=", "override 'name': field 'name' must be a string, got None"),
    ("name.first=x", "override 'name.first=x' goes into 'name', which is not a section"),
    ("rounds=[", "value of override 'rounds=[' is not valid YAML: "),
    ("rounds=&a [*a]", "value of override 'rounds=&a [*a]' is not valid YAML: a value must not"),
    ("seed=.nan", "value of override 'seed=.nan' is not valid YAML: a number must be finite"),
    (
        "generate.sample=2",
        "override 'generate.sample': field 'generate.sample' is unknown; did you",
    ),
    (
        "policy.temperature=-1",
        "override 'policy.temperature': field 'policy.temperature' must be >= 0",
    ),
    (
        "environment.length=0",
        "environment 'sorting': length must be an integer in [1, 1000], got 0",
    ),
    (
        "environment.lenght=3",
        "environment 'sorting' has no option 'lenght'; did you mean 'length'?",
    ),
    ("environment.name=sortin", "unknown environment 'sortin'; did you mean 'sorting'?"),
    ("environment.name=nobody/sorting", "unknown environment 'nobody/sorting'"),
    ("environment.name=jsonl", "environment 'jsonl' has no option 'length'"),
    ("environment={name: jsonl}", "environment 'jsonl' needs the option 'path'"),
    (
        "environment={name: jsonl, path: no.jsonl}",
        "environment 'jsonl': path must be a file of tasks, got 'no.jsonl'",
    ),
    ("verifier.name=exakt", "unknown verifier 'exakt'; did you mean 'exact'?"),
    ("verifier.name=all_of", "verifier 'all_of' needs the option 'verifiers'"),
    (
        "verifier={name: all_of, verifiers: []}",
        "verifier 'all_of': verifiers must be a list of at least one verifier",
    ),
    (
        "verifier={name: all_of, verifiers: [exakt]}",
        "verifier 'all_of': unknown verifier 'exakt'; did you mean 'exact'?",
    ),
    (
        "verifier={name: all_of, verifiers: [3]}",
        "verifier 'all_of': verifier must be a Verifier, a name, or a name",
    ),
    (
        "verifier={name: regex, pattern: '('}",
        "verifier 'regex': pattern must be a regular expression, got '('",
    ),
    ("audit_verifier.name=exakt", "unknown verifier 'exakt'; did you mean 'exact'?"),
    ("policy.name=scriptd", "unknown policy 'scriptd'; did you mean 'scripted'?"),
    ("policy.accuracy=2", "policy 'scripted': accuracy must be a number in [0, 1], got 2"),
    (
        "policy={name: scripted}",
        "policy 'scripted': scripted policy must have either an environment or answers",
    ),
    (
        "policy={name: scripted, environment: sortin}",
        "policy 'scripted': unknown environment 'sortin'",
    ),
    ("policy={name: replay, path: no.jsonl}", "policy 'replay': source must be a file"),
    (
        "policy={name: openai, model: m, base_url: nowhere}",
        "policy 'openai': base_url must be an http or https address",
    ),
    (
        "policy={name: openai, model: m, base_url: 'http://127.0.0.1:1/v1', api_key_env: NO_SUCH_KEY}",
        "policy 'openai': environment variable NO_SUCH_KEY must hold the API key, got nothing",
    ),
    ("exports=[{name: trl-sfd}]", "unknown exporter 'trl-sfd'; did you mean 'trl-sft'?"),
    ("exports=[{name: trl-sft, colour: red}]", "exporter 'trl-sft' has no option 'colour'"),
]
"""Arguments of the command line on a good recipe, and how the message begins."""


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_text(refused, tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    what, _ = refused("run", "bad.yaml")
    assert what.startswith("bad.yaml" + (message if message[0] in " :" else f": {message}"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("text", "message"), FIELDS)
def test_field(refused, tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(GOOD + text + "\n")
    what, _ = refused("run", "bad.yaml")
    assert what.startswith(f"bad.yaml {message}" if message[0] == "l" else f"bad.yaml: {message}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("override", "message"), OVERRIDES)
def test_override(refused, tmp_path, override, message):
    (tmp_path / "good.yaml").write_text(GOOD)
    what, _ = refused("run", "good.yaml", override)
    assert what.startswith(message)
    assert not (tmp_path / "runs").exists()  # so that a corrected recipe may take the name


ROW = '{"question": "2+2", "answer": "4"}\n'

ROWS = [
    ("", ": must hold at least one task, got none"),
    ("\n", " line 1: line must hold an object, got a blank line"),
    (ROW + "not json\n", " line 2: line must be JSON, got: "),
    (ROW + '{"question": "2+3"\n', " line 2: line must be JSON, got: "),
    (ROW + "[1]\n", " line 2: line must hold an object, got [1]"),
    ("\ufeff" + ROW, " line 1: line must not begin with a byte order mark"),
    (ROW + '{"question": "a", "answer": NaN}\n', " line 2: field 'answer' must be a finite number"),
    (ROW + '{"question": "a", "question": "b"}\n', " line 2: field 'question' is given twice"),
    (ROW + '{"question": "2+3"}\n', " line 2: field 'answer' is missing"),
    (
        ROW + '{"question": 5, "answer": "5"}\n',
        " line 2: field 'question' must be a text or a list",
    ),
    (
        ROW + '{"question": "", "answer": "5"}\n',
        " line 2: field 'question' must be a text or a list",
    ),
    (
        ROW + '{"queston": "a", "answer": "5"}\n',
        " line 2: field 'question' is missing; did you mean",
    ),
    (ROW + '{"question": [{"role": "x"}], "answer": "5"}\n', " line 2: field 'question[0]"),
    (
        ROW + '{"question": "a", "answer": ' + 200 * "[" + 200 * "]" + "}\n",
        " line 2: field 'answer",
    ),
]
"""Data files, and how the message goes on after the name of the file."""


@pytest.mark.parametrize(("rows", "message"), ROWS)
@pytest.mark.parametrize("command", ["run", "preview"])
def test_data_file(refused, tmp_path, rows, message, command):
    (tmp_path / "rows.jsonl").write_text(rows)
    what, _ = refused(
        command, "small.yaml", "environment={name: jsonl, path: rows.jsonl, prompt_key: question}"
    )
    assert what.startswith("rows.jsonl" + message)


def test_recordings_that_are_broken(refused, tmp_path):
    (tmp_path / "said.jsonl").write_text('{"env": "sorting"}\n')
    what, _ = refused("run", "small.yaml", "policy={name: replay, path: said.jsonl}")
    assert what.startswith("said.jsonl line 1: field 'messages' is missing")


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
"""Environments that a recipe names by file, and how the message begins."""


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
"""Overrides that name a class of another kind, and what it must be."""


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


LEARNING = """
import json
from orbiter.records import Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics

class Learning(Backend):
    '''Writes the accuracy that the scripted policy answers with from then on.'''
    name = "learning"
    algorithms = {"sft": Trajectory}
    def check(self, job):
        pass
    def train(self, job):
        checkpoint = job.output_dir / "checkpoint"
        checkpoint.mkdir(parents=True)
        (checkpoint / "scripted.json").write_text(json.dumps({"accuracy": 1.0}))
        return TrainResult(checkpoint=checkpoint, metrics=TrainMetrics(loss=0.5, steps=1))
"""


def test_checkpoint_that_is_gone(orbiter, refused, parts, tmp_path):
    (parts / "learning.py").write_text(LEARNING)
    command = ["run", "elsewhere/recipe.yaml", "model.id=m", "train.backend=learning.py:Learning"]
    said = orbiter(*command, "--no-report")
    assert said.code == 0, said
    (tmp_path / "runs/small/checkpoints/round-1/checkpoint/scripted.json").unlink()
    what, _ = refused(*command, "rounds=2")
    assert what.startswith(
        "checkpoint 'runs/small/checkpoints/round-1/checkpoint' of a scripted policy must hold "
    )


def test_algorithm_that_the_backend_does_not_know(refused, parts):
    (parts / "learning.py").write_text(LEARNING)
    command = ["run", "elsewhere/recipe.yaml", "model.id=m", "train.backend=learning.py:Learning"]
    assert refused(*command, "train.algorithm=sfd")[0] == (
        "algorithm of the backend 'learning' must be one of sft, got 'sfd'; did you mean 'sft'?"
    )


def test_later_parts_are_looked_at_before_the_run_leaves_anything(refused, parts, tmp_path):
    (parts / "learning.py").write_text(LEARNING)
    recipe, learning = "elsewhere/recipe.yaml", "backend: 'learning.py:Learning'"
    teach = f"teach={{{learning}, synthesisers: [{{name: nobody}}]}}"
    assert refused("run", recipe, "model.id=m", teach)[0] == "unknown synthesiser 'nobody'"
    model = "model={name: 'parts.py:make_good', colour: red}"
    what, _ = refused("run", recipe, model, f"train={{{learning}}}")
    assert what.startswith("model 'parts.py:make_good' has no option 'path'")
    assert not (tmp_path / "runs").exists()


def test_model_folder_that_does_not_exist(refused):
    pytest.importorskip("orbiter_trl")
    what, _ = refused("run", "small.yaml", "policy={name: transformers}", "model.id=./no/model")
    assert what == (
        "policy 'transformers': model must be a folder that exists or a hub id, got './no/model'"
    )


WORDS = st.text(
    st.sampled_from("abn019 \n\t-:{}[],&*!|>'\"%@`#?.~\\$éа\ud800\x00\x1b") | st.characters(),
    max_size=60,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [*GOOD.splitlines(), "rounds:", "  - x", "train: {}", "a: &a", "b: *a", "{", "]"]
    ),
    max_size=12,
).map("\n".join)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=60)
    | WORDS.map(lambda t: t.encode(errors="surrogatepass"))
    | FRAGMENTS.map(str.encode)
)
def test_garbage_is_refused_in_one_line(refused, tmp_path, garbage):
    (tmp_path / "bad.yaml").write_bytes(b"rounds: 0\n" + garbage)  # never a recipe that runs
    what, _ = refused("run", "bad.yaml")
    assert "bad.yaml" in what


PATHS = st.sampled_from(
    [
        *(
            "name",
            "seed",
            "rounds",
            "inputs",
            "model",
            "verifier",
            "teach",
            "train",
            "exports",
            "gates",
        ),
        *("environment", "environment.name", "environment.length", "policy", "policy.name"),
        *(
            "policy.environment",
            "policy.stop",
            "curate.rounds",
            "evaluate.share",
            "train.lora.rank",
        ),
        *("model.id", "exports.0", "verifier.name", "generate.samples", "gates.stop_at", "a.b"),
    ]
)
VALUES = WORDS | st.sampled_from(
    ["[]", "{}", "null", "-1", "0", "1e999", "true", "[[]]", "{name: 3}", "{name: x.py:Y}", "[{}]"]
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(PATHS, VALUES).map("=".join) | WORDS, min_size=1, max_size=3))
def test_random_overrides_are_refused_in_one_line(refused, overrides):
    """The last one is always wrong, so that nothing ever runs."""
    arguments = [o for o in overrides if not o.startswith("-")]
    refused("run", "small.yaml", *arguments, "rounds=0")
