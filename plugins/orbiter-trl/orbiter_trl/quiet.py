"""Silence: the progress bars and expected reports of the libraries below, taken away while they work."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def no_report() -> Iterator[None]:
    """Keep transformers from reporting weights that are new, where a new head is expected."""
    log = logging.getLogger("transformers.modeling_utils")
    log.addFilter(_is_no_report)
    try:
        yield
    finally:
        log.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


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
