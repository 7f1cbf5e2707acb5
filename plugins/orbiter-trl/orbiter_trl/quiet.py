"""Silence: the progress bars of the libraries below, taken away while they work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Switch the progress bars of transformers and datasets off inside the block."""
    from transformers.utils import logging as transformers_logging

    bars_of_transformers = transformers_logging.is_progress_bar_enabled()
    datasets = sys.modules.get("datasets")
    bars_of_datasets = datasets is not None and datasets.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    if datasets is not None:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if bars_of_transformers:
            transformers_logging.enable_progress_bar()
        if datasets is not None and bars_of_datasets:
            datasets.enable_progress_bars()
