"""The configuration that verl gets, composed from its own files."""

import attrs
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from orbiter_verl.composing import OWN, _literal, compose
from orbiter_verl.driver import FOLDER, decide, forks
from orbiter_verl.keys import Files, Request
from orbiter_verl.settings import read_settings

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.config import LoraConfig, TrainConfig

FILES = Files(
    train="/d/train.parquet",
    eval=None,
    tasks={"train": "/d/it's ${here}.jsonl"},
    checkpoints="/d/resume",
    resume_from=None,
    samples="/d/samples",
    rewards="/d/rewards.pkl",
    rewards_digest="ab12",
)


def made(algorithm="grpo", *, config=None, row_count=64, files=None, **options):
    options = {"device": "cpu", "rollout": "transformers"} | options
    return compose(
        Request(
            algorithm=algorithm,
            model="some/model",
            config=config or TrainConfig(batch_size=4, seed=7),
            settings=read_settings(algorithm, options),
            row_count=row_count,
            files=files,
        )
    )


def test_grpo_on_a_cpu():
    config = made(config=TrainConfig(batch_size=4, seed=7, learning_rate=3e-4, warmup_steps=2, weight_decay=0.1, max_grad_norm=0.5, adam_beta2=0.95), group_size=6, clip_range=0.3, kl_coef=0.02)  # fmt: skip
    actor, rollout, model = (
        config.actor_rollout_ref[name] for name in ("actor", "rollout", "model")
    )
    assert (config.algorithm.adv_estimator, config.algorithm.use_kl_in_reward) == ("grpo", False)
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.kl_loss_type) == (True, 0.02, "low_var_kl")
    assert [actor[f"clip_ratio{end}"] for end in ("", "_low", "_high")] == [0.3] * 3
    assert (config.data.train_batch_size, rollout.n, actor.ppo_mini_batch_size) == (4, 6, 4)
    assert actor.ppo_micro_batch_size_per_gpu == 24
    assert (actor.strategy, config.actor_rollout_ref.ref.strategy) == ("fsdp2", "fsdp2")
    assert (actor.optim.lr, actor.optim.lr_warmup_steps, actor.optim.weight_decay) == (3e-4, 2, 0.1)
    assert (list(actor.optim.betas), actor.optim.clip_grad, actor.grad_clip) == (
        [0.9, 0.95],
        0.5,
        0.5,
    )
    assert actor.optim.lr_scheduler_type == "constant"
    assert (model.path, model.use_remove_padding) == ("some/model", False)
    assert model.override_config.attn_implementation == "sdpa"
    assert actor.fsdp_config.mixed_precision.param_dtype == "fp32"
    assert (actor.fsdp_config.dtype, rollout.dtype) == ("float32", "float32")
    assert (rollout.name, rollout.tensor_model_parallel_size) == ("transformers", 1)
    assert {config.data.seed, rollout.seed, actor.data_loader_seed, actor.fsdp_config.seed} == {7}
    assert (config.trainer.total_training_steps, config.trainer.total_epochs) == (16, 1)
    assert (config.trainer.device, config.trainer.n_gpus_per_node) == ("cpu", 1)
    assert config.ray_kwargs.ray_init.num_gpus == 1
    assert config.trainer.resume_mode == "disable"
    assert config.trainer.v1.sampler.sampler_kwargs.compares_groups is True


