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
COMPARED = 3
"""Seeds of which every run is held against an undisturbed one."""


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


def test_short_runs_with_random_kills_end_as_if_there_had_been_none(tmp_path, digits, pytestconfig):
    seeds = max(COMPARED, pytestconfig.getoption("--soak-runs") // 4)
    deadline = time.monotonic() + 60 * pytestconfig.getoption("--soak-minutes")
    (tmp_path / "tiny.yaml").write_text(TEXT)
    results, rng = tmp_path / "results", random.Random(3)
    command = [sys.executable, "-m", "normbench", "train", "tiny.yaml", "-q", "--jobs", "2"]
    command += ["--results", str(results), "--set", NORMS, "--set", f"seeds={seeds}"]
    kills = {"driver": 0, "worker": 0, "all": 0}
    ends: list[int] = []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    process = start()
    while time.monotonic() < deadline:
        wait = time.monotonic() + rng.uniform(1, 25)
        while process.poll() is None and time.monotonic() < wait:
            time.sleep(0.1)
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
            os.kill(pid, signal.SIGKILL)
        kills[whom] += 1
        if whom != "worker":
            process.wait()
            gone = time.monotonic() + 30
            while session(process.pid) and time.monotonic() < gone:
                time.sleep(0.1)
            assert session(process.pid) == []
            process = start()
    sizes: list[int] = []  # of the last process, every half second
    while True:  # let be: a run whose worker was killed has failed, and is taken up again
        while process.poll() is None:
            sizes.append(resident(process.pid))
            time.sleep(0.5)
        sizes = [size for size in sizes if size]
        if process.returncode == 0:
            break
        ends.append(process.returncode)
        assert process.returncode == 1
        assert len(ends) < 1000
        process = start()
        sizes.clear()
    store = ExperimentStore(results, "tiny")
    planned = expand(experiment(NORMS, f"seeds={seeds}"))
    assert sorted(store.folders()) == sorted(run.folder for run in planned)
    assert list(verify(store)) == []
    assert list(store.path.rglob("*.tmp")) == []
    normbench.train(experiment(NORMS, f"seeds={COMPARED}"), results=tmp_path / "whole", jobs=1)
    whole, found = journals(tmp_path / "whole" / "tiny"), journals(store.path)
    assert {name: found[name] for name in whole} == whole
    print(f"\n{len(planned)} runs, killed {kills}, other ends {ends}")
    thirds = sizes[len(sizes) // 3 :: max(1, len(sizes) // 3)]
    print(f"memory of the driver that was let be, MB, at each third: {[n >> 20 for n in thirds]}")
