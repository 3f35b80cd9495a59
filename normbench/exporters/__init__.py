"""Finished experiments as files for other tools: one format a file, found in ``EXPORTERS``."""

from normbench.exporters.base import EXPORTERS, Exporter, Files, export, needs

__all__ = ["EXPORTERS", "Exporter", "Files", "export", "needs"]
