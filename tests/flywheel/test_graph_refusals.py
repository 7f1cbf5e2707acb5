"""Graphs of stages that cannot be walked: said where they are read, or before anything is made."""

import pytest

from orbiter.errors import OrbiterError, RecordError


@pytest.fixture
def wheel(staged):
    return staged


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("  a: {model: b, generate: {}}\n  b: {generate: {}}\n", "'stages.a.model' must be one of base, teach, got 'b'"),
        ("  a: {train: {start: teech}}\n", "'stages.a.train.start' must be one of previous, base, teach, got 'teech'; did you mean 'teach'?"),
        ("  a: {generate: {}, data: [b]}\n", "'stages.a.data' must be one of teach, a, a .jsonl file, got 'b'"),
        ("  a: {generate: {}}\n  b: {model: a, generate: {}}\n", "'stages.b.model' must be one of base, teach, got 'a'"),
        ("  a: {generate: {}}\n  b: {train: {start: a}}\n", "'stages.b.train.start' must be one of previous, base, teach, got 'a'"),
        ("  a: {generate: {}, data: [teach]}\n", "'stages.a.data' must not be given without a section train"),
        ("  a: {generate: {}, rewards: [{name: task}]}\n", "'stages.a.rewards' must not be given without a section train"),
        ("  a: {data: [teach, teach], train: {}}\n", "'stages.a.data' must name a dataset once, got 'teach' twice"),
        ("  a: {data: {teach: 0}, train: {}}\n", "'stages.a.data.teach' must be above 0, got 0"),
        ("  a: {curate: {}}\n", "'stages.a' must have a section generate, synthesise, demonstrate or train"),
        ("  a: {train: {}, verifier: {name: exact}}\n", "'stages.a.verifier' must not be given without a section generate"),
        ("  teach: {generate: {}}\n", "'stages.teach' must be named with letters"),
        ("  a: {generate: {}, rounds: 2}\nrounds: 3\n", "'rounds' must be left out or 2, the sum of the stages' rounds, got 3"),
        ("  a: {generate: {hint: nothing}}\n", "'stages.a.generate.hint' must have {answer} in it"),
        ("  a: {generat: {}}\n", "'stages.a.generat' is unknown; did you mean 'generate'?"),
        ("  a: [generate]\n", "'stages.a' must be a mapping of fields, got ['generate']"),
        ("  a: {train: {algorithm: grpo}, gates: {min_yield: 0.1}}\n", "'stages.a.gates.min_yield' must not be given without a section generate, which it bounds"),
        ("  a: {generate: {}, gates: {max_kl: 1}}\n", "'stages.a.gates.max_kl' must not be given without a section train, which it bounds"),
        ("  a: {demonstrate: {count: 3}}\ngates: {min_yield: 0.1}\n", "set gates: {min_yield: null} in the stage"),
        ("  a: {generate: {}, gates: {max_length_ratio: 1}}\n", "'stages.a.gates.max_length_ratio' must be above 1, got 1"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_be_walked_is_refused_where_it_is_read(wheel, stages, message):
    with pytest.raises(RecordError) as error:
        wheel(stages)
    assert message in str(error.value)
    assert "recipe.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("  a: {demonstrate: {count: 3}}\n  b: {data: [a], train: {algorithm: dpo}}\n", "stages.b.data names the stage 'a', which makes no Pair for 'dpo'"),
        ("  a: {train: {algorithm: grpo}}\n  b: {data: [a], train: {algorithm: sft}}\n", "which makes no Trajectory for 'sft'\n  name a stage with a section generate, synthesise or demonstrate"),
        ("  a: {generate: {}, train: {algorithm: reward}}\n  b: {model: a, generate: {}}\n", "stages.b.model must be a model that answers, and that of the stage 'a' scores"),
        ("  a: {generate: {}, train: {algorithm: reward}}\n  b: {generate: {}, train: {algorithm: dpo, start: a}}\n", "stages.b.train.start must be a model that answers"),
        ("  a: {train: {algorithm: grpo}, data: [teach]}\n", "stages.a.data must be empty for 'grpo', which samples for itself"),
        ("  a: {generate: {}, train: {algorithm: sft}, rewards: [{name: task}]}\n", "stages.a.rewards are for algorithms that sample"),
        ("  a: {train: {algorithm: grpo}, rewards: [{name: a}]}\n", "rewards of stage 'a' must name an earlier stage whose model scores, got 'a'"),
        ("  a: {generate: {}, curate: {keep: none}, train: {algorithm: dpo}}\n", "stages.a.curate.keep must be 'survivors' for 'dpo'"),
        ("  a: {generate: {}, data: {a: 1}, curate: {capacity: 9}, train: {algorithm: dpo}}\n", "stages.a.curate.capacity keeps the newest pairs, whatever shares"),
        ("  a: {train: {algorithm: dpo}}\n", "stages.a must have something to train on, got nothing for 'dpo'"),
        ("  a: {data: [none.jsonl], train: {algorithm: dpo}}\n", "stages.a.data names the file 'none.jsonl', which does not exist"),
        ("  a: {train: {algorithm: ppo}}\n", "must be one of sft, grpo, dpo, kto, reward, got 'ppo'"),
        ("  a: {generate: {}, gates: {max_fpr: 0.1}}\n", "stages.a.gates.max_fpr needs an audit of the verifier"),
        ("  a: {generate: {}, verifier: {name: exact}, gates: {max_fpr: 0.1}}\n", "stages.a.gates.max_fpr bounds the errors of the run's verifier"),
        ("  a: {train: {algorithm: sft}, gates: {max_kl: 1}}\n", "stages.a.gates.max_kl needs a policy that tells log-probabilities"),
        ("  a: {generate: {}, train: {algorithm: reward}, gates: {max_kl: 1}}\n", "stages.a.gates.max_kl bounds how far a model that answers moves, and that of 'reward' scores"),
        ("  a: {generate: {}, revise: {constitution: none.yaml}}\n", "none.yaml' cannot be read"),
        ("  a: {train: {algorithm: grpo}, rewards: [{name: lenght}]}\n", "unknown verifier 'lenght'"),
    ],
)  # fmt: skip
def test_a_graph_whose_parts_do_not_fit_leaves_nothing_behind(wheel, stages, message):
    made = wheel(stages)
    with pytest.raises(OrbiterError) as error:
        made.run()
    assert message in str(error.value)
    assert not made.path.exists()
