"""A small web that is made from a seed: a catalogue, a weather service and league tables, which name the same towns."""

from orbiter_liveweb.synthetic.web import SYNTHETIC_TIME, build, pages
from orbiter_liveweb.synthetic.world import SIZES, Size, World

__all__ = ["SIZES", "SYNTHETIC_TIME", "Size", "World", "build", "pages"]
