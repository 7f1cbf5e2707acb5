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
    (
        "policy.temprature=1",
        "policy 'scripted' has no option 'temprature'; did you mean 'temperature'?",
    ),
    (
        "verifier=exact",
        "override 'verifier': field 'verifier' must be an object, got 'exact'",
    ),
    ("round.s=3", "override 'round.s': field 'round' is unknown; did you mean 'rounds'?"),
    ("verify.pool.size=3", "override 'verify.pool.size': field 'verify.pool' is unknown"),
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


def test_name_where_a_section_must_stand_is_shown_as_one(refused, tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    assert refused("run", "good.yaml", "verifier=exact")[1] == "write {name: 'exact'}"


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
