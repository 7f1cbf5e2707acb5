"""Tools in rollouts: an orbiter toolbox as what TRL's trainer calls an environment."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import get_json_schema
from trl.chat_template_utils import add_response_schema, supports_tool_calling

from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.toolbox import MakeToolbox, Toolbox, tools_of


def check_toolbox(
    make: MakeToolbox, trainer_class: Any, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise ConfigError unless TRL can let the model call these tools, and read its calls."""
    if "environment_factory" not in inspect.signature(trainer_class.__init__).parameters:
        raise ConfigError(
            f"toolbox needs environment_factory of {trainer_class.__name__}, which TRL {version('trl')} does not have",
            hint="install the release that the plugin was tested with: pip install trl==1.16.0",
        )
    toolbox = make()
    if not isinstance(toolbox, Toolbox):
        raise ConfigError(f"toolbox must make a Toolbox, got {show(toolbox)}")
    kind, tools = type(toolbox).__name__, tools_of(toolbox)
    if not tools or "get_reward" in tools:
        raise ConfigError(
            f"toolbox {kind} must have a tool, and no tool named 'get_reward', got {sorted(tools)}",
            hint="a public method is a tool; give a reward whose function has a parameter toolbox",
        )
    for name, tool in tools.items():
        try:
            get_json_schema(tool)
        except Exception as error:  # of several kinds, each about the user's docstring
            raise ConfigError(
                f"tool {kind}.{name} must have a docstring, and for each parameter a type and a line under Args: {error}"
            ) from error
    if not supports_tool_calling(tokenizer):
        raise ConfigError(
            "chat template must render tool calls and their results, and this one leaves them out",
            hint="use a model that was made for tools, or another chat template",
        )
    # The first is its name since transformers 5.13.
    ways = ("response_template", "response_schema")
    if all(getattr(tokenizer, name, None) is None for name in ways):
        try:
            add_response_schema(tokenizer)
        except ValueError as error:
            raise ConfigError(
                "tokenizer must say how tool calls are read out of an answer, and it has neither response_template nor response_schema",
                hint="set tokenizer.response_template (before transformers 5.13, response_schema) and save the tokenizer beside the model",
            ) from error
        finally:
            # The trainer does so itself; nothing here is to change.
            for name in ways:
                setattr(tokenizer, name, None)


def shown_tools(make: MakeToolbox | None) -> list[Any] | None:
    """Return the tools as a chat template shows them with a prompt, or None if there are none."""
    return None if make is None else list(tools_of(make()).values())


def environment_argument(make: MakeToolbox | None, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the trainer's argument that brings the tools, if there are any.

    Args:
        make: Makes a toolbox.
        tasks: What a row's ``task`` is the number of.
    """
    if make is None:
        return {}

    def factory() -> Toolbox:
        toolbox = make()
        reset = toolbox.reset

        def by_number(*, task: int, **_: Any) -> None:
            reset(tasks[task])

        # On the instance: TRL looks for tools on the class, and is to find those of the user alone.
        object.__setattr__(toolbox, "reset", by_number)
        return toolbox

    return {"environment_factory": factory}


@contextmanager
def tools_are_wanted() -> Iterator[None]:
    """Keep TRL from warning that its environments may change in any release."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using 'environment_factory'")
        yield
