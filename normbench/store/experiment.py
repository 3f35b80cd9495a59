"""One experiment on disk: ``results/<name>/`` with its plan, its runs and its lock."""

from __future__ import annotations

import difflib
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock
from pydantic_core import from_json

from normbench.atomic import clear_leftovers, replace_with, sync_folder
from normbench.constants import SCHEMA
from normbench.errors import StoreError, suggest
from normbench.plain import shown
from normbench.store import manifest as manifests
from normbench.store.files import (
    Damaged,
    check_sum,
    read_bytes,
    reported,
    to_json,
    with_sum,
    write_atomically,
)
from normbench.store.run import RunStore
from normbench.store.seal import DONE

PLAN = "experiment.json"
COPY = "experiment.copy.json"
"""The same as the plan, for when that is damaged: nothing else holds all that it says."""

ASIDE = ".set-aside"
"""Where runs go that are not what was written; nothing in it counts."""

HOLDER = ".lock.holder"
LOCK_SECONDS = 0.2  # who looks whether an experiment is in use has its lock for less
MOST_NAMED = 8  # of the runs that a text could mean
NO_EXPERIMENT = "none yet: `normbench train` makes one; --results DIR looks elsewhere"


class ExperimentStore:
    """The folder of one experiment below the results folder.

    name: the folder's name; a slash at its end, as shells complete it, is no part of it.
    """

    def __init__(self, results: Path, name: str):
        self.name = name.rstrip("/")
        self.results = results
        self.path = results / self.name
        self._lock = filelock.FileLock(self.path / ".lock", timeout=LOCK_SECONDS)

    @staticmethod
    def is_at(path: Path) -> bool:
        """Whether an experiment stands in this folder."""
        return (path / PLAN).is_file() or (path / COPY).is_file()

    def lock(self) -> None:
        """Claim the experiment for this process. Raises StoreError when another has it."""
        with reported(self.path, "write to"):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except filelock.Timeout as error:
                raise StoreError(
                    f"{self.path} is in use by another normbench process{self._holder()}\n"
                    "    wait for it, or give this experiment another name with --set name=..."
                ) from error
            clear_leftovers(self.path)
            # Beside the lock, which goes with its process: what is left of one that died, or of a
            # machine that did, is overwritten here.
            since = datetime.now().astimezone().isoformat(" ", "seconds")
            here = {"host": platform.node(), "process": os.getpid(), "since": since}
            replace_with(self.path / HOLDER, to_json(here).encode(), durable=False)

    def _holder(self) -> str:
        """Who has claimed the experiment, as far as they said."""
        try:
            holder = from_json(read_bytes(self.path / HOLDER) or b"")
            told = f"process {holder['process']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError, Damaged):
            return ""
        return f": {shown(told)[:200]}"

    def unlock(self) -> None:
        """Give the experiment free again."""
        if self._lock.is_locked:
            with suppress(OSError):  # whoever comes next overwrites it
                (self.path / HOLDER).unlink(missing_ok=True)
        self._lock.release()

    def in_use(self) -> bool:
        """Whether another process has claimed the experiment. Raises StoreError."""
        with reported(self.path, "read"):
            try:
                if Path(self._lock.lock_file).exists():  # it would be made
                    with self._lock.acquire(timeout=0):
                        pass
            except filelock.Timeout:
                return True
            except PermissionError:  # a place that we cannot write to may be another's
                return True
        return False

    def run(self, folder: str) -> RunStore:
        """The run in ``folder``, which need not exist yet."""
        return RunStore(self.path / folder)

    def check(self) -> None:
        """Raise StoreError when a newer normbench wrote what stands here."""
        self.known_plan()
        for folder in self.folders():
            self.run(folder).known_manifest()

    def folders(self) -> list[str]:
        """The names of the run folders there are, sorted. Raises StoreError."""
        with reported(self.path, "read"):
            names = os.listdir(self.path) if self.path.exists() else []
            marks = ("manifest.json", DONE)  # of a damaged run only one may be left
            return sorted(
                n for n in names if any(os.path.exists(f"{self.path}/{n}/{m}") for m in marks)
            )

    def find(self, text: str) -> str:
        """The run folder that ``text`` names, or alone begins with it. Raises StoreError."""
        self.check_named()
        runs = {folder: folder for folder in self.folders()}
        return one_of(text, runs, f"experiment {self.name!r}", self.name)

    def clear(self) -> None:
        """Forget every run of this experiment. Raises StoreError."""
        for folder in self.folders():
            self.run(folder).clear()

    def set_aside(self, folder: str) -> Path:
        """Move a run, or a folder that is none, to where it does not count; the place.

        Raises StoreError.
        """
        with reported(self.path / folder, "set aside"):
            (self.path / ASIDE).mkdir(exist_ok=True)
            number = 1
            while (aside := self.path / ASIDE / f"{folder}.{number}").exists():
                number += 1
            (self.path / folder).rename(aside)
            sync_folder(aside.parent)
            sync_folder(self.path)
        return aside

    def disk_bytes(self, folder: str = ".") -> int:
        """What the experiment, or one run's folder, takes on disk. Raises StoreError."""
        with reported(self.path, "read"):
            files = [path for path in (self.path / folder).rglob("*") if path.is_file()]
            return sum(path.lstat().st_size for path in files)

    def check_removable(self) -> None:
        """Raise StoreError when this is no experiment of the results folder, or a link elsewhere.

        A run that is a link counts too: only what is in the results folder may be deleted.
        """
        if self.name not in experiments(self.results):
            raise self._unknown()
        with reported(self.path, "read"):
            links = [path for path in (self.path, *self.path.iterdir()) if path.is_symlink()]
        for path in links:
            raise StoreError(
                f"{path} is a link to {path.resolve()}, outside of these results\n"
                "    remove it by hand if that is what you want"
            )

    def remove(self) -> None:
        """Delete the experiment with everything in its folder. Raises StoreError."""
        self.clear()
        with reported(self.path, "remove"):
            # The plan goes last: what a crash leaves behind is an experiment that can be removed.
            for path in sorted(self.path.iterdir(), key=lambda path: path.name == PLAN):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            self.path.rmdir()

    def plan(
        self, config: dict[str, Any], runs: Sequence[dict[str, Any]], **told: Any
    ) -> dict[str, Any]:
        """The record of what is asked for: the resolved config, every planned run, what is told.

        What was looked at before, and what it was judged by, stays on record as long as some of the
        runs can be compared with those of that time. Raises StoreError for a damaged record.
        """
        before = self.known_plan() or {"runs": []}
        known = {run.get("context") for run in before["runs"] if isinstance(run, dict)}
        kept: dict[str, Any] = {}
        rules: list[dict[str, Any]] = []
        verdict = config.get("verdict")
        if before.get("looked_at") and known & {run["context"] for run in runs}:
            kept = {key: before[key] for key in ("looked_at", "looked_by") if key in before}
            # An older normbench kept the last rule alone.
            first = {"seeds": 0, "verdict": before["config"].get("verdict")}
            rules = before.get("rules") or [first]
        if not rules or rules[-1]["verdict"] != verdict:
            rules = [*rules, {"seeds": max(kept.get("looked_at", [0])), "verdict": verdict}]
        kept["rules"] = rules
        plan = {"schema": SCHEMA, "name": self.name, "config": config, "runs": list(runs)}
        return {**plan, **kept, **told}

    def write_plan(
        self, config: dict[str, Any], runs: Sequence[dict[str, Any]], **told: Any
    ) -> None:
        """Record what was asked for: see ``plan``. Raises StoreError."""
        self.write_record(self.plan(config, runs, **told))

    def write_record(self, plan: dict[str, Any]) -> None:
        """Record a plan, and its copy. Raises StoreError."""
        content = with_sum(to_json(plan))
        for name in (PLAN, COPY):
            self._put(name, content)

    def _put(self, name: str, content: bytes) -> None:
        if (self.path / name).is_dir():  # which no file can replace
            self.set_aside(name)
        write_atomically(self.path / name, content)

    def read_plan(self) -> dict[str, Any]:
        """What was last asked for, from its copy where the record itself is damaged.

        Raises StoreError when there is no such experiment, and Damaged when both are.
        """
        return self.plan_and_fault()[0]

    def plan_and_fault(self) -> tuple[dict[str, Any], str]:
        """The same, and what is wrong with the record; "" where nothing is."""
        if not self.is_named():
            raise self._unknown()
        try:
            return self._plan_in(PLAN), ""
        except Damaged as damage:  # also where it alone is gone
            try:
                return self._plan_in(COPY), str(damage).partition("\n")[0]
            except StoreError:
                raise damage from None

    def check_named(self) -> None:
        """Raise StoreError where there is no experiment of this name."""
        if not (self.is_named() and self.is_at(self.path)):
            raise self._unknown()

    def rewrite_plan(self) -> bool:
        """Make record and copy the same where one is damaged; whether that was needed."""
        if self.known_plan() is None:
            return False
        bad = PLAN if self.plan_and_fault()[1] else COPY
        if bad == COPY and not self.copy_fault():
            return False
        content = read_bytes(self.path / (COPY if bad == PLAN else PLAN)) or b""
        self._put(bad, content)
        return True

    def copy_fault(self) -> str:
        """What is wrong with the copy of a record that is good itself; "" where nothing is.

        Raises StoreError.
        """
        record = read_bytes(self.path / PLAN) or b""
        try:
            copy = read_bytes(self.path / COPY)
        except Damaged as damage:
            return str(damage).partition("\n")[0]
        if copy == record or (copy is None and b'"seal"' not in record):
            return ""
        return f"{self.path / COPY} is not the copy that was written"

    def known_plan(self) -> dict[str, Any] | None:
        """The same; None where there is none, or none that can be read.

        Raises StoreError when a newer normbench wrote it.
        """
        if not self.is_at(self.path):
            return None
        try:
            return self.read_plan()
        except Damaged:
            return None

    def _plan_in(self, name: str) -> dict[str, Any]:
        """A plan without its seal. Raises Damaged unless that holds, or it is one that has none."""
        path = self.path / name
        with reported(path, "read"):
            try:
                content = read_bytes(path)
            except NotADirectoryError:
                content = None
        if content is None and self.is_at(self.path):
            raise Damaged(path, "it is not there any more")
        if content is None:
            raise self._unknown()
        plan = manifests.plan(content, path)
        if "seal" in plan or self._must_be_sealed():
            check_sum(content, path)
        plan.pop("seal", None)
        return plan

    def _must_be_sealed(self) -> bool:
        """Whether a normbench wrote here that seals: an earlier one made no copy, and no seals."""
        if os.path.lexists(self.path / COPY):
            return True
        return any(self.run(folder).sealed for folder in self.folders())

    def looked_by(self) -> Any:
        """The ``seeds`` of the config by which the runs on record were last looked at, or None."""
        return self.read_plan().get("looked_by") if self.is_at(self.path) else None

    def is_named(self) -> bool:
        """Whether the name is one of a folder in the results folder, not a way to elsewhere."""
        return self.name not in ("", "..") and Path(self.name).name == self.name

    def changed(self) -> float:
        """When it was planned or one of its runs last wrote its state, in seconds since 1970.

        Raises StoreError.
        """
        with reported(self.path, "read"):
            plan = PLAN if os.path.exists(f"{self.path}/{PLAN}") else COPY
            records = [f"{self.path}/{plan}"]
            records += [f"{self.path}/{folder}/manifest.json" for folder in self.folders()]
            return max(os.stat(path).st_mtime for path in records if os.path.exists(path))

    def _unknown(self) -> StoreError:
        known = experiments(self.results)
        hint = suggest(self.name, known) if known else NO_EXPERIMENT
        return StoreError(f"no experiment {self.name!r} in {absolute(self.results)}\n    {hint}")