def test_ppo_has_a_critic_and_a_kl_penalty_per_token():
    config = made(
        "ppo", kl_coef=0.2, kl_target=0.05, kl_horizon=500, gae_lambda=0.9, discount=0.99, value_clip=0.3, critic_learning_rate=2e-3, group_size=1,
    )  # fmt: skip
    algorithm, critic = config.algorithm, config.critic
    assert (algorithm.adv_estimator, algorithm.use_kl_in_reward) == ("gae", True)
    assert (algorithm.gamma, algorithm.lam) == (0.99, 0.9)
    assert (algorithm.kl_ctrl.type, algorithm.kl_ctrl.kl_coef) == ("adaptive", 0.2)
    assert (algorithm.kl_ctrl.target_kl, algorithm.kl_ctrl.horizon) == (0.05, 500)
    assert config.actor_rollout_ref.actor.use_kl_loss is False
    assert (critic.model.path, critic.optim.lr, critic.cliprange_value) == ("some/model", 2e-3, 0.3)
    assert (critic.strategy, critic.fsdp.seed) == ("fsdp2", 7)
    assert config.trainer.v1.sampler.sampler_kwargs.compares_groups is False
    assert made("ppo").critic.optim.lr == TrainConfig().learning_rate
    assert made("ppo").algorithm.kl_ctrl.type == "fixed"


@pytest.mark.parametrize("algorithm", ["ppo", "grpo"])
def test_without_a_kl_weight_there_is_no_reference_model(algorithm):
    config = made(algorithm, kl_coef=0)
    assert not config.algorithm.use_kl_in_reward
    assert not config.actor_rollout_ref.actor.use_kl_loss


def test_gpus_and_nodes():
    config = made(
        config=TrainConfig(batch_size=2, gradient_accumulation=3),
        device="cuda", devices=4, nodes=2, rollout="vllm", tensor_parallel=2, strategy="fsdp2", ray_address="auto", group_size=5, reward_workers=3,
    )  # fmt: skip
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    assert (rollout.name, rollout.tensor_model_parallel_size, rollout.dtype) == (
        "vllm",
        2,
        "bfloat16",
    )
    assert rollout.free_cache_engine is True
    assert (config.trainer.n_gpus_per_node, config.trainer.nnodes, config.trainer.device) == (
        4,
        2,
        "cuda",
    )
    # batch_size * gradient_accumulation * devices * nodes prompts, of 5 answers each, batch_size of them at a time on a device.
    assert (config.data.train_batch_size, actor.ppo_micro_batch_size_per_gpu) == (48, 10)
    assert config.ray_kwargs.ray_init.address == "auto"
    assert not {"num_gpus", "include_dashboard"} & set(config.ray_kwargs.ray_init)
    assert config.ray_kwargs.ray_init.num_cpus is None
    assert "mixed_precision" not in actor.fsdp_config
    assert actor.fsdp_config.dtype == "bfloat16"
    assert config.reward.num_workers == 3
    assert rollout.agent.default_agent_loop == "single_turn_agent"


@pytest.mark.parametrize("rollout", ["vllm", "sglang", "transformers"])
def test_every_rollout_on_a_gpu(rollout):
    config = made(device="cuda", rollout=rollout)
    assert config.actor_rollout_ref.rollout.name == rollout
    assert config.ray_kwargs.ray_init.address == "local"


def test_megatron():
    config = made("ppo", device="cuda", rollout="vllm", strategy="megatron")
    assert config.model_engine == "megatron"
    assert config.actor_rollout_ref.actor.strategy == config.critic.strategy == "megatron"
    assert "fsdp_config" not in config.actor_rollout_ref.actor
    assert config.actor_rollout_ref.actor.optim.lr_decay_style == "constant"
    assert config.actor_rollout_ref.actor.megatron.seed == config.critic.megatron.seed == 7


def test_precision_lora_and_schedule():
    config = made(
        config=TrainConfig(batch_size=4, precision="fp32", lr_scheduler="cosine", gradient_checkpointing=True, lora=LoraConfig(rank=4, alpha=8, target_modules=("q_proj", "v_proj"))),
        device="cuda",
    )  # fmt: skip
    model = config.actor_rollout_ref.model
    assert (model.lora_rank, model.lora_alpha, list(model.target_modules)) == (
        4,
        8,
        ["q_proj", "v_proj"],
    )
    assert model.lora.merge is True
    assert model.enable_gradient_checkpointing is True
    assert config.actor_rollout_ref.actor.fsdp_config.dtype == "float32"
    assert config.actor_rollout_ref.actor.optim.lr_scheduler_type == "cosine"


