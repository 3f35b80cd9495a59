"""One long command, killed at random moments, its workers too, until it is let be.

``pytest -m soak -n 0 -s tests/soak/test_kills.py --soak-runs 1000 --soak-minutes 30``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import TEXT, experiment, journals

import normbench
from normbench.plan import expand
from normbench.store import ExperimentStore
from normbench.store.verify import verify

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc"),
]

NORMS = "norms=[none, batch, layer, rms]"
STEPS = "training={steps: 240, evaluate_every: 60}"
"""So that a thousand runs on two workers, and the starts after each kill, take half an hour."""

COMPARED = 3
"""Seeds of which every run is held against an undisturbed one."""

FLAT = 1.05
"""The most that a driver may hold at any moment of its steady life over the least, in bytes."""


def session(leader: int) -> list[int]:
    """Every living process of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(own) == leader and state != "Z":
            found.append(int(path.name))
    return found


def resident(pid: int) -> int:
    """Bytes of memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Life:
    """One process of the command: what it held, from the first run it ended to the last but a few.

    Before that it imports and plans, after it reads every run and draws the tables.
    """

    def __init__(self, command: list[str], folder: Path, results: Path, runs: int):
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.results, self.runs = results, runs
        self.before = self.done()
        self.steady: list[int] = []

    def done(self) -> int:
        """How many runs are told as done."""
        return sum(1 for _ in self.results.glob("*/*/DONE"))

    def pause(self) -> None:
        """Wait half a second, and look how much memory the driver holds."""
        time.sleep(0.5)
        size = resident(self.process.pid)
        if size and self.before + 4 < self.done() < self.runs - 4:
            self.steady.append(size)


def test_short_runs_with_random_kills_end_as_if_there_had_been_none(tmp_path, digits, pytestconfig):
    seeds = max(COMPARED, pytestconfig.getoption("--soak-runs") // 4)
    deadline = time.monotonic() + 60 * pytestconfig.getoption("--soak-minutes")
    (tmp_path / "tiny.yaml").write_text(TEXT)
    results, rng = tmp_path / "results", random.Random(3)
    command = [sys.executable, "-m", "normbench", "train", "tiny.yaml", "-q", "--jobs", "2"]
    command += ["--results", str(results), "--set", NORMS, "--set", STEPS]
    command += ["--set", f"seeds={seeds}"]
    kills = {"driver": 0, "worker": 0, "all": 0}
    ends: list[int] = []

    lives: list[Life] = []

    def start() -> subprocess.Popen[bytes]:
        lives.append(Life(command, tmp_path, results, 4 * seeds))
        return lives[-1].process

    process = start()
    while time.monotonic() < deadline:
        wait = time.monotonic() + rng.uniform(1, 60)
        while process.poll() is None and time.monotonic() < wait:
            lives[-1].pause()
        if process.poll() is not None:
            ends.append(process.returncode)
            if process.returncode == 0:
                break
            process = start()
            continue
        whom = rng.choice(list(kills))
        family = session(process.pid)
        others = [pid for pid in family if pid != process.pid]
        chosen = {"driver": [process.pid], "worker": rng.sample(others, min(1, len(others)))}
        for pid in chosen.get(whom, family):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        kills[whom] += 1
        if whom != "worker":
            process.wait()
            gone = time.monotonic() + 30
            while session(process.pid) and time.monotonic() < gone:
                time.sleep(0.1)
            assert session(process.pid) == []
            process = start()
    spent = time.monotonic() - deadline + 60 * pytestconfig.getoption("--soak-minutes")
    while True:  # let be: a run whose worker was killed has failed, and is taken up again
        while process.poll() is None:
            lives[-1].pause()
        if process.returncode == 0:
            break
        ends.append(process.returncode)
        assert process.returncode == 1
        assert len(ends) < 1000
        process = start()
    store = ExperimentStore(results, "tiny")
    planned = expand(experiment(NORMS, STEPS, f"seeds={seeds}"))
    assert sorted(store.folders()) == sorted(run.folder for run in planned)
    assert list(verify(store)) == []
    assert list(store.path.rglob("*.tmp")) == []
    compared = experiment(NORMS, STEPS, f"seeds={COMPARED}")
    normbench.train(compared, results=tmp_path / "whole", jobs=1)
    whole, found = journals(tmp_path / "whole" / "tiny"), journals(store.path)
    assert {name: found[name] for name in whole} == whole
    print(f"\n{len(planned)} runs, killed {kills} in {spent / 60:.0f} minutes, other ends {ends}")
    steady = [life.steady for life in lives if len(life.steady) > 1]
    grown = [max(sizes) / min(sizes) for sizes in steady]
    low, high = min(map(min, steady)) >> 20, max(map(max, steady)) >> 20
    print(
        f"{len(lives)} lives of the driver; in the {len(steady)} that trained for some seconds it"
    )
    print(f"held {low} to {high} MB, most over least within one at worst {max(grown):.4f}")
    assert max(grown) < FLAT