def absolute(path: Path) -> str:
    """The place that was searched, whatever the current folder is."""
    return os.path.abspath(path)


def experiments(results: Path) -> list[str]:
    """The names of the experiments in a results folder, sorted; [] if there is no such folder."""
    if results.exists() and not results.is_dir():
        raise StoreError(f"{results} is not a folder of results\n    name one with --results DIR")
    if not results.exists():
        return []
    with reported(results, "read"):
        records = [path for name in (PLAN, COPY) for path in results.glob(f"*/{name}")]
        return sorted({path.parent.name for path in records})


def one_of(text: str, runs: Mapping[str, str], where: str, experiment: str = "") -> str:
    """The key in ``runs`` whose folder is ``text``, or alone begins with it. Raises StoreError."""
    keys = [key for key, folder in runs.items() if folder == text]
    keys = keys or [key for key, folder in runs.items() if text and folder.startswith(text)]
    if len(keys) == 1:
        return keys[0]
    if keys:
        shown = ", ".join(keys[:MOST_NAMED]) + (", ..." if len(keys) > MOST_NAMED else "")
        raise StoreError(f"{text!r} could be any of {len(keys)} runs of {where}\n    {shown}")
    close = difflib.get_close_matches(text, runs.values(), n=1, cutoff=0.4)
    guess = f"did you mean {close[0]!r}?  " if close else ""
    command = f"normbench list runs {experiment}".rstrip()
    raise StoreError(f"no run {text!r} in {where}\n    {guess}`{command}` lists them")
