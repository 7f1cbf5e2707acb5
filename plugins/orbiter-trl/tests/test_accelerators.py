"""What runs on accelerators alone, as far as it can be told without one: arguments as composed, refusals, and the merging of adapters."""

import importlib.util

import pytest
import torch
from orbiter_trl.backend import TrlBackend
from orbiter_trl.loading import from_where, load
from orbiter_trl.quantising import check_quantising, merged_into_whole, quantised
from orbiter_trl.rollouts import check_vllm
from orbiter_trl.settings import trl_arguments
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import AutoTokenizer

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.config import LoraConfig, TrainConfig

QLORA = TrainConfig(max_steps=1, batch_size=4, lora=LoraConfig(rank=2, bits=4))
SAMPLING = ["grpo", "rloo", "online_dpo"]


@pytest.fixture
def machine(monkeypatch):
    """Make this machine look as if it had a CUDA device, and libraries, or not."""
    find = importlib.util.find_spec

    def make(*, cuda, **libraries):
        monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *_: cuda)

        def find_spec(name, *more):
            if name in libraries:
                return find("json") if libraries[name] else None
            return find(name, *more)

        monkeypatch.setattr("importlib.util.find_spec", find_spec)

    return make


def test_quantised_weights_are_refused_where_they_cannot_be_had(any_job, machine):
    machine(cuda=False)
    with pytest.raises(
        ConfigError, match=r"lora\.bits must be None on a machine without a CUDA"
    ) as caught:
        TrlBackend().check(any_job("dpo", config=QLORA))
    assert "adapters on unquantised weights train on any machine" in caught.value.hint
    machine(cuda=True, bitsandbytes=False)
    with pytest.raises(MissingPluginError, match=r"lora\.bits=4 needs bitsandbytes") as caught:
        check_quantising(QLORA.lora)
    assert caught.value.hint == "pip install bitsandbytes"
    machine(cuda=True, bitsandbytes=True)
    check_quantising(QLORA.lora)


@pytest.mark.parametrize("bits", [3, 0, True, "4"])
def test_only_widths_that_there_are_can_be_asked_for(bits):
    with pytest.raises(ConfigError, match="bits must be 4, 8 or None"):
        LoraConfig(bits=bits)


def test_the_weights_are_quantised_as_in_qlora():
    assert quantised(None) == quantised(LoraConfig()) == {}
    four = quantised(LoraConfig(bits=4))
    how = four["quantization_config"]
    assert (how.load_in_4bit, how.bnb_4bit_quant_type, how.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert how.bnb_4bit_compute_dtype == four["dtype"] == torch.bfloat16
    assert quantised(LoraConfig(bits=8))["quantization_config"].load_in_8bit
    for bits in (4, 8):  # a head that is new is trained whole
        scoring = quantised(LoraConfig(bits=bits), scoring=True)["quantization_config"]
        assert "score" in scoring.llm_int8_skip_modules


@pytest.mark.parametrize("algorithm", ["sft", "reward", "prm"])
def test_adapters_are_merged_into_the_weights_that_were_rounded(any_job, algorithm):
    """The whole model is read again; for weights that were not rounded that is what merging in place gives."""
    job = any_job(algorithm)
    model, tokenizer = load(job), AutoTokenizer.from_pretrained(job.model)
    kinds = {"sft": "CAUSAL_LM", "reward": "SEQ_CLS", "prm": "TOKEN_CLS"}
    torch.manual_seed(0)
    adapted = get_peft_model(
        model,
        PeftConfig(
            r=2,
            target_modules=["q_proj", "v_proj"],
            init_lora_weights=False,
            task_type=kinds[algorithm],
        ),
    ).eval()
    ids = tokenizer("copy 12:", return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        whole = merged_into_whole(adapted, **from_where(job)).eval()
        found = whole(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not hasattr(whole.config, "quantization_config")
    assert not any("lora" in name for name in whole.state_dict())


@pytest.mark.parametrize("algorithm", SAMPLING)
def test_vllm_is_refused_where_it_cannot_run(any_job, machine, algorithm):
    job = any_job(algorithm, options={"use_vllm": True})
    machine(cuda=False)
    with pytest.raises(
        ConfigError, match="use_vllm must be left out on a machine without a CUDA"
    ) as caught:
        TrlBackend().check(job)
    assert "transformers samples the answers" in caught.value.hint
    machine(cuda=True, vllm=False)
    with pytest.raises(
        MissingPluginError, match="use_vllm needs vLLM, which is not installed"
    ) as caught:
        check_vllm(job)
    assert caught.value.hint == "pip install 'trl[vllm]'"
    machine(cuda=True, vllm=True)
    check_vllm(job)
    with pytest.raises(ConfigError, match="vllm_mode must be one of colocate, server, got 'coloc'"):
        check_vllm(any_job(algorithm, options={"use_vllm": True, "vllm_mode": "coloc"}))


@pytest.mark.parametrize("algorithm", SAMPLING)
def test_options_of_vllm_are_refused_without_it(any_job, algorithm):
    job = any_job(algorithm, options={"vllm_mode": "server"})
    with pytest.raises(ConfigError, match="option 'vllm_mode' must be left out without use_vllm"):
        TrlBackend().check(job)


@pytest.mark.parametrize("algorithm", SAMPLING)
@pytest.mark.parametrize(
    "options",
    [
        {"vllm_mode": "server", "vllm_server_base_url": "http://rollouts:8000"},
        {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.4},
    ],
    ids=["server", "colocate"],
)
def test_options_of_vllm_reach_trl(any_job, algorithm, options):
    job = any_job(algorithm, options={"use_vllm": True, "use_cpu": True, **options})
    args = TrlBackend()._part(algorithm).make_arguments(job, job.output_dir)
    assert args.use_vllm
    assert {name: getattr(args, name) for name in options} == options


@pytest.mark.parametrize(
    ("precision", "cuda", "options", "bf16", "use_cpu"),
    [
        ("auto", True, {}, True, False),
        ("fp32", True, {}, False, False),
        ("bf16", True, {}, True, False),
        ("auto", True, {"use_cpu": True}, False, True),
        ("auto", False, {}, False, True),
        ("bf16", False, {}, True, True),
    ],
)
def test_the_device_decides_what_the_config_leaves_open(
    machine, tmp_path, precision, cuda, options, bf16, use_cpu
):
    machine(cuda=cuda)
    config = TrainConfig(precision=precision)
    found = trl_arguments(config, options, folder=tmp_path, evaluate=False)
    assert (found["bf16"], found["use_cpu"]) == (bf16, use_cpu)
    assert found["dataloader_pin_memory"] == (not use_cpu)
    assert not found["fp16"]
