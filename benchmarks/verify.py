"""Every bar of verification in one run: the pool, maths, code and judges, each side by side with what it is measured against.

    python benchmarks/verify.py

Runs the benchmarks of verification one after another, each in a process of its own, with the load before and after. Ends with
exit code 1 if one missed its bar. Run it on a quiet machine: the bars are ratios of what takes turns in one process, but a busy
core disturbs short turns all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("verify_pool", "verify_math", "verify_code", "verify_judges")


def main() -> int:
    """Run the parts and return how many missed a bar."""
    missed = []
    for part in PARTS:
        print(f"== {part}  (load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores)", flush=True)
        if subprocess.run([sys.executable, HERE / f"{part}.py"]).returncode:
            missed.append(part)
    print(
        f"load {os.getloadavg()[0]:.2f}; {', '.join(missed) + ' missed' if missed else 'all hold'}"
    )
    return len(missed)


if __name__ == "__main__":
    sys.exit(main() > 0)
