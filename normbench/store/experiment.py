"""One experiment on disk: ``results/<name>/`` with its plan, its runs and its lock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
from pydantic_core import from_json

from normbench.errors import StoreError, suggest
from normbench.store.files import parsed, reported, to_json, write_atomically
from normbench.store.run import SCHEMA, RunStore, check_record

PLAN = "experiment.json"


class ExperimentStore:
    """The folder of one experiment below the results folder."""

    def __init__(self, results: Path, name: str):
        self.path = results / name
        self.name = name
        self._lock = filelock.FileLock(self.path / ".lock", blocking=False)

    @staticmethod
    def is_at(path: Path) -> bool:
        """Whether an experiment stands in this folder."""
        return (path / PLAN).is_file()

    def lock(self) -> None:
        """Claim the experiment for this process. Raises StoreError when another has it."""
        with reported(self.path, "write to"):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except filelock.Timeout as error:
                raise StoreError(
                    f"{self.path} is in use by another normbench process\n"
                    "    wait for it, or give this experiment another name with --set name=..."
                ) from error

    def unlock(self) -> None:
        """Give the experiment free again."""
        self._lock.release()

    def run(self, folder: str) -> RunStore:
        """The run in ``folder``, which need not exist yet."""
        return RunStore(self.path / folder)

    def check(self) -> None:
        """Raise StoreError when a newer normbench wrote what stands here, or it is damaged."""
        if (self.path / PLAN).exists():
            self.read_plan()
        for folder in self.folders():
            self.run(folder).read_manifest()

    def folders(self) -> list[str]:
        """The names of the run folders there are, sorted. Raises StoreError."""
        with reported(self.path, "read"):
            return sorted(path.parent.name for path in self.path.glob("*/manifest.json"))

    def clear(self) -> None:
        """Forget every run of this experiment. Raises StoreError."""
        for folder in self.folders():
            self.run(folder).clear()

    def write_plan(self, config: dict[str, Any], runs: Sequence[dict[str, Any]]) -> None:
        """Record what was asked for: the resolved config and every planned run.

        Raises StoreError.
        """
        plan = {"schema": SCHEMA, "name": self.name, "config": config, "runs": list(runs)}
        write_atomically(self.path / PLAN, to_json(plan) + "\n")

    def read_plan(self) -> dict[str, Any]:
        """What was last asked for. Raises StoreError when there is no such experiment."""
        path = self.path / PLAN
        try:
            with reported(path, "read"), parsed(path):
                plan = from_json(path.read_bytes())
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise self._unknown() from None
            raise
        check_record(plan, path, ("config", "runs"))
        return plan

    def _unknown(self) -> StoreError:
        results = self.path.parent
        known = experiments(results)
        hint = suggest(self.name, known) if known else "none yet: `normbench train` makes one"
        return StoreError(f"no experiment {self.name!r} in {results}\n    {hint}")


def experiments(results: Path) -> list[str]:
    """The names of the experiments in a results folder, sorted; [] if there is no such folder."""
    if results.exists() and not results.is_dir():
        raise StoreError(f"{results} is not a folder of results\n    name one with --results DIR")
    if not results.exists():
        return []
    with reported(results, "read"):
        return sorted(path.parent.name for path in results.glob(f"*/{PLAN}"))
