import shutil

import attrs
import orjson
import pytest
from orbiter_trl.answering import Answerer
from orbiter_trl.backend import TrlBackend
from safetensors.numpy import load_file

from orbiter.errors import BackendError
from orbiter.generate.policy import Request, Sampling
from orbiter.plugin import registry
from orbiter.records import Message, Verdict
from orbiter.train.config import LoraConfig, TrainConfig


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def metrics_of(job):
    return [
        orjson.loads(line) for line in (job.output_dir / "metrics.jsonl").read_bytes().splitlines()
    ]


def test_the_registry_makes_the_backend():
    backend = registry().create("backend", "trl")
    assert backend.name == "trl"
    assert {record.__name__: name for name, record in backend.algorithms.items()} == {
        "Trajectory": "spin",
        "Pair": "orpo",
        "UnpairedPreference": "prm",
        "Task": "online_dpo",
    }
    assert backend.scoring < backend.algorithms.keys()
    assert not backend.absent.keys() & backend.algorithms.keys()


def test_sft_teaches_a_model_and_leaves_a_whole_checkpoint(job, nano):
    seen = []
    config = TrainConfig(
        max_steps=30, batch_size=16, learning_rate=2e-2, log_every=10, lr_scheduler="cosine"
    )
    # One answer to every prompt is what a model of 3 thousand parameters learns in 30 steps.
    one = job(config=config, count=1, on_metrics=lambda step, metrics: seen.append((step, metrics)))
    result = TrlBackend().train(one)

    assert result.checkpoint == one.output_dir / "checkpoint"
    assert sorted(f.name for f in result.checkpoint.iterdir()) == [
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert sorted(f.name for f in one.output_dir.iterdir()) == [
        "checkpoint",
        "job.json",
        "metrics.jsonl",
        "result.json",
    ]
    answerer = Answerer.open(str(result.checkpoint))
    (answer,) = answerer.answer(
        [Request(messages=(Message("user", "copy 00:"),))],
        Sampling(temperature=0, max_new_tokens=5),
    )
    assert (answer.messages[0].text, answer.finish_reason) == ("00", "stop")

    logged = metrics_of(one)
    assert [row["step"] for row in logged] == [10, 20, 30] == [step for step, _ in seen]
    assert [row["loss"] for row in logged] == [metrics["loss"] for _, metrics in seen]
    assert logged[0]["loss"] > logged[-1]["loss"] == result.metrics.loss
    assert {"learning_rate", "token_count", "mean_token_accuracy"} <= logged[0].keys()
    assert (result.metrics.steps, result.metrics.accuracy, result.alarms) == (30, 1.0, ())
    # Two digits and the end, one row a step.
    assert result.token_count == 30 * 3
    assert result.seconds > 0


def test_the_same_job_gives_the_same_weights_and_another_seed_others(job):
    first = TrlBackend().train(job("first"))
    again = TrlBackend().train(job("again"))
    other = TrlBackend().train(
        job("other", config=TrainConfig(max_steps=6, batch_size=4, learning_rate=3e-3, seed=2))
    )
    assert weights(first.checkpoint) == weights(again.checkpoint)
    assert weights(first.checkpoint) != weights(other.checkpoint)


def test_accumulated_batches_are_one_large_batch(job):
    whole = TrlBackend().train(
        job("whole", config=TrainConfig(max_steps=3, batch_size=8, learning_rate=3e-3))
    )
    parts = TrlBackend().train(
        job(
            "parts",
            config=TrainConfig(
                max_steps=3, batch_size=2, gradient_accumulation=4, learning_rate=3e-3
            ),
        )
    )
    assert parts.token_count == whole.token_count == 3 * 8 * 3
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (parts, whole))
    for name, tensor in ours.items():
        assert tensor == pytest.approx(theirs[name], abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"gradient_checkpointing": True}])
def test_epochs_pass_over_every_row(job, changes):
    one = job(count=10, config=TrainConfig(epochs=2, batch_size=4, log_every=4, **changes))
    result = TrlBackend().train(one)
    assert result.token_count == 2 * 10 * 3
    assert result.metrics.steps == 2 * 3
    # The last step is logged, whatever log_every is.
    assert [row["step"] for row in metrics_of(one)] == [4, 6]


def test_a_finished_job_is_not_trained_again(job):
    first = TrlBackend().train(job())
    logged = []
    again = TrlBackend().train(job(on_metrics=lambda *_: logged.append(1)))
    assert again == first
    assert logged == []


class Crash(Exception):
    pass


def crash_at(step):
    def on_metrics(at, _):
        if at == step:
            raise Crash

    return on_metrics


@pytest.mark.parametrize(
    ("crash_step", "lora"), [(2, None), (6, None), (7, None), (7, LoraConfig(rank=2, dropout=0.5))]
)
def test_a_crashed_run_goes_on_and_ends_in_the_same_weights(job, crash_step, lora):
    config = TrainConfig(
        max_steps=8,
        batch_size=4,
        learning_rate=3e-3,
        log_every=1,
        save_every=3,
        lr_scheduler="cosine",
        warmup_steps=2,
        lora=lora,
    )
    straight = job("straight", config=config)
    expected = TrlBackend().train(straight)
    crashed = job("crashed", config=config, on_metrics=crash_at(crash_step))
    with pytest.raises(Crash):
        TrlBackend().train(crashed)
    assert not (crashed.output_dir / "checkpoint").exists()
    steps = []
    result = TrlBackend().train(
        job("crashed", config=config, on_metrics=lambda step, _: steps.append(step))
    )
    assert steps[0] == {2: 1, 6: 4, 7: 7}[crash_step]
    assert weights(result.checkpoint) == weights(expected.checkpoint)
    assert result.token_count == expected.token_count
    assert result.metrics == expected.metrics
    assert metrics_of(crashed) == metrics_of(straight)


