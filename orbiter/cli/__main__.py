"""``python -m orbiter.cli``."""

import sys

from orbiter.cli import main

sys.exit(main())