@pytest.mark.parametrize(
    ("config", "row_count", "steps", "epochs"),
    [
        (TrainConfig(batch_size=4), 64, 16, 1),
        (TrainConfig(batch_size=4, epochs=2.5), 64, 40, 3),
        (TrainConfig(batch_size=4), 67, 16, 1),  # verl drops the last, incomplete batch
        (TrainConfig(batch_size=4, max_steps=50), 64, 50, 4),
        (TrainConfig(batch_size=4, epochs=0.01), 64, 1, 1),
        (TrainConfig(batch_size=4), None, None, 30),
    ],
)
def test_steps(config, row_count, steps, epochs):
    trainer = made(config=config, row_count=row_count).trainer
    assert (trainer.total_training_steps, trainer.total_epochs) == (steps, epochs)


def test_evaluation_and_checkpoints():
    files = attrs.evolve(FILES, eval="/d/eval.parquet", tasks={"train": "a", "eval": "b"})
    config = TrainConfig(batch_size=4, eval_every=5, save_every=3)
    trainer = made(config=config, files=files).trainer
    assert (trainer.test_freq, trainer.save_freq, trainer.val_before_train) == (5, 3, False)
    # With nothing said, both happen at the last step.
    last = made(files=files).trainer
    assert last.test_freq == last.save_freq > 10**6
    assert made(files=FILES).trainer.test_freq == -1


def test_files():
    config = made(files=FILES)
    assert (config.data.train_files, config.data.val_files) == ("/d/train.parquet",) * 2
    assert config.orbiter.tasks.train == "/d/it's ${here}.jsonl"
    assert (config.orbiter.rewards_digest, config.orbiter.samples) == ("ab12", "/d/samples")
    assert config.reward.reward_manager.name == "OrbiterRewardManager"
    assert config.trainer.default_local_dir == "/d/resume"
    resumed = made(files=attrs.evolve(FILES, resume_from="/d/resume/global_step_4")).trainer
    assert (resumed.resume_mode, resumed.resume_from_path) == (
        "resume_path",
        "/d/resume/global_step_4",
    )


def test_overrides_win_over_what_the_job_says():
    config = made(
        overrides=["actor_rollout_ref.actor.clip_ratio_high=0.28", "+my.own=3", "~data.image_key", "algorithm.norm_adv_by_std_in_grpo=false"],
    )  # fmt: skip
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.28
    assert config.actor_rollout_ref.actor.clip_ratio_low == 0.2
    assert (config.my.own, "image_key" in config.data) == (3, False)
    assert config.algorithm.norm_adv_by_std_in_grpo is False


def test_what_the_replay_buffer_is_told_follows_the_overrides():
    config = made(overrides=["algorithm.filter_groups.enable=true"])
    told = config.trainer.v1.sampler.sampler_kwargs
    assert (told.filter_groups.enable, told.train_batch_size) == (True, 4)
    assert made().trainer.v1.sampler.sampler_kwargs.filter_groups.enable is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("actor_rollout_ref.actor.clip_ration=1", "unknown setting of verl 'actor_rollout_ref.actor.clip_ration'; did you mean 'actor_rollout_ref.actor.clip_ratio'?"),
        ("algorithm.gama=1", "unknown setting of verl 'algorithm.gama'; did you mean 'algorithm.gamma'?"),
        ("nothing.like.it=1", "unknown setting of verl 'nothing.like.it'"),
        ("~data.imag_key", "unknown setting of verl 'data.imag_key'; did you mean 'data.image_key'?"),
        ("gamma", "override 'gamma' cannot be used: Error parsing override 'gamma' missing EQUAL"),
        ("data.shuffle={a", "override 'data.shuffle={a' cannot be used: no viable alternative at input '{a'"),
        ("data.shuffle=${data.no_such}", "override 'data.shuffle=${data.no_such}' cannot be used: Interpolation key 'data.no_such' not found"),
        ("--config-name=x", "an override must look like 'key=value', got '--config-name=x'"),
        ("", "an override must look like 'key=value', got ''"),
    ],
)  # fmt: skip
def test_an_override_that_is_wrong_is_named(override, message):
    with pytest.raises(ConfigError) as caught:
        made(overrides=["algorithm.gamma=0.9", override])
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("form", ["{}=1", "+{}=1", "++{}.more=1", "~{}"])
def test_what_follows_from_the_job_is_left_to_the_backend(own, form):
    with pytest.raises(ConfigError, match="must be left to the backend"):
        made(overrides=[form.format(own)])


