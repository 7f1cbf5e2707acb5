import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orbiter_trl.nano import ARCHITECTURES, PRINTABLE, make_nano_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from orbiter.errors import ConfigError


def files_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_model_loads_back_and_is_the_same_for_the_same_arguments(tmp_path, arch):
    first = make_nano_model(tmp_path / "first", arch=arch, hidden_size=16, layers=1, heads=2)
    again = make_nano_model(tmp_path / "again", arch=arch, hidden_size=16, layers=1, heads=2)
    other = make_nano_model(
        tmp_path / "other", arch=arch, hidden_size=16, layers=1, heads=2, seed=1
    )

    assert files_of(first) == files_of(again)
    assert files_of(first)["model.safetensors"] != files_of(other)["model.safetensors"]
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(first),
        AutoTokenizer.from_pretrained(first),
    )
    assert model.config.model_type == arch
    assert model.config.vocab_size == len(tokenizer) == 7 + len(PRINTABLE)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    # A tokenizer class that transformers swaps in would lose the space or the newline.
    assert tokenizer.decode(tokenizer(PRINTABLE)["input_ids"]) == PRINTABLE


@pytest.fixture(scope="module")
def tokenizer(nano):
    return AutoTokenizer.from_pretrained(nano)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet="0123456789copy: ", max_size=40))
def test_a_text_is_one_token_per_character_and_comes_back(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_the_loss_mask_covers_what_the_assistant_says_and_its_end(tokenizer):
    chat = [
        {"role": "developer", "content": "copy"},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "23"},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "5"},
    ]
    out = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    spoken = [token for token, bit in zip(out["input_ids"], out["assistant_masks"]) if bit]
    assert tokenizer.decode(out["input_ids"]) == (
        "<|system|>copy<|end|><|user|>1<|end|><|assistant|>23<|end|><|tool|>4<|end|><|assistant|>5<|end|>"
    )
    assert tokenizer.decode(spoken) == "23<|end|>5<|end|>"


def test_a_folder_of_the_same_arguments_is_kept(nano):
    before = (nano / "model.safetensors").stat()
    again = make_nano_model(
        nano, hidden_size=16, layers=1, heads=2, chars="0123456789copy: ", max_length=64
    )
    assert again == nano
    assert (nano / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns


def test_a_folder_of_other_arguments_is_refused(nano):
    with pytest.raises(
        ConfigError, match="path must be new or a nano model of the same arguments, got"
    ):
        make_nano_model(nano, hidden_size=32)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("orbiter_trl.nano._make_model", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        make_nano_model(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arch": "lama"}, "arch must be one of llama, qwen3, got 'lama'; did you mean 'llama'?"),
        ({"hidden_size": 20}, "hidden_size must be a multiple of 2 * heads = 8, got 20"),
        ({"layers": 0}, "layers must be >= 1, got 0"),
        ({"heads": 0}, "heads must be >= 1, got 0"),
        ({"max_length": 0}, "max_length must be >= 1, got 0"),
        ({"chars": ""}, "chars must hold at least one character, got none"),
        ({"chars": ["a", "bc"]}, "chars must be single characters, got 'bc'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ConfigError) as caught:
        make_nano_model(tmp_path / "model", **arguments)
    assert str(caught.value).splitlines()[0] == message
    assert list(tmp_path.iterdir()) == []
