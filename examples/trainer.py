"""Write a trainer: a model of next characters that is counted, not descended to, in the lifecycle that every trainer has."""

import asyncio
import math
from collections import Counter, defaultdict

from orbiter import hookimpl
from orbiter.plugin import plugin_manager
from orbiter.tasks import TaskStream
from orbiter.tasks.sorting import Sorting
from orbiter.testing import check_trainer
from orbiter.train import TrainConfig, Trainer, TrainMetrics


class BigramModel:
    """Probabilities of the next character given the present one, with one imagined count of each."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)

    def loss(self, texts: list[str]) -> float:
        """Mean negative log-likelihood, in nats per character."""
        pairs = [pair for text in texts for pair in zip(" " + text, text)]
        return -math.fsum(math.log(self.probability(a, b)) for a, b in pairs) / len(pairs)

    def probability(self, a: str, b: str) -> float:
        seen = self.counts[a]
        return (seen[b] + 1) / (seen.total() + len(self.alphabet))


class BigramTrainer(Trainer):
    """Counts the pairs of characters in the first nine tenths of the texts, and evaluates on the rest."""

    async def check_agent(self) -> bool:
        return isinstance(self.agent, BigramModel)

    async def check_dataset(self) -> bool:
        return len(self.dataset) >= 10

    async def check_reward(self) -> bool:
        return True  # nothing is rewarded here

    async def check_config(self) -> bool:
        return self.config.epochs == 1  # counting twice teaches nothing

    async def train(self) -> TrainMetrics:
        texts = self.dataset[: len(self.dataset) * 9 // 10]
        for text in texts:
            for a, b in zip(" " + text, text):
                self.agent.counts[a][b] += 1
        return TrainMetrics(loss=self.agent.loss(texts), steps=len(texts))

    async def evaluate(self) -> TrainMetrics:
        return TrainMetrics(loss=self.agent.loss(self.dataset[len(self.dataset) * 9 // 10 :]))


class Watcher:
    """Prints every change of state: plugins watch a trainer in just this way."""

    @hookimpl
    def orbiter_on_state(self, event) -> None:
        print(
            f"{event.subject}: {event.old} -> {event.new}{f' ({event.cause})' if event.cause else ''}"
        )


def sorted_digits(count: int) -> list[str]:
    environment = Sorting(length=8)
    return [environment.demonstrate(task) for task in TaskStream(environment, seed=0).take(count)]


texts = sorted_digits(2000)
model = BigramModel("0123456789")
print(f"before: {model.loss(texts):.3f} nats per character, which is log 10")
watcher = Watcher()
plugin_manager().register(watcher)
result = asyncio.run(BigramTrainer(model, texts, config=TrainConfig(epochs=1)).run())
plugin_manager().unregister(watcher)
print(f"after:  {result.eval_metrics.loss:.3f} on texts that it has not seen")

check_trainer(lambda: BigramTrainer(BigramModel("0123456789"), sorted_digits(20)))
print("BigramTrainer keeps the contract of a trainer")
