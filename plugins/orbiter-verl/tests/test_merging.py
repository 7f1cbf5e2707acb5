import pytest
import torch
from orbiter_verl.merging import merge_adapters
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from orbiter.errors import BackendError
from orbiter.train.config import LoraConfig


@pytest.fixture(params=[False, True], ids=["", "bias"])
def saved(nano, tmp_path, request):
    """Return a folder as verl leaves it: a config, a tokenizer, and weights named as peft names them; and the model.

    Its layers have biases too, as those of Qwen2.5 have, or none.
    """
    config = AutoConfig.from_pretrained(nano, attention_bias=request.param)
    model = get_peft_model(
        AutoModelForCausalLM.from_config(config),
        PeftConfig(r=2, lora_alpha=6, target_modules="all-linear"),
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name or "bias" in name:
            torch.nn.init.normal_(weight)
    folder = tmp_path / "huggingface"
    AutoTokenizer.from_pretrained(nano).save_pretrained(folder)
    model.config.save_pretrained(folder)
    weights = {
        name: value.clone() for name, value in model.state_dict().items() if "lm_head" not in name
    }
    save_file(weights, folder / "model.safetensors")
    return folder, model


def test_the_merged_model_says_what_the_adapted_one_says(saved, tmp_path):
    folder, model = saved
    draft = tmp_path / "draft"
    draft.mkdir()
    merge_adapters(folder, draft, LoraConfig(rank=2, alpha=6))
    merged = AutoModelForCausalLM.from_pretrained(draft)
    ids = torch.tensor([[7, 8, 9]])
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, model(ids).logits, atol=1e-5)
        assert not torch.allclose(
            merged(ids).logits, model.get_base_model()(ids).logits * 0 + 1, atol=1e-5
        )
    assert AutoTokenizer.from_pretrained(draft).chat_template
    assert not [file for file in draft.iterdir() if "adapter" in file.name]


def test_weights_of_another_model_are_refused(saved, tmp_path):
    folder, model = saved
    weights = {
        name.replace("lora_B", "lora_C"): value.clone()
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(BackendError, match="must hold the adapters of"):
        merge_adapters(folder, tmp_path, LoraConfig(rank=2, alpha=6))
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(BackendError, match="must hold the weights of its model, got others"):
        merge_adapters(folder, tmp_path, LoraConfig(rank=2, alpha=6))
