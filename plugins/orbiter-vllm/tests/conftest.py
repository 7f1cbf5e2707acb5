"""A model folder whose tokenizer and template are real, and a module in the place of vLLM.

The module is for what the policy makes of requests and answers: it decodes nothing. It takes what the interface of vLLM 0.33.0
takes (``vllm_interface.json``, read out of that version's source) and refuses any other argument. An answer is a function of the prompt's
tokens, and of the seed where the temperature is not 0.
"""

import json
import os
import random
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from orbiter_trl.nano import make_nano_model
from orbiter_vllm import process
from transformers import AutoTokenizer

INTERFACE = json.loads((Path(__file__).parent / "vllm_interface.json").read_text())


def known(what, names):
    unknown = set(names) - set(INTERFACE[what])
    if unknown:
        raise TypeError(f"{what} has no {sorted(unknown)}")


class VLLMClientError(Exception):
    pass


class SamplingParams(SimpleNamespace):
    def __init__(self, **given):
        known("SamplingParams", given)
        super().__init__(**given)


class LoRARequest(SimpleNamespace):
    def __init__(self, lora_name, lora_int_id, lora_path):
        super().__init__(lora_name=lora_name, lora_int_id=lora_int_id, lora_path=lora_path)


class LLMEngine:
    """Gives each request a token a step, all of them at once."""

    def __init__(self, vllm, tokenizer, max_model_len):
        self.vllm, self.tokenizer = vllm, tokenizer
        self.model_config = SimpleNamespace(max_model_len=max_model_len, get_vocab_size=lambda: 23)
        self.engine_core = SimpleNamespace(shutdown=lambda: vllm.log.append("shutdown"))
        self.running = {}

    def reset_prefix_cache(self):
        assert not self.running
        self.vllm.log.append("reset")

    def has_unfinished_requests(self):
        return bool(self.running)

    def add_request(self, request_id, prompt, params, lora_request=None):
        assert prompt["type"] == "token"
        assert params.output_kind == "final"
        if prompt["prompt_token_ids"][1:3] == [19, 18]:  # "c:"
            raise VLLMClientError("a token that cannot be")
        self.vllm.added.append((prompt["prompt_token_ids"], params, lora_request))
        self.running[request_id] = (prompt["prompt_token_ids"], params, [])

    def abort_request(self, request_ids):
        self.vllm.log.append(("abort", len(request_ids)))
        for name in request_ids:
            del self.running[name]

    def step(self):
        self.vllm.on_step()
        outputs = []
        for name, (ids, params, tokens) in list(self.running.items()):
            seed = params.seed if params.temperature else None
            rng = random.Random(f"{ids} {seed} {len(tokens)}")
            tokens.append(rng.choice([1, *range(7, 22)]))
            outputs += self.finished(name, params, tokens)
        return outputs

    def finished(self, name, params, tokens):
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        stop = next((s for s in params.stop or () if s in text), None)
        if stop is not None:
            text, reason = text[: text.index(stop)], "stop"
        elif tokens[-1] == 1:
            reason = "stop"
        elif len(tokens) >= params.max_tokens:
            reason = "length"
        else:
            return []
        del self.running[name]
        logprobs = None
        if params.logprobs is not None:
            logprobs = [
                {t: SimpleNamespace(logprob=-t / 2, decoded_token=self.tokenizer.decode([t]))}
                for t in tokens
            ]
        output = SimpleNamespace(
            text=text,
            token_ids=tuple(tokens),
            finish_reason=self.vllm.reasons.pop(0) if self.vllm.reasons else reason,
            stop_reason=stop,
            logprobs=logprobs,
        )
        return [SimpleNamespace(request_id=name, finished=True, outputs=[output])]


def install(monkeypatch):
    """Put the module where vLLM would be, and return it with what happened to it."""
    vllm = ModuleType("vllm")
    vllm.__spec__ = ModuleSpec("vllm", None)
    vllm.log, vllm.added, vllm.made, vllm.reasons = [], [], [], []
    vllm.on_step = lambda: None

    class LLM:
        def __init__(self, **given):
            known("EngineArgs", given)
            if not Path(given["model"]).is_dir():
                raise RuntimeError("no such model")
            vllm.made.append(given)
            tokenizer = AutoTokenizer.from_pretrained(given["model"])
            self.llm_engine = LLMEngine(vllm, tokenizer, given.get("max_model_len") or 64)

        def sleep(self, level):
            vllm.log.append(("sleep", level))

        def wake_up(self):
            vllm.log.append("wake")

    def submodule(name, **content):
        module = ModuleType(f"vllm.{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, f"vllm.{name}", module)
        return module

    vllm.LLM, vllm.SamplingParams = LLM, SamplingParams
    submodule("exceptions", VLLMClientError=VLLMClientError)
    submodule("sampling_params", RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"))
    submodule("inputs", tokens_input=lambda ids: {"type": "token", "prompt_token_ids": ids})
    vllm.platform = SimpleNamespace(
        device_type="cuda", is_cpu=lambda: False, is_sleep_mode_available=lambda: True
    )
    submodule("platforms", current_platform=vllm.platform)
    submodule("lora")
    submodule("lora.request", LoRARequest=LoRARequest)
    submodule("distributed", cleanup_dist_env_and_memory=lambda: vllm.log.append("freed"))
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setattr(process, "RUNNING", set())
    return vllm


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_nano_model(
        tmp_path_factory.mktemp("models") / "nano",
        hidden_size=64,
        layers=1,
        heads=2,
        chars="0123456789copy: ",
    )


@pytest.fixture
def vllm(monkeypatch):
    for name, value in process.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return install(monkeypatch)


@pytest.fixture
def adapter(tmp_path):
    """Make a folder that says it holds adapters of a rank."""

    def make(rank, name="adapter"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
        return folder

    return make
