"""Write a synthesiser, put it behind a template in a pipeline, and see that every item is accounted for."""

import asyncio
from collections.abc import Sequence

from orbiter.tasks import item_stream
from orbiter.testing import check_synthesiser
from orbiter.train import DataSynthesiser, SynthesisConfig, SynthesisPipeline, TemplateSynthesiser

QUESTIONS = TemplateSynthesiser(
    templates=["{who} has {a} {what} and finds {b} more. How many {what} does {who} have now?"],
    variables={
        "who": ["Ada", "Emmy", "Sofya"],
        "what": ["apples", "books", "coins"],
        "a": list(range(2, 12)),
        "b": list(range(2, 12)),
    },
)


class WorkedAnswers(DataSynthesiser):
    """Turns each question into rows with a worked answer; a share of the answers is unfinished, and scored so.

    Args:
        unfinished_rate: Share of answers that stop before the result.
        seed: Selects which ones.
    """

    def __init__(self, *, unfinished_rate: float = 0.2, seed: int = 0) -> None:
        self.unfinished_rate, self.seed = unfinished_rate, seed

    async def synthesise(self, source: Sequence[str], config: SynthesisConfig) -> list[dict]:
        return [self._row(index, question) for index, question in enumerate(source)]

    def _row(self, index: int, question: str) -> dict:
        a, b = (int(word) for word in question.split() if word.isdigit())
        finished = item_stream("worked", self.seed, index).random() >= self.unfinished_rate
        answer = f"{a} and {b} make {a + b}.\n#### {a + b}" if finished else f"{a} and {b} make"
        return {"prompt": question, "completion": answer, "score": 1.0 if finished else 0.3}


class Questions(DataSynthesiser):
    """Fills the template as often as the pipeline wants items, and some more for those that fall away."""

    async def synthesise(self, source: Sequence[str], config: SynthesisConfig) -> list[str]:
        return [*source, *await QUESTIONS.generate(2 * config.target_size)]


config = SynthesisConfig(target_size=100, min_score=0.7, dedup_threshold=0.8)
pipeline = SynthesisPipeline(config=config).add_step(Questions()).add_step(WorkedAnswers())
result = asyncio.run(pipeline.run())
print(
    f"generated {result.generated_count} = kept {len(result.items)} + below the bar {result.filtered_count} "
    f"+ near-duplicates {result.duplicate_count} + beyond the target {result.surplus_count} "
    f"+ unscored {result.unscored_count}"
)
print(result.items[0]["prompt"])
print(result.items[0]["completion"])

check_synthesiser(WorkedAnswers, source=["Ada has 2 apples and finds 3 more."])
print("WorkedAnswers keeps the contract of a synthesiser")
