"""The smallest orbiter plugin: one verifier, registered by name, and one observer."""

from orbiter import hookimpl
from orbiter.records import Verdict
from orbiter.verify import Verifier


class Greeting(Verifier):
    """Passes an answer that says hello."""

    name = "greeting"
    version = "1"

    def verify(self, task, trajectory):
        """Return pass if the answer starts with a greeting."""
        if trajectory.answer.lower().startswith(("hello", "hi ")):
            return Verdict.passed()
        return Verdict.failed("no greeting")


@hookimpl
def orbiter_register(registry):
    """Add the verifier's name."""
    registry.add("verifier", "greeting", Greeting)


@hookimpl
def orbiter_on_round(event):
    """Say that a round ended."""
    print(f"hello from round {event.round} of {event.run}")
