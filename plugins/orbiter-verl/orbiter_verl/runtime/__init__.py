"""What verl loads in each of its processes (entry point ``verl.plugins``): a CPU platform and a rollout with transformers.

``import verl`` runs this file, so it stays light: engines and rollout are imported when verl first asks for them.
"""

from __future__ import annotations

from orbiter_verl.runtime import mending, platform

mending.mend()
platform.register()
