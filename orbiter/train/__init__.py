"""Who learns; and the public surface of training: every name below imports from here, wherever it lives.

A name is imported when it is first used, so that ``import orbiter.train`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbiter.lazy import homes, lazy_names

if TYPE_CHECKING:
    # isort: off
    from orbiter.flywheel.evolution import (
        EvolutionConfig as EvolutionConfig,
        EvolutionPhase as EvolutionPhase,
        EvolutionPipeline as EvolutionPipeline,
        EvolutionResult as EvolutionResult,
        EvolutionStrategy as EvolutionStrategy,
    )
    from orbiter.generate.augment import (
        augment_add_noise as augment_add_noise,
        augment_swap_io as augment_swap_io,
        deduplicate as deduplicate,
        filter_by_score as filter_by_score,
        split_dataset as split_dataset,
    )
    from orbiter.generate.pipeline import (
        SynthesisConfig as SynthesisConfig,
        SynthesisPipeline as SynthesisPipeline,
        SynthesisResult as SynthesisResult,
    )
    from orbiter.generate.synthesiser import DataSynthesiser as DataSynthesiser
    from orbiter.generate.templates import TemplateSynthesiser as TemplateSynthesiser
    from orbiter.records import TrajectoryItem as TrajectoryItem
    from orbiter.train.backend import (
        Backend as Backend,
        Finding as Finding,
        TrainJob as TrainJob,
        TrainResult as TrainResult,
    )
    from orbiter.train.comparisons import Comparisons as Comparisons
    from orbiter.train.config import (
        LoraConfig as LoraConfig,
        TrainConfig as TrainConfig,
        TrainMetrics as TrainMetrics,
    )
    from orbiter.train.dataset import (
        DefaultStrategy as DefaultStrategy,
        TrajectoryDataset as TrajectoryDataset,
        TrajectoryStrategy as TrajectoryStrategy,
    )
    from orbiter.train.lifecycle import TrainerState as TrainerState
    from orbiter.train.model_trainer import ModelTrainer as ModelTrainer
    from orbiter.train.rewards import (
        Rewards as Rewards,
        RewardSpec as RewardSpec,
        combine_rewards as combine_rewards,
    )
    from orbiter.train.trainer import Trainer as Trainer, TrainerResult as TrainerResult
    from orbiter.train.verl import (
        VeRLAlgorithm as VeRLAlgorithm,
        VeRLConfig as VeRLConfig,
        VeRLTrainer as VeRLTrainer,
    )
    # isort: on

HOMES = homes(
    {
        "orbiter.flywheel.evolution": "EvolutionConfig EvolutionPhase EvolutionPipeline EvolutionResult EvolutionStrategy",
        "orbiter.generate.augment": "augment_add_noise augment_swap_io deduplicate filter_by_score split_dataset",
        "orbiter.generate.pipeline": "SynthesisConfig SynthesisPipeline SynthesisResult",
        "orbiter.generate.synthesiser": "DataSynthesiser",
        "orbiter.generate.templates": "TemplateSynthesiser",
        "orbiter.records": "TrajectoryItem",
        "orbiter.train.backend": "Backend Finding TrainJob TrainResult",
        "orbiter.train.comparisons": "Comparisons",
        "orbiter.train.config": "LoraConfig TrainConfig TrainMetrics",
        "orbiter.train.dataset": "DefaultStrategy TrajectoryDataset TrajectoryStrategy",
        "orbiter.train.lifecycle": "TrainerState",
        "orbiter.train.model_trainer": "ModelTrainer",
        "orbiter.train.rewards": "Rewards RewardSpec combine_rewards",
        "orbiter.train.trainer": "Trainer TrainerResult",
        "orbiter.train.verl": "VeRLAlgorithm VeRLConfig VeRLTrainer",
    }
)

__all__ = sorted(HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, HOMES)
