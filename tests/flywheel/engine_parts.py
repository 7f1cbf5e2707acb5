"""Parts of the tests of stages with an engine: their recipes, what these name in ``mine.py``, and how they are run."""

from orbiter.flywheel import Flywheel, load_recipe

PARTS = """
import re
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.proposals import Proposal, Proposed
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Verdict
from orbiter.tasks import item_stream
from orbiter.verify import Verifier

class Sorted(Verifier):
    '''Goes by the prompt, so that tasks without a reference are judged too.'''
    name, version = "sorted", "1"
    def verify(self, task, trajectory):
        right = "".join(sorted(re.sub(r"\\D", "", task.prompt)))
        return Verdict.passed() if trajectory.answer == right else Verdict.failed("out of order")

class Holds(Sorted):
    '''Passes what holds the right answer, whatever stands around it.'''
    name, version = "holds", "1"
    def verify(self, task, trajectory):
        right = "".join(sorted(re.sub(r"\\D", "", task.prompt)))
        return Verdict.passed() if right in trajectory.answer else Verdict.failed("not there")

class Wordy(Holds):
    '''Likes what stands around it.'''
    name, version = "wordy", "1"
    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        return verdict if verdict.score == 0 else Verdict.passed(score=0.5 + 0.5 * (len(trajectory.answer) > 5))

class Lax(Sorted):
    name, version = "lax", "1"
    def verify(self, task, trajectory):
        return Verdict.passed()

class Writer(Policy):
    name, batch_size = "writer", 7
    async def complete(self, requests, sampling):
        return [Completion.of(self.say(r), token_count=2) for r in requests]
    def say(self, request):
        text, stream = request.messages[-1].text, item_stream(request.seed)
        if stream.random() < 0.2:
            return "I can't help with that."
        if "written in reply" in text:
            digits = list(text.split()[-1])
            stream.shuffle(digits)
            return f"sort {''.join(digits)}:"
        if text.startswith("You play the user"):
            return "DONE" if stream.random() < 0.5 else "look again"
        return f"sort {''.join(stream.choices('0123456789', k=7))}:"

class Alike(Writer):
    '''Writes the held-out prompt with something before it.'''
    def __init__(self, word):
        self.word = word
    def say(self, request):
        return f"please be so kind and {request.seed} {self.word}"

class Down(Policy):
    name = "down"
    async def complete(self, requests, sampling):
        return [Completion.failed("HTTP 503") for _ in requests]

class Noting(Policy):
    '''Sorts, and notes of its answers what an engine notes of those that it makes.'''
    name = "noting"
    async def complete(self, requests, sampling):
        notes = {"role": "rejected", "document": "from a book"}
        return [Completion.of("".join(sorted(r.messages[-1].text[5:-1])), metadata=notes) for r in requests]

class Each(PolicySynthesiser):
    name = "each"
    async def propose(self, tasks):
        answers = await self.ask([self.request(task) for task in tasks])
        return Proposed(proposals=tuple(map(Proposal, tasks, answers)))

class Plain(DataSynthesiser):
    async def generate(self, count):
        return []
"""

RECIPE = """\
name: engines
seed: 3
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.6, environment: {name: sorting, length: 5}}
evaluate: {tasks: 6, audit: 0}
verify: {workers: 0}
stages:
"""
NEGATIVES = (
    "  bad: {synthesise: {name: hard_negatives, tasks: 8, per_kind: 2}, curate: {pairs: true}}\n"
)
EVOL = """\
  evol:
    synthesise: {name: evol, tasks: 12, depth: 2, samples: 2, writer: {name: "mine.py:Writer"}}
    verifier: {name: "mine.py:Sorted"}
"""
BACK = """\
  back: {synthesise: {name: back_translation, tasks: 12, writer: {name: "mine.py:Writer"}}}
"""
TALK = """\
  talk:
    synthesise: {name: multi_turn, tasks: 10, simulator: {name: "mine.py:Writer"}}
    verifier: {name: turns, verifier: "mine.py:Sorted"}
"""
SPIN = "  spin: {synthesise: {name: spin, tasks: 8, samples: 3}, curate: {pairs: true}}\n"
ALL = NEGATIVES + EVOL + BACK + TALK + SPIN


def wheels_in(folder):
    """Return what makes a flywheel of stages, with overrides; ``runs`` keeps several runs of it apart."""
    (folder / "mine.py").write_text(PARTS)
    file = folder / "recipe.yaml"

    def make(stages, *overrides, runs="runs"):
        file.write_text(RECIPE + stages)
        return Flywheel(load_recipe(file, overrides), runs_dir=folder / runs, base_dir=folder)

    return make
