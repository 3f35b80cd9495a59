"""The power may go at any moment: what is told as done is whole, and what is not continues.

A disk is simulated that keeps of a file what was last brought to it, and nothing of one that never
was. Of the names in a folder it keeps those that were brought to it, or those that were given
since, whichever is worse.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from normbench.store import RunStore

MANIFEST = {
    "norm": "batch",
    "seed": 0,
    "steps": 15,
    "method": "m",
    "context": "c",
    "data": {"dataset": "digits", "fingerprint": "f"},
}


class Disk:
    """What outlasts a power cut, of one folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self.contents: dict[int, bytes] = {}
        self.names: dict[str, int] = {}
        self.moments: list[dict[str, bytes]] = []
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(handle: int) -> None:
            real_fsync(handle)
            place = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if place == folder:
                self.names = self.current()
            elif place.parent == folder:
                os.dup(handle)  # or the system gives its inode to another, once it has no name
                self.contents[os.fstat(handle).st_ino] = place.read_bytes()
            self.look()

        def replace(*names) -> None:
            real_replace(*names)
            self.look()

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)

    def current(self) -> dict[str, int]:
        if not self.folder.exists():
            return {}
        return {entry.name: entry.inode() for entry in os.scandir(self.folder)}

    def look(self) -> None:
        """Keep what a power cut would leave now."""
        for names in (self.names, self.current()):
            self.moments.append({n: self.contents.get(i, b"") for n, i in names.items()})


def after_each(disk: Disk, place: Path) -> list[RunStore]:
    """The folder as every power cut would leave it."""
    found = []
    for number, files in enumerate(disk.moments):
        folder = place / str(number) / disk.folder.name
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        found.append(RunStore(folder))
    return found


def line(step: int) -> dict[str, object]:
    numbers = dict.fromkeys(("val_loss", "val_accuracy", "train_loss", "train_seconds"), 0.5)
    return {"event": "eval", "step": step, **numbers}


def whole_run(folder: Path, look: Callable[[], None]) -> None:
    """Two checkpoints, an interruption, a continuation, a third checkpoint and the end."""
    run = RunStore(folder)
    run.open({"seed": 0}, MANIFEST, None)
    for step in (0, 5, 10):
        run.append("metrics", line(step))
        run.append("probes", {"event": "probe", "step": step, "dead_units": [0.5]})
        look()
        if step:
            run.write_checkpoint(b"state at %d" % step, step)
            look()
    run.append("metrics", line(12))
    run.close("interrupted", done=False)
    look()
    again = RunStore(folder)
    again.open({"seed": 0}, MANIFEST, 10)
    look()
    again.append("metrics", line(15))
    again.write_checkpoint(b"state at 15", 15)
    test = {"event": "test", "step": 15, "test_loss": 1.0, "test_accuracy": 0.5}
    again.append("metrics", test)
    look()
    again.close("finished", done=True)
    look()


def test_whenever_the_power_goes_nothing_is_told_that_is_not_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        disk = Disk(tmp_path / "run", patch)
        whole_run(disk.folder, disk.look)
    assert len(disk.moments) > 60
    for run in after_each(disk, tmp_path / "cut"):
        if run.ended:
            assert run.done, run.fault()
        state, _ = run.good_checkpoint()
        assert state in (None, b"state at 5", b"state at 10", b"state at 15")
        step = int(state.split()[-1]) if state else 0
        if state and not run.ended:  # it continues, whatever of the journals came to the disk
            run.open({}, MANIFEST, step)
            assert [e["step"] for e in run.events("metrics")] == [
                s for s in (0, 5, 10, 15) if s <= step
            ]
    last = RunStore(tmp_path / "cut" / str(len(disk.moments) - 1) / "run")
    assert last.done


def test_once_a_checkpoint_is_written_no_power_cut_takes_it_away(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        disk = Disk(folder, patch)
        marks: list[tuple[int, int]] = []

        def look() -> None:
            steps = [e["step"] for e in RunStore(folder).known_manifest().get("checkpoints", [])]
            step = min(10, max(steps, default=0))  # the one at 15 comes to the disk with the end
            marks.append((len(disk.moments), step))

        whole_run(folder, look)
    runs = after_each(disk, tmp_path / "cut")
    for start, step in marks:
        for run in runs[start:]:
            state, _ = run.good_checkpoint()
            assert state is not None or step == 0
            assert step <= int((state or b"0").split()[-1])
