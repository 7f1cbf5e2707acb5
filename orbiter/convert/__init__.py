"""Plain data to attrs classes and back, strictly.

One converter serves records and recipes. A value of the wrong type is an error that names the field by its
path; nothing is coerced. A class with a field ``extra`` keeps the keys it does not know there; any other class
refuses them and suggests the nearest known key.
"""

from orbiter.convert.structuring import join_path, show, structure
from orbiter.convert.unstructuring import unstructure

__all__ = ["join_path", "show", "structure", "unstructure"]
