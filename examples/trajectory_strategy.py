"""Write a trajectory strategy: keep the decisions that were scored, with the reward spread back over the episode."""

import tempfile
from pathlib import Path

import attrs

from orbiter.records import Message, Trajectory
from orbiter.testing import check_strategy
from orbiter.train import TrajectoryDataset, TrajectoryItem, TrajectoryStrategy


class Discounted(TrajectoryStrategy):
    """Keeps scored decisions, and scales the reward by how far the decision stands from the end.

    Args:
        discount: Factor per step, in (0, 1].
    """

    def __init__(self, *, discount: float = 0.9) -> None:
        self.discount = discount

    def should_capture(self, item: TrajectoryItem) -> bool:
        return item.reward is not None  # nobody scored it: unknown is not 0

    def process(self, item: TrajectoryItem) -> TrajectoryItem:
        steps_left = item.metadata.get("steps_left", 0)
        return attrs.evolve(item, reward=item.reward * self.discount**steps_left)


def episode(name: str, turns: int, score: float | None) -> list[TrajectoryItem]:
    messages = [Message("user", f"task {name}")]
    for turn in range(turns):
        messages += [Message("assistant", f"step {turn}"), Message("user", "go on")]
    row = Trajectory(tuple(messages[:-1]), env="walk", task_id=f"walk:{name}", score=score)
    items = list(row.steps())
    # Only the last turn has a reward of its own; give each the score of the episode and its distance to the end.
    return [
        attrs.evolve(item, reward=score, metadata={**item.metadata, "steps_left": turns - 1 - n})
        for n, item in enumerate(items)
    ]


dataset = TrajectoryDataset(strategy=Discounted(discount=0.5))
shown = [*episode("a", 3, 1.0), *episode("b", 2, 0.5), *episode("c", 4, None)]
kept = dataset.extend(shown)
print(f"kept {kept} of {len(shown)} decisions; those of the unscored episode are left out")
for item in dataset.items:
    print(f"{item.metadata['task_id']}  step {item.metadata['step']}  reward {item.reward:.3f}")

with tempfile.TemporaryDirectory() as folder:
    for file, read in (("steps.json", "from_json"), ("steps.csv", "from_csv")):
        path = Path(folder) / file
        getattr(dataset, f"export_{path.suffix[1:]}")(path)
        same = getattr(TrajectoryDataset, read)(path) == dataset
        print(f"{file} read back is the same: {same}")

check_strategy(Discounted)
print("Discounted keeps the contract of a trajectory strategy")