@pytest.mark.parametrize(
    "override",
    ["trainer={total_training_steps:9}", "+reward={reward_manager:{name:naive}}", "++trainer.v1={sampler:{}}", "data={}", "~trainer.v1"],
)  # fmt: skip
def test_nor_is_it_reached_through_what_holds_it(override):
    with pytest.raises(ConfigError, match="which must be left to the backend") as caught:
        made(overrides=[override])
    assert "one by one" in caught.value.hint


@given(st.text(alphabet="a\\'${}=,: \n"))
def test_a_text_reaches_verl_as_it_is(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={_literal(text)}"])
    config = OmegaConf.create({"key": None})
    OmegaConf.update(config, "key", override.value())
    assert config.key == text


def test_composing_leaves_nothing_behind(capfd):
    first = made()
    with pytest.raises(ConfigError):
        made(overrides=["algorithm.gama=1"])
    assert made() == first
    assert capfd.readouterr() == ("", "")


class TestDeciding:
    def test_without_a_gpu(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.driver.has_gpu", lambda: False)
        decided = decide(read_settings("grpo", {}))
        assert (decided.device, decided.rollout) == ("cpu", "transformers")

    @pytest.mark.parametrize(("installed", "rollout"), [(True, "vllm"), (False, "transformers")])
    def test_with_one(self, monkeypatch, installed, rollout):
        monkeypatch.setattr("orbiter_verl.driver.has_gpu", lambda: True)
        monkeypatch.setattr("orbiter_verl.driver.is_installed", lambda name: installed)
        decided = decide(read_settings("grpo", {}))
        assert (decided.device, decided.rollout) == ("cuda", rollout)

    def test_what_does_not_go_together_is_seen_once_it_is_decided(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.driver.has_gpu", lambda: False)
        with pytest.raises(ConfigError, match="strategy must be fsdp2 on a CPU, got 'megatron'"):
            decide(read_settings("grpo", {"strategy": "megatron"}))

    def test_a_rollout_that_is_not_installed(self):
        with pytest.raises(MissingPluginError, match="rollout 'sglang' is not installed in"):
            decide(read_settings("grpo", {"device": "cuda", "rollout": "sglang"}))

    @pytest.mark.parametrize("value", ["", "-1"])
    def test_gpus_that_are_hidden_are_none(self, monkeypatch, value):
        from orbiter_verl.driver import has_gpu

        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert not has_gpu()


@pytest.mark.parametrize(
    ("options", "folder", "expected"),
    [
        ({}, "/c", True),
        ({"overrides": ["+ray_kwargs.ray_init.runtime_env.env_vars={A:b}"]}, "/c", False),
        ({"device": "cuda"}, "/c", False),
        ({"ray_address": "auto"}, None, False),
    ],
)
def test_workers_are_forks_of_the_driver_where_nothing_tells_them_apart(
    monkeypatch, options, folder, expected
):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv(FOLDER, raising=False)
    if folder:
        monkeypatch.setenv(FOLDER, folder)
    assert forks(made(**options)) is expected
