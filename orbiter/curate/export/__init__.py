"""Exporters: records in, the files that a trainer reads out. One file per format."""

from __future__ import annotations

from orbiter.curate.export.exporter import Exporter, ExportReport

__all__ = ["ExportReport", "Exporter"]
