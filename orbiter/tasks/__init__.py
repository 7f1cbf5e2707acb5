"""What is to be solved: environments give tasks, splits keep held-out tasks apart."""

from orbiter.tasks.environment import Environment, Probe
from orbiter.tasks.splits import TaskStream, is_held_out
from orbiter.tasks.streams import item_seed, item_stream
from orbiter.tasks.toolbox import Toolbox

__all__ = [
    "Environment",
    "Probe",
    "TaskStream",
    "Toolbox",
    "is_held_out",
    "item_seed",
    "item_stream",
]
