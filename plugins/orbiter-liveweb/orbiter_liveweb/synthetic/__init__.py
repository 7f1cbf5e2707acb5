"""A small web that is made from a seed: a catalogue, a weather service and league tables, which name the same towns."""

from orbiter_liveweb.synthetic.web import build
from orbiter_liveweb.synthetic.world import World

__all__ = ["World", "build"]
