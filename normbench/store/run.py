"""One run on disk.

config.yaml      the resolved config
manifest.json    state, identity, hashes, versions
metrics.jsonl    one event a line
probes.jsonl     one probed step a line
checkpoint.pt    the last good one
DONE             written last
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import from_json

from normbench.constants import SCHEMA
from normbench.errors import StoreError
from normbench.store.files import (
    parsed,
    read_json_lines,
    reported,
    to_json,
    write_atomically,
)

# Journal events that a continued run makes again when they stand at the checkpoint's own step.
_MADE_AGAIN = {"epoch", "probe", "test", "diverged"}

MANIFEST_KEYS = ("state", "norm", "method", "seed", "context", "data")
"""What every manifest of a run that has begun holds."""


def run_name(norm: str, sweep_point: Mapping[str, Any], seed: int, identity: str) -> str:
    """The folder of a run: ``<norm>[-<sweep values>]-s<seed>-<hash8>``, safe in any file system."""
    parts = [norm, *(str(value) for value in sweep_point.values()), f"s{seed}", identity[:8]]
    safe = [re.sub(r"[^A-Za-z0-9._=+]+", "-", part).strip("-") for part in parts]
    # File systems take 255 bytes; seed and hash, which tell runs apart, are never cut.
    return "-".join(["-".join(safe[:-2])[:180], *safe[-2:]])


def point_label(value: Any) -> Any:
    """A swept value as tables show it: numbers and words as they are, the rest as JSON."""
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return value if plain else to_json(value)


class RunStore:
    """Writes one run's folder. Only the process that drives the experiment does so."""

    def __init__(self, path: Path):
        self.path = path
        self.manifest: dict[str, Any] = {}
        self._journals: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def journal(self, name: str) -> str:
        """The path of ``metrics`` or ``probes``."""
        return f"{self.path}/{name}.jsonl"  # a text: with many runs, joining paths takes long

    @property
    def done(self) -> bool:
        """Whether the run ended, trained to its budget or diverged."""
        return os.path.exists(f"{self.path}/DONE")

    def read_manifest(self, keys: Collection[str] = ()) -> dict[str, Any] | None:
        """The manifest as it stands, or None.

        Raises StoreError when it is damaged, of a newer schema, or lacks one of ``keys``.
        """
        path = f"{self.path}/manifest.json"
        try:
            with open(path, "rb") as file, parsed(path):
                manifest = from_json(file.read())
        except FileNotFoundError:
            return None
        check_record(manifest, path, keys)
        return manifest

    def checkpoint(self) -> bytes | None:
        """The last good checkpoint, or None."""
        try:
            return (self.path / "checkpoint.pt").read_bytes()
        except FileNotFoundError:
            return None

    def batches_before(self, step: int | None) -> dict[str, Any]:
        """Hash of the batch order and number of the epochs begun before ``step`` updates."""
        epochs = [
            event
            for event in read_json_lines(self.journal("metrics"))
            if event["event"] == "epoch" and step is not None and event["step"] < step
        ]
        if not epochs:
            return {}
        last = epochs[-1]
        return {
            "batch_order_sha256": last["batches_sha256"],
            "epochs_started": last["epoch"] + 1,
        }

    def clear(self) -> None:
        """Forget everything about this run. Raises StoreError."""
        with reported(self.path, "remove"):
            if not self.path.exists():
                return
            # First what makes it a run, so that a crash leaves nothing that looks like one, nor a
            # checkpoint to continue without its journals.
            for name in ("DONE", "checkpoint.pt", "manifest.json"):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path)

    def open(self, config: dict[str, Any], manifest: dict[str, Any], step: int | None) -> None:
        """Start writing: from scratch, or continuing after the checkpoint of ``step`` updates.

        A continued run's journals keep what happened up to the checkpoint; the rest, which the
        run will make again, is cut off. Raises StoreError.
        """
        self._close_journals()
        if step is None:
            self.clear()
        with reported(self.path, "write"):
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "DONE").unlink(missing_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        self.manifest = {"schema": SCHEMA, "state": "running", **manifest}
        self._write_manifest()
        for name in ("metrics", "probes"):
            path = Path(self.journal(name))
            kept = [e for e in read_json_lines(path) if step is not None and _before(e, step)]
            write_atomically(path, "".join(to_json(event) + "\n" for event in kept))
            with reported(path, "write"):
                self._journals[name] = path.open("a", encoding="utf-8", buffering=1)

    def append(self, journal: str, event: dict[str, Any]) -> None:
        """One line more in ``metrics`` or ``probes``. Raises StoreError."""
        with reported(self.journal(journal), "write"):
            self._journals[journal].write(to_json(event) + "\n")

    def write_checkpoint(self, state: bytes) -> None:
        """Replace the checkpoint. Raises StoreError."""
        write_atomically(self.path / "checkpoint.pt", state)

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest. Raises StoreError."""
        self.manifest.update(fields)
        self._write_manifest()

    def close(self, state: str, *, done: bool, **fields: Any) -> None:
        """Write the final state, and DONE last of all if the run has ended. Raises StoreError."""
        self._close_journals()
        self.update(state=state, **fields)
        if done:
            write_atomically(self.path / "DONE", "")

    def _close_journals(self) -> None:
        for journal in self._journals.values():
            with reported(self.path, "write"):
                journal.close()
        self._journals.clear()

    def _write_manifest(self) -> None:
        write_atomically(self.path / "manifest.json", to_json(self.manifest, indent=1) + "\n")


def _before(event: dict[str, Any], step: int) -> bool:
    if event["event"] in _MADE_AGAIN:
        return event["step"] < step
    return event["step"] <= step


def check_record(record: Any, path: Path | str, keys: Collection[str]) -> None:
    """Raise StoreError when a newer normbench wrote ``record``, or it lacks one of ``keys``."""
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise _damaged(path)
    if record["schema"] > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer normbench (schema {record['schema']}, this one "
            f"reads up to {SCHEMA})\n    upgrade normbench to read it"
        )
    if not record.keys() >= set(keys):
        raise _damaged(path)


def _damaged(path: Path | str) -> StoreError:
    return StoreError(f"{path} is damaged\n    delete its folder and train again")
