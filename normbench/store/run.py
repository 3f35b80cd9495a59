"""One run on disk.

config.yaml           the resolved config
manifest.json         state, identity, hashes, versions, what each checkpoint must be
metrics.jsonl         one event a line
probes.jsonl          one probed step a line
checkpoint.pt         the last one
checkpoint.before.pt  the one before it, while the run is not done
DONE                  written last: the seal
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from normbench.atomic import remove, rename, sync
from normbench.constants import SCHEMA
from normbench.errors import StoreError
from normbench.store import journal as journals
from normbench.store import manifest as manifests
from normbench.store.checkpoint import BAD, BEFORE, CHECKPOINT, is_archive, is_kept, read_checkpoint
from normbench.store.files import (
    MOST_OF_A_JOURNAL,
    Damaged,
    read_bytes,
    reported,
    to_json,
    write_atomically,
)
from normbench.store.manifest import MANIFEST_KEYS as MANIFEST_KEYS
from normbench.store.seal import DONE, Seal, check_unsealed, read_seal, seal_text


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
        self._journals: dict[str, journals.Journal] = {}

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def journal(self, name: str) -> str:
        """The path of ``metrics`` or ``probes``."""
        return f"{self.path}/{name}.jsonl"  # a text: with many runs, joining paths takes long

    # -- reading ------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the run was told as done: trained to its budget or diverged."""
        return os.path.exists(f"{self.path}/{DONE}")

    @property
    def sealed(self) -> bool:
        """Whether it has ended with a seal, good or not; an earlier normbench left DONE empty."""
        with suppress(FileNotFoundError):
            return os.stat(f"{self.path}/{DONE}").st_size > 0
        return False

    @property
    def done(self) -> bool:
        """Whether it has ended and every file is what was written. Raises StoreError."""
        return self.ended and self.fault() is None

    def fault(self) -> Damaged | None:
        """What is wrong with the files; None where nothing is. Raises StoreError.

        All that can be known: a run that has ended is held against its seal, a checkpoint of one
        that has not is looked at when it is continued.
        """
        try:
            self.check()
        except Damaged as damage:
            return damage
        return None

    def check(self) -> None:
        """Raise Damaged where a file is not what was written. Raises StoreError."""
        with reported(self.path, "read"):
            manifest = self.read_manifest(MANIFEST_KEYS)
            if self.ended and manifest is None:
                raise Damaged(f"{self.path}/manifest.json", "it is not there any more")
            seal = self.seal(manifest)
            if seal is not None:
                seal.check_all()
            metrics = self.events("metrics", seal)
            self.events("probes", seal)
            if self.ended and seal is None:
                check_unsealed(metrics, self.journal("metrics"))

    def seal(self, manifest: Mapping[str, Any] | None) -> Seal | None:
        """What the files must be; None where the run has not ended, or is unsealed.

        Raises Damaged, OSError.
        """
        if not self.ended:
            return None
        seal = read_seal(self.path)
        if seal is None and manifest and manifest.get("sealed"):
            raise Damaged(f"{self.path}/{DONE}", "it is empty")
        return seal

    def read_manifest(self, keys: Collection[str] = ()) -> dict[str, Any] | None:
        """The manifest as it stands, or None.

        Raises Damaged, also where it lacks one of ``keys``, and StoreError when a newer normbench
        wrote it.
        """
        path = f"{self.path}/manifest.json"
        with reported(path, "read"):
            content = read_bytes(path)
        if content is None:
            return None
        found = manifests.manifest(content, path, keys)
        if not self.name.endswith(found.get("id", "")[:8]):
            raise Damaged(path, "it is of another run")  # whose state must not be continued
        return found

    def known_manifest(self) -> dict[str, Any]:
        """The same, {} where there is none or it is damaged. Raises StoreError for a newer one."""
        try:
            return self.read_manifest(MANIFEST_KEYS) or {}
        except Damaged:
            return {}

    def events(self, name: str, seal: Seal | None = None) -> list[dict[str, Any]]:
        """The events of a journal, held against the seal. Raises Damaged, StoreError."""
        path = self.journal(name)
        with reported(path, "read"):
            content = seal.read(f"{name}.jsonl") if seal else read_bytes(path, MOST_OF_A_JOURNAL)
        return journals.events(name, content or b"", path)

    def sealed_events(self, name: str) -> list[dict[str, Any]]:
        """The events of a journal, held against the seal if there is one. Raises Damaged."""
        with reported(self.path, "read"):
            return self.events(name, self.seal(self.read_manifest()))

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is one, good or not."""
        return any(os.path.exists(f"{self.path}/{name}") for name in (CHECKPOINT, BEFORE))

    # -- what a run continues from ------------------------------------------------------------

    def checkpoint(self) -> bytes | None:
        """The last checkpoint that is what was written, or None. See ``good_checkpoint``."""
        return self.good_checkpoint()[0]

    def good_checkpoint(self) -> tuple[bytes | None, list[str]]:
        """The newest state that the run can continue from, and what was wrong with newer ones.

        A checkpoint is good if its bytes and those of the journals up to it are what was written.
        One of an earlier normbench, which kept no sums, must be a sound archive beside journals
        that can be read. Raises StoreError.
        """
        faults: list[str] = []
        with reported(self.path, "read"):
            try:
                manifest = self.read_manifest() or {}
            except Damaged as damage:
                return None, [_first_line(damage)]
            for name in (CHECKPOINT, BEFORE):
                try:
                    content = read_checkpoint(self.path / name, manifest.get("checkpoints", ()))
                    if content is not None:
                        self._check_checkpoint(name, content, manifest)
                        return content, faults
                except Damaged as damage:
                    faults.append(_first_line(damage))
        return None, faults

    def _check_checkpoint(self, name: str, content: bytes, manifest: Mapping[str, Any]) -> None:
        path = f"{self.path}/{name}"
        if "checkpoints" not in manifest:
            if not is_archive(content):
                raise Damaged(path, "it is no checkpoint")
            for kind in journals.JOURNALS:
                self.events(kind)
            return
        digest = hashlib.sha256(content).hexdigest()
        known = [entry for entry in manifest["checkpoints"] if entry["sha256"] == digest]
        if not known:
            raise Damaged(path, "its content is not what was written")
        for kind in journals.JOURNALS:
            self._journal_before(kind, known[0])

    def _journal_before(self, kind: str, entry: Mapping[str, Any]) -> bytes:
        """A journal up to a checkpoint. Raises Damaged unless it is what stood there then."""
        path, known = self.journal(kind), entry["journals"].get(kind, _NOTHING)
        content = (read_bytes(path, MOST_OF_A_JOURNAL) or b"")[: known["bytes"]]
        if hashlib.sha256(content).hexdigest() != known["sha256"]:
            raise Damaged(path, f"not what it was at step {entry['step']}")
        return content

    def _kept(self, kind: str, step: int, manifest: Mapping[str, Any]) -> bytes:
        """What stays of a journal when the run continues after ``step`` updates."""
        for entry in manifest.get("checkpoints", ()):
            if entry["step"] == step:
                return self._journal_before(kind, entry)
        kept = [event for event in self.events(kind) if is_kept(event, step)]
        return "".join(to_json(event) + "\n" for event in kept).encode()

    def batches_before(self, step: int | None) -> dict[str, Any]:
        """Hash of the batch order and number of the epochs begun before ``step`` updates."""
        if step is None:
            return {}
        content = self._kept("metrics", step, self.read_manifest() or {})
        epochs = [
            event
            for event in journals.events("metrics", content, self.journal("metrics"))
            if event["event"] == "epoch" and event["step"] < step
        ]
        if not epochs:
            return {}
        last = epochs[-1]
        return {
            "batch_order_sha256": last["batches_sha256"],
            "epochs_started": last["epoch"] + 1,
        }

    # -- writing ------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything about this run. Raises StoreError."""
        with reported(self.path, "remove"):
            if not self.path.exists():
                return
            # First what makes it a run, so that a crash leaves nothing that looks like one, nor a
            # checkpoint to continue without its journals.
            for name in (DONE, CHECKPOINT, BEFORE, "manifest.json"):
                remove(self.path / name)
            shutil.rmtree(self.path)

    def open(self, config: dict[str, Any], manifest: dict[str, Any], step: int | None) -> None:
        """Start writing: from scratch, or continuing after the checkpoint of ``step`` updates.

        A continued run's journals keep what happened up to the checkpoint; the rest, which the
        run will make again, is cut off. Raises StoreError.
        """
        self._close_journals()
        kept: dict[str, bytes] = dict.fromkeys(journals.JOURNALS, b"")
        checkpoints: list[dict[str, Any]] = []
        if step is None:
            self.clear()
        else:
            before = self.read_manifest() or {}
            with reported(self.path, "read"):
                kept = {kind: self._kept(kind, step, before) for kind in kept}
            checkpoints = self._use_checkpoint_of(step, before.get("checkpoints", ()))
        with reported(self.path, "write"):
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / DONE).unlink(missing_ok=True)
        # Nothing is lost with these: the first checkpoint brings them to the disk, or the end does.
        text = yaml.safe_dump(config, sort_keys=False)
        write_atomically(self.path / "config.yaml", text, durable=False)
        self.manifest = {"schema": SCHEMA, "state": "running", **manifest}
        if checkpoints:
            self.manifest["checkpoints"] = checkpoints
        for kind, content in kept.items():
            path = Path(self.journal(kind))
            write_atomically(path, content, durable=step is not None)
            with reported(path, "write"):
                self._journals[kind] = journals.Journal(path, content)
        self._write_manifest(durable=step is not None)

    def _use_checkpoint_of(
        self, step: int, checkpoints: Iterable[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Give the checkpoint that the run continues from the name of the last one; its entry."""
        entries = {entry["sha256"]: entry for entry in checkpoints if entry["step"] == step}
        with reported(self.path, "write"):
            for name in (CHECKPOINT, BEFORE) if entries else ():
                try:
                    content = read_checkpoint(self.path / name, entries.values())
                except Damaged:  # as was told when the one before it was chosen
                    content = b""
                if content is None:
                    continue
                entry = entries.get(hashlib.sha256(content).hexdigest())
                if entry is None:
                    rename(self.path / name, self.path / BAD)
                    continue
                if name == BEFORE:
                    rename(self.path / BEFORE, self.path / CHECKPOINT)
                return [entry]
        return []

    def append(self, journal: str, event: dict[str, Any]) -> None:
        """One line more in ``metrics`` or ``probes``. Raises StoreError."""
        with reported(self.journal(journal), "write"):
            self._journals[journal].append(to_json(event).encode() + b"\n")

    def write_checkpoint(self, state: bytes, step: int) -> None:
        """Put a checkpoint in front of the one there is. Raises StoreError.

        The journals it rests on are on the disk before it, and so is what it must be: whatever a
        crash leaves, the manifest tells what is good. The last one may wait for ``close``.
        """
        durable = step != self.manifest.get("steps")
        with reported(self.path, "write"):
            for journal in self._journals.values() if durable else ():
                journal.sync()
        entry = {
            "step": step,
            "bytes": len(state),
            "sha256": hashlib.sha256(state).hexdigest(),
            "journals": {kind: journal.mark() for kind, journal in self._journals.items()},
        }
        last = self.manifest.get("checkpoints", [])[:1]
        # Its name comes to the disk with the checkpoint's; its content too, where none is older.
        fields = {"checkpoint_step": step, "checkpoints": [entry, *last]}
        self.update(durable=durable or bool(last), name=False, **fields)
        path = self.path / CHECKPOINT
        with reported(path, "write"):
            if path.exists():
                rename(path, self.path / BEFORE)
        write_atomically(path, state, durable=durable)

    def update(self, *, durable: bool = True, name: bool = True, **fields: Any) -> None:
        """Change fields of the manifest; durable, name: as for ``replacing``. Raises StoreError."""
        self.manifest.update(fields)
        self._write_manifest(durable=durable, name=name)

    def close(self, state: str, *, done: bool, **fields: Any) -> None:
        """Write the final state, and the seal last of all if the run has ended. Raises StoreError.

        Also when a journal was changed by somebody else while the run was written.
        """
        marks = {kind: journal.mark() for kind, journal in self._journals.items()}
        self._close_journals()
        self.update(name=not done, state=state, sealed=done, **fields)  # or with the seal's
        if not done:
            return
        with reported(self.path, "write"):
            for path in filter(Path.exists, (self.path / "config.yaml", self.path / CHECKPOINT)):
                sync(path)
            for name in (BEFORE, BAD):
                remove(self.path / name)
            text = seal_text(self.path)
        seal = manifests.from_json(text)["files"]
        for kind, mark in marks.items():
            if seal[f"{kind}.jsonl"]["sha256"] != mark["sha256"]:
                raise StoreError(
                    f"{self.journal(kind)} was changed while its run was trained\n"
                    "    `normbench train` with its config trains the run again"
                )
        write_atomically(self.path / DONE, text)

    def _close_journals(self) -> None:
        for journal in self._journals.values():
            with reported(self.path, "write"):
                journal.close()
        self._journals.clear()

    def _write_manifest(self, *, durable: bool = True, name: bool = True) -> None:
        text = to_json(self.manifest, indent=1) + "\n"
        write_atomically(self.path / "manifest.json", text, durable=durable, name=name)


_NOTHING = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
