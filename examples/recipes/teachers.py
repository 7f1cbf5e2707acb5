"""Scripted parts of the recipes evol.yaml, back_translation.yaml and multi_turn.yaml: who writes instructions, and who plays the user."""

import re

from orbiter.generate.policy import Completion, Policy
from orbiter.tasks import item_stream

TASK = re.compile(r"sort (\d+):")


class Writer(Policy):
    """Writes sorting tasks as it is told to: longer ones, other ones, the one whose answer it is shown; now and then it fails."""

    name = "digit-writer"
    batch_size = 256

    async def complete(self, requests, sampling):
        return [Completion.of(self._say(request), token_count=1) for request in requests]

    def _say(self, request):
        order, stream = request.messages[-1].text, item_stream("writer", request.seed)
        luck = stream.random()
        if luck < 0.1:
            return "I'm sorry, but I can't help with that."
        if "written in reply to a request" in order:
            digits = list(order.split()[-1])
            stream.shuffle(digits)
            return f"sort {''.join(digits[1:] if luck < 0.3 else digits)}:"
        digits = TASK.findall(order)[-1]
        if luck < 0.2:
            return f"sort {digits}:"
        other = "".join(stream.choices("0123456789", k=len(digits)))
        if "Write one more" in order or "Write a new one" in order:
            return f"sort {other}:"
        return f"sort {digits}{other[0]}:"


class User(Policy):
    """Plays a user who wants digits sorted, looks at the answer, and asks again where it is wrong.

    Now and then it gives the answer away.
    """

    name = "digit-user"
    batch_size = 256

    async def complete(self, requests, sampling):
        return [Completion.of(self._say(request), token_count=1) for request in requests]

    def _say(self, request):
        said = request.messages[-1].text
        digits = TASK.findall(said)[-1]
        right = "".join(sorted(digits))
        if re.findall(r"^Assistant: *(.*)$", said, re.MULTILINE)[-1].strip() == right:
            return "DONE"
        luck = item_stream("user", request.seed).random()
        return right if luck < 0.1 else f"sort {digits}:"
