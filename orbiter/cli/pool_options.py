"""The options of the processes that judge."""

from __future__ import annotations

import argparse


def add_pool_arguments(parser: argparse.ArgumentParser, *, timeout_s: int) -> None:
    """Add them.

    Args:
        parser: The command's.
        timeout_s: Default of ``--timeout-s``.
    """
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that judge (default: half of the cores)"
    )
    parser.add_argument(
        "--timeout-s",
        type=float,
        default=float(timeout_s),
        metavar="S",
        help=f"seconds that one verdict may take (default: {timeout_s})",
    )
    parser.add_argument(
        "--memory-mb",
        type=int,
        default=2048,
        metavar="N",
        help="bound on the memory of a process, in MiB (default: 2048)",
    )
