"""Power cuts on a real file system: what the block device of an ext4 image holds at any moment.

``pytest -m soak -n 0 -s tests/soak/test_power_cut_images.py``, as root. A copy of the image's file
holds only what the kernel has brought to the device, so mounting it shows what a power cut would
have left. The image lies in memory, so that a copy takes milliseconds; one that is torn all the
same, whose file system is not consistent once its journal is replayed, is mended as after a real
crash and counted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import TEXT, experiment, journal, journals

import normbench
from normbench.cli import main
from normbench.store import ExperimentStore

MEGABYTES = 256
DURING, AFTER, AFTER_SECONDS = 40, 20, 25.0
SETTINGS = (
    "training={steps: 400, evaluate_every: 40}",
    "probes={every: 40}",
    "norms=[none, batch, rms]",
    "seeds=2",
)
OFTEN = "import normbench.training.loop\nnormbench.training.loop.CHECKPOINT_SECONDS = 0.1\n"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mkfs.ext4"),
        reason="makes and mounts an ext4 image, which wants root and mkfs.ext4",
    ),
]


def run(*command: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*map(str, command)], capture_output=True, check=False)


@contextmanager
def mounted(image: Path, place: Path, options: str) -> Iterator[Path]:
    """The file system in an image, at ``place``."""
    place.mkdir(exist_ok=True)
    done = run("mount", "-o", f"loop,{options}", image, place)
    if done.returncode:
        pytest.skip(f"no loop mounts here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        for _ in range(50):  # a process that was just ended may still be there
            if run("umount", place).returncode == 0:
                break
            time.sleep(0.1)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


def copied(image: Path, place: Path) -> Path:
    """The image as it is now; holes stay holes."""
    assert run("cp", "--sparse=always", image, place).returncode == 0
    return place


def cuts(memory: Path, options: str, rng: random.Random) -> tuple[list[Path], list[Path]]:
    """Copies of the image while an experiment ran on it, and after it ended."""
    image = memory / "image"
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    assert run("mkfs.ext4", "-q", "-F", image).returncode == 0
    (memory / "tiny.yaml").write_text(TEXT)
    (memory / "sitecustomize.py").write_text(OFTEN)
    command = [sys.executable, "-m", "normbench", "train", "tiny.yaml", "-q", "--jobs", "2"]
    paths = os.pathsep.join([str(memory), *sys.path])
    during, after = [], []
    with mounted(image, memory / "disk", options) as disk:
        process = subprocess.Popen(
            [*command, "--results", disk / "results", *(f"--set={text}" for text in SETTINGS)],
            cwd=memory, env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None:
            if (disk / "results" / "tiny").exists():
                during.append(copied(image, memory / f"during-{len(during)}"))
            time.sleep(rng.uniform(0.01, 0.1))
        assert process.returncode == 0
        ended = time.monotonic()
        for moment in sorted(rng.uniform(0, AFTER_SECONDS) for _ in range(AFTER)):
            time.sleep(max(0.0, ended + moment - time.monotonic()))
            after.append(copied(image, memory / f"after-{len(after)}"))
    assert len(during) >= DURING
    return rng.sample(during, DURING), after


def replayed(copy: Path) -> bool:
    """Replay the journal of a copied file system; whether it was consistent then, without help."""
    if run("e2fsck", "-fp", copy).returncode in (0, 1):  # what needs no asking, as at a start
        return True
    run("e2fsck", "-fy", copy)
    return False


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("defaults", id="as systems mount it"),
        pytest.param("noauto_da_alloc,commit=1", id="names before contents"),
    ],
)
def test_after_a_power_cut_nothing_is_told_as_done_that_is_not_and_the_same_command_ends_as_ever(
    tmp_path, memory, digits, options, monkeypatch, capsys
):
    normbench.train(experiment(*SETTINGS), results=tmp_path, jobs=1)
    whole = journals(tmp_path / "tiny")
    found: Counter[str] = Counter()
    during, after = cuts(memory, options, random.Random(5))
    for copy in [*during, *after]:
        found["copies"] += 1
        found["torn"] += not replayed(copy)
        with mounted(copy, memory / "copy", options) as disk:
            results = disk / "results"
            store = ExperimentStore(results, "tiny")
            for folder in store.folders():
                found["runs met"] += 1
                if store.run(folder).ended:
                    found["runs met as done"] += 1
                    assert store.run(folder).fault() is None
                    for name in (f"{folder}/metrics.jsonl", f"{folder}/probes.jsonl"):
                        assert list(map(json.dumps, journal(store.path / name))) == whole[name]
                elif store.run(folder).good_checkpoint()[0] is not None:
                    found["runs met with a checkpoint"] += 1
            for verb in ("compare", "doctor"):
                arguments = ["normbench", verb, "tiny", "--results", str(results)]
                monkeypatch.setattr(sys, "argv", arguments)
                with pytest.raises(SystemExit) as end:
                    main()
                out, err = capsys.readouterr()
                assert "Traceback" not in out + err
                found[f"{verb}: exit {end.value.code or 0}"] += 1
            normbench.train(experiment(*SETTINGS), results=results, jobs=1)
            assert journals(store.path) == whole
            found["ends as undisturbed"] += 1
        copy.unlink()
    with capsys.disabled():
        print(f"\n{options}: {dict(found)}")
    assert found["runs met as done"]
    assert found["ends as undisturbed"] == DURING + AFTER
