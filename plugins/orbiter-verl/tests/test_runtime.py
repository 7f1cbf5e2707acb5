"""What runs inside verl's processes, without a cluster: the reward manager, the replay buffer, the rollout and its draws."""

import asyncio
import json
import math
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # verl's and Ray's own, at import
    import verl.trainer.main_ppo
    import verl.trainer.ppo.v1  # noqa: F401

from omegaconf import OmegaConf
from orbiter_verl.rewards import seal_rewards
from orbiter_verl.runtime import sampler
from orbiter_verl.runtime.drawing import Drawing, uniforms
from orbiter_verl.runtime.rewarding import OrbiterRewardManager, Unscored
from orbiter_verl.runtime.rollout import Server
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl import DataProto
from verl.plugin.platform import get_platform
from verl.workers.config import HFModelConfig

from orbiter.train.rewards import RewardSpec


def test_the_platform_is_the_cpu():
    assert get_platform().device_name == "cpu"
    assert get_platform().communication_backend_name() == "gloo"


class TestRewarding:
    @pytest.fixture
    def manager(self, nano, tasks, write, tmp_path):
        def make(*specs):
            sealed = seal_rewards(specs, tmp_path / "rewards.pkl")
            found = {"train": str(write(tasks(4))), "eval": str(write(tasks(2), "eval.jsonl"))}
            mine = {"rewards": sealed.path, "rewards_digest": sealed.digest, "tasks": found, "samples": str(tmp_path / "samples")}  # fmt: skip
            config = OmegaConf.create({"orbiter": mine})
            return OrbiterRewardManager(config, AutoTokenizer.from_pretrained(nano))

        return make

    @staticmethod
    def asked(manager, output, *, index=0, split="train", step=3, uid="u"):
        ids = manager.tokenizer(output, add_special_tokens=False)["input_ids"]
        responses = torch.tensor([ids + [manager.tokenizer.pad_token_id] * 2])
        mask = torch.tensor([[1, 1] + [1] * len(ids) + [0, 0]])
        about = {"extra_info": {"index": index, "split": split}, "global_steps": step, "uid": uid}
        return DataProto(
            batch=TensorDict({"responses": responses, "attention_mask": mask}, batch_size=1),
            non_tensor_batch={key: np.array([value], dtype=object) for key, value in about.items()},
        )

    @staticmethod
    def rows(tmp_path):
        return [
            json.loads(line)
            for file in (tmp_path / "samples").iterdir()
            for line in file.read_text().splitlines()
        ]

    async def test_an_answer_is_scored_with_its_task(self, manager, tmp_path):
        right = RewardSpec(name="right", weight=2.0, fn=lambda output, task: output == task.answer)
        found = manager(right, RewardSpec(name="len", fn=len))
        assert await found.run_single(self.asked(found, "b", index=1)) == {
            "reward_score": 3.0,
            "reward_extra_info": {},
        }
        row = self.rows(tmp_path)[0]
        assert (row["task_id"], row["output"], row["score"], row["step"]) == ("toy:1", "b", 3.0, 3)
        assert (row["rewards"], row["token_count"], row["reason"]) == (
            {"right": 1.0, "len": 1.0},
            1,
            None,
        )

    async def test_an_answer_without_a_score_fails_and_is_noted(self, manager, tmp_path):
        found = manager(RewardSpec(name="r", fn=lambda output: None if "b" in output else 1.0))
        results = await asyncio.gather(
            *(found.run_single(self.asked(found, output)) for output in ("a", "b", "a")),
            return_exceptions=True,
        )
        assert [isinstance(result, Unscored) for result in results] == [False, True, False]
        assert str(results[1]) == "r: returned None"
        assert Counter(row["score"] for row in self.rows(tmp_path)) == {1.0: 2, None: 1}

    async def test_a_reward_that_raises_is_told_once_with_its_traceback(self, manager, tmp_path):
        def broken(output):
            raise ValueError("boom")

        found = manager(RewardSpec(name="r", fn=broken))
        for _ in range(2):
            with pytest.raises(Unscored, match="r: raised ValueError"):
                await found.run_single(self.asked(found, "a"))
        first, second = (row["traceback"] for row in self.rows(tmp_path))
        assert "reward 'r':" in first
        assert "ValueError: boom" in first
        assert second is None

    async def test_one_that_is_no_longer_waited_for_holds_no_other_up(self, manager):
        found = manager(RewardSpec(name="len", fn=len))
        asked = [asyncio.create_task(found.run_single(self.asked(found, "a"))) for _ in range(2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        async with asyncio.timeout(10):
            assert (await asked[1])["reward_score"] == 1.0

    async def test_answers_that_come_together_are_scored_together_and_by_one_thread(self, manager):
        busy, calls = [0], []

        def slow(output):
            assert busy[0] == 0
            busy[0] += 1
            calls.append(output)
            busy[0] -= 1
            return 1.0

        found = manager(RewardSpec(name="r", fn=slow))
        answers = [found.run_single(self.asked(found, "a" * (n + 1))) for n in range(6)]
        assert all(answer["reward_score"] == 1.0 for answer in await asyncio.gather(*answers))

    async def test_evaluation_has_tasks_of_its_own(self, manager, tmp_path):
        found = manager(RewardSpec(name="r", fn=len))
        await found.run_single(self.asked(found, "a", split="eval", index=1))
        assert (self.rows(tmp_path)[0]["split"], self.rows(tmp_path)[0]["task_id"]) == (
            "eval",
            "toy:1",
        )


class Store:
    """Stands for TransferQueue: keys with their tags, and the prompts that are asked for again."""

    def __init__(self, groups):
        self.tags, self.cleared, self.refills = {}, [], 0
        self.fill(groups)

    def fill(self, groups):
        for uid, (status, keys) in groups.items():
            self.tags[uid] = {"is_prompt": True, "status": status, "global_steps": 1}
            self.tags |= {f"{uid}_{key}_0": {"status": "success"} for key in keys}

    def kv_list(self):
        return {"train": dict(self.tags)}

    def kv_clear(self, *, partition_id, keys):
        self.cleared += keys
        for key in keys:
            self.tags.pop(key, None)

    def kv_batch_get(self, *, keys, partition_id, select_fields):
        if select_fields == ["rm_scores"]:
            return {
                "rm_scores": [
                    torch.tensor([0.0, float(key.split("_")[1] == "0" and key[1] != "5")])
                    for key in keys
                ]
            }
        assert select_fields == ["index"]
        return {"index": [int(key.split("_")[0].removeprefix("u")) for key in keys]}


class TestReplayBuffer:
    def sample(self, monkeypatch, groups, *, compares_groups=True, refill=None, filtering=None):
        filtering = filtering or {"enable": False}
        store = Store(groups)
        for module in (sampler, sampler.ReplayBuffer.__module__):
            name = module if isinstance(module, str) else module.__name__
            monkeypatch.setattr(f"{name}.tq", store)

        def again(count):
            store.refills += 1
            store.fill(refill or groups)

        buffer = sampler.ScoredReplayBuffer(
            trainer_mode="sync", trainer_config={}, max_off_policy_threshold=8, max_off_policy_strategy="drop", refill_fn=again,
            sampler_kwargs={"compares_groups": compares_groups, "poll_interval_s": 0.01, "filter_groups": filtering, "train_batch_size": len(groups)},
        )  # fmt: skip
        return buffer.sample(1, "train", len(groups))[0], store

    def test_the_order_is_that_of_the_rows_whenever_they_came(self, monkeypatch):
        batch, _ = self.sample(
            monkeypatch, {"u2": ("finished", [1, 0]), "u0": ("finished", [10, 9])}
        )
        assert batch.keys == ["u0_9_0", "u0_10_0", "u2_0_0", "u2_1_0"]

    def test_a_lone_survivor_of_a_group_is_left_out(self, monkeypatch):
        groups = {"u0": ("failure", [1]), "u1": ("failure", [0, 2]), "u2": ("failure", [])}
        batch, store = self.sample(monkeypatch, groups)
        assert batch.keys == ["u1_0_0", "u1_2_0"]
        assert "u0_1_0" in store.cleared

    def test_with_a_critic_it_is_kept(self, monkeypatch):
        groups = {"u0": ("failure", [1]), "u1": ("failure", [0, 2])}
        batch, _ = self.sample(monkeypatch, groups, compares_groups=False)
        assert batch.keys == ["u0_1_0", "u1_0_0", "u1_2_0"]

    @pytest.mark.parametrize("groups", [{"u0": ("failure", [])}, {"u0": ("failure", [3])}])
    def test_a_step_without_a_score_takes_other_prompts(self, monkeypatch, groups):
        batch, store = self.sample(monkeypatch, groups, refill={"u7": ("finished", [0, 1])})
        assert (batch.keys, store.refills) == (["u7_0_0", "u7_1_0"], 1)

    def test_and_gives_up_in_the_end(self, monkeypatch):
        with pytest.raises(RuntimeError, match="no answer could be scored"):
            self.sample(monkeypatch, {"u0": ("failure", [])})

    def test_groups_without_variance_are_filtered_where_verl_is_told_to(self, monkeypatch):
        groups = {"u5": ("finished", [0, 1])}
        told = {"enable": True, "metric": "reward", "max_inflight_gen_batches": 1}
        batch, store = self.sample(
            monkeypatch, groups, filtering=told, refill={"u7": ("finished", [0, 1])}
        )
        assert batch.keys == ["u7_0_0", "u7_1_0"]
        assert store.refills == 1

    def test_tags_follow_their_keys(self, monkeypatch):
        batch, _ = self.sample(monkeypatch, {"u0": ("failure", [1]), "u1": ("finished", [1, 0])})
        assert isinstance(batch, KVBatchMeta)
        assert len(batch.tags) == len(batch.keys) == 2


class TestDrawing:
    @staticmethod
    def draw(logits, numbers, **more):
        how = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "width": 1} | more
        drawing = Drawing(numbers[:, None], **how)
        chosen = drawing(torch.zeros(len(numbers), 1), logits.expand(len(numbers), -1)).argmax(-1)
        return chosen, drawing.logps[0]

    def test_draws_follow_the_distribution(self):
        logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
        numbers = (torch.arange(10_000) + 0.5) / 10_000
        chosen, logps = self.draw(logits, numbers, temperature=0.7)
        expected = (logits / 0.7).softmax(-1)
        shares = torch.bincount(chosen, minlength=4) / 10_000
        assert torch.allclose(shares, expected, atol=2e-4)
        assert torch.allclose(logps, expected.log()[chosen], atol=1e-6)

    def test_top_k_and_top_p(self):
        logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
        numbers = (torch.arange(1000) + 0.5) / 1000
        assert set(self.draw(logits, numbers, top_k=2)[0].tolist()) == {1, 3}
        assert set(self.draw(logits, numbers, top_p=0.6)[0].tolist()) == {3}
        assert set(self.draw(logits, numbers, top_p=0.7)[0].tolist()) == {1, 3}

    def test_temperature_0_is_the_likeliest(self):
        assert self.draw(
            torch.tensor([0.0, 3.0, 1.0]), torch.tensor([0.01, 0.99]), temperature=0.0
        )[0].tolist() == [1, 1]

    @pytest.mark.parametrize("number", [0.0, math.nextafter(1.0, 0.0)])
    def test_the_ends_of_the_interval(self, number):
        logits = torch.tensor([-torch.inf, 0.0, 1.0, -torch.inf])
        assert self.draw(logits, torch.tensor([number]))[0].item() in (1, 2)

    def test_numbers_depend_on_the_key_alone(self):
        assert torch.equal(uniforms((1, "a"), 5), uniforms((1, "a"), 9)[:5])
        assert not torch.equal(uniforms((1, "a"), 5), uniforms((1, "b"), 5))


class TestServer:
    @pytest.fixture
    async def server(self, nano):
        found = self.started(nano)
        await found.start()
        return found

    @staticmethod
    def started(nano, **more):
        rollout = {"_target_": "verl.workers.config.RolloutConfig", "name": "transformers", "dtype": "float32", "seed": 3, "prompt_length": 16, "response_length": 8, "max_num_seqs": 4, **more}  # fmt: skip
        return Server(
            OmegaConf.create(rollout),
            HFModelConfig(path=str(nano), override_config={"attn_implementation": "sdpa"}),
            rank=0,
            device="cpu",
        )

    @staticmethod
    async def load(server, nano, version):
        weights = AutoModelForCausalLM.from_pretrained(nano).state_dict()
        await server.load_weights(weights)
        await server.finish_weights(version)

    @staticmethod
    async def ask(server, prompt=(7, 8), sample=(0, 0), **more):
        params = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "sample": sample, **more}
        return await server.generate(list(prompt), params)

    async def test_an_answer_depends_on_its_sample_and_the_weights_alone(self, server, nano):
        await self.load(server, nano, 1)
        alone = (await self.ask(server, sample=(2, 1))).token_ids
        await self.load(server, nano, 1)
        asked = [self.ask(server, prompt=range(7, 9 + n), sample=(n, 0)) for n in range(6)]
        *_, among = await asyncio.gather(*asked, self.ask(server, sample=(2, 1)))
        assert among.token_ids == alone
        await self.load(server, nano, 2)
        assert (await self.ask(server, sample=(2, 1))).token_ids != alone
        assert among.extra_fields == {"global_steps": 1}

    async def test_samples_differ_also_if_nobody_says_which_they_are(self, server, nano):
        await self.load(server, nano, 1)
        named = await asyncio.gather(*(self.ask(server, sample=(0, n)) for n in range(4)))
        params = {"temperature": 1.0}
        plain = await asyncio.gather(*(server.generate([7, 8], params) for _ in range(4)))
        for answers in (named, plain):
            assert len({tuple(answer.token_ids) for answer in answers}) > 1

    async def test_log_probabilities_are_the_models(self, server, nano):
        await self.load(server, nano, 1)
        answer = await self.ask(server)
        model = AutoModelForCausalLM.from_pretrained(nano)
        ids = torch.tensor([[7, 8, *answer.token_ids]])
        with torch.no_grad():
            logps = model(ids).logits[0, 1:-1].log_softmax(-1)
        expected = logps.gather(-1, ids[0, 2:, None]).squeeze(-1)
        assert torch.tensor(answer.log_probs) == pytest.approx(expected.numpy(), abs=1e-5)
        assert len(answer.token_ids) <= 8
        ended = answer.token_ids[-1] == AutoTokenizer.from_pretrained(nano).eos_token_id
        assert answer.stop_reason == ("completed" if ended else "length")

    async def test_greedy_answers_are_alike(self, server, nano):
        await self.load(server, nano, 1)
        answers = await asyncio.gather(
            *(self.ask(server, sample=(0, n), temperature=0) for n in range(3))
        )
        assert len({tuple(answer.token_ids) for answer in answers}) == 1

    async def test_every_end_token_that_the_model_came_with_ends_an_answer(self, nano, tmp_path):
        folder = shutil.copytree(nano, tmp_path / "model")
        settings = json.loads((folder / "generation_config.json").read_text())
        ends = list(range(AutoModelForCausalLM.from_pretrained(nano).config.vocab_size))
        settings["eos_token_id"] = ends  # config.json names one of them
        (folder / "generation_config.json").write_text(json.dumps(settings))
        server = self.started(folder)
        await server.start()
        await self.load(server, nano, 1)
        answer = await self.ask(server)
        assert (len(answer.token_ids), answer.stop_reason) == (1, "completed")

    async def test_weights_that_are_missing_or_unknown_are_an_error(self, server, nano):
        with pytest.raises(RuntimeError, match="weights never came"):
            await server.finish_weights(1)
        with pytest.raises(KeyError, match="rollout model has no weight 'x'"):
            await server.load_weights({"x": torch.zeros(1)})

    async def test_who_waits_no_longer_holds_nobody_up(self, server, nano):
        await self.load(server, nano, 1)
        asked = [asyncio.create_task(self.ask(server, sample=(n, 0))) for n in range(2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        async with asyncio.timeout(30):
            assert (await asked[1]).token_ids
            assert (await self.ask(server)).token_ids

    async def test_an_error_reaches_those_who_wait(self, server, nano):
        await self.load(server, nano, 1)
        with pytest.raises(IndexError):
            await self.ask(server, prompt=(10**6,))
        assert (await self.ask(server)).token_ids
