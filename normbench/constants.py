"""What the store, the tables and the command line agree on, without an import of one another."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path("results")
"""The results folder unless another is named."""

SCHEMA = 1
"""Of everything written: the store's files and what ``--json`` prints."""

OUTCOME_STATES = ("finished", "diverged")
"""The states in which a run has a result. The others are counted and shown, and never stand in for
a result."""

UNFINISHED_STATES = ("interrupted", "running", "missing")
"""The states of a run that ``train`` would begin or continue, besides failed ones."""

STATES = (*OUTCOME_STATES, "failed", *UNFINISHED_STATES)