def test_a_resumable_checkpoint_counts_only_when_it_is_complete(job):
    config = TrainConfig(max_steps=8, batch_size=4, learning_rate=3e-3, log_every=1, save_every=3)
    crashed = job(config=config, on_metrics=crash_at(7))
    with pytest.raises(Crash):
        TrlBackend().train(crashed)
    (crashed.output_dir / "resume" / "checkpoint-6" / "complete").unlink()
    steps = []
    TrlBackend().train(job(config=config, on_metrics=lambda step, _: steps.append(step)))
    assert steps == [4, 5, 6, 7, 8]


def test_a_folder_of_another_job_is_refused(job, rows, write):
    TrlBackend().train(job())
    with pytest.raises(
        BackendError,
        match=r"output_dir must be new or hold the same job, got .*, whose job differs in config, data",
    ):
        TrlBackend().train(job(count=41, config=TrainConfig(max_steps=7)))


def test_a_model_that_was_moved_is_the_same_and_one_that_was_changed_is_another(
    job, nano, tmp_path
):
    model = tmp_path / "model"
    shutil.copytree(nano, model)
    first = TrlBackend().train(job(model=str(model)))
    model.rename(tmp_path / "moved")
    assert TrlBackend().train(job(model=str(tmp_path / "moved"))).token_count == first.token_count
    (tmp_path / "moved" / "generation_config.json").write_text('{"eos_token_id": 1}')
    with pytest.raises(BackendError, match="whose job differs in model"):
        TrlBackend().train(job(model=str(tmp_path / "moved")))


@pytest.mark.parametrize("eval_every", [None, 2])
def test_the_model_that_is_kept_is_the_one_that_is_evaluated(job, rows, write, eval_every):
    config = TrainConfig(max_steps=3, batch_size=4, learning_rate=3e-3, eval_every=eval_every)
    one = job(eval_data=write(rows(8), "eval.jsonl"), config=config)
    result = TrlBackend().train(one)
    measured = {row["step"]: row["eval_loss"] for row in metrics_of(one) if "eval_loss" in row}
    assert list(measured) == ([3] if eval_every is None else [2, 3])
    assert result.metrics.extra["eval_loss"] == measured[3]


def test_rows_that_fill_no_batch_are_an_error(job):
    with pytest.raises(BackendError, match="training must make a step, and made none"):
        TrlBackend().train(
            job(
                config=TrainConfig(max_steps=2, batch_size=99),
                options={"dataloader_drop_last": True},
            )
        )


def test_a_saved_lora_answers_as_the_live_one(nano, tmp_path):
    import torch
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    live = get_peft_model(
        AutoModelForCausalLM.from_pretrained(nano),
        PeftConfig(r=2, target_modules="all-linear", init_lora_weights=False),
    )
    ids = torch.arange(7, 20)[None]
    with torch.no_grad():
        expected = live(input_ids=ids).logits
        live.merge_and_unload().save_pretrained(tmp_path)
        found = AutoModelForCausalLM.from_pretrained(tmp_path)(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-5)


def test_evaluation_is_logged(job, rows, write):
    one = job(
        eval_data=write(rows(8), "eval.jsonl"),
        config=TrainConfig(max_steps=4, batch_size=4, eval_every=2),
    )
    result = TrlBackend().train(one)
    evaluated = [row for row in metrics_of(one) if "eval_loss" in row]
    assert [row["step"] for row in evaluated] == [2, 4]
    assert result.metrics.extra["eval_loss"] == evaluated[-1]["eval_loss"]
    assert result.token_count == 4 * 4 * 3


def test_what_looks_wrong_is_in_the_result_and_in_the_log(job, caplog):
    result = TrlBackend().train(job(config=TrainConfig(max_steps=1, max_length=13)))
    assert result.alarms == ("40 of 40 rows are longer than max_length=13 and were cut",)
    assert [r.message for r in caplog.records if r.name == "orbiter.train.trl"] == list(
        result.alarms
    )


def test_a_loss_that_is_no_number_stops_the_run_without_a_checkpoint(job):
    one = job(
        config=TrainConfig(
            max_steps=6, batch_size=4, learning_rate=1e38, log_every=1, max_grad_norm=1e38
        )
    )
    with pytest.raises(BackendError, match="loss must stay finite, got nan at step"):
        TrlBackend().train(one)
    assert not (one.output_dir / "checkpoint").exists()
    assert not list(one.output_dir.glob(".checkpoint*"))


def test_nothing_is_written_to_stdout(job, capsys):
    TrlBackend().train(job(config=TrainConfig(max_steps=2, log_every=1, save_every=1)))
    assert capsys.readouterr().out == ""


def test_packed_rows_train(job):
    result = TrlBackend().train(
        job(
            config=TrainConfig(max_steps=2, batch_size=1, max_length=60),
            options={"packing": True, "packing_strategy": "wrapped"},
        )
    )
    assert result.token_count > 2 * 3


def test_rows_that_did_not_pass_are_an_alarm(job, rows, write):
    passed, failed, invalid, unjudged = rows(4)
    data = write(
        [
            attrs.evolve(passed, verdict=Verdict.passed()),
            attrs.evolve(failed, score=0.0, verdict=Verdict.failed("wrong")),
            attrs.evolve(invalid, score=None, verdict=Verdict.invalid("timeout")),
            unjudged,
        ]
    )
    result = TrlBackend().train(job(data=data, config=TrainConfig(max_steps=1, batch_size=2)))
    assert result.alarms == ("2 of 4 rows failed or could not be judged, and are imitated",)
