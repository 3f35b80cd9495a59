"""The whole command, killed and interrupted from outside, as a terminal, a scheduler or the
system's memory killer does it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import manifest
from tiny import TEXT, experiment, journals

import normbench
from normbench.execution import Outcome

STEPS = 600
SLOW = (f"training={{steps: {STEPS}, evaluate_every: 20}}", "seeds=1")
COMMAND = [sys.executable, "-m", "normbench", "train"]

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """A suite under nohup ignores them, and so would the command that it starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGQUIT)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def living(leader: int) -> list[tuple[int, str]]:
    """(pid, command) of every living process of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append((int(path.name), command))
    return found


class Training:
    """``normbench train`` in a session of its own."""

    def __init__(self, folder: Path):
        self.results = folder / "results"
        (folder / "tiny.yaml").write_text(TEXT)
        settings = [f"--set={override}" for override in SLOW]
        self.process = subprocess.Popen(
            [*COMMAND, str(folder / "tiny.yaml"), "--results", str(self.results), *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, "it ended too soon"
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def half_way(self) -> bool:
        """Whether some run has come past its first steps."""
        return any(
            '"step": 40' in path.read_text() for path in self.results.glob("*/*/metrics.jsonl")
        )

    def family(self) -> list[tuple[int, str]]:
        return living(self.process.pid)

    def ends(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def runs(self) -> list[Path]:
        return sorted(path for path in (self.results / "tiny").iterdir() if path.is_dir())

    def states(self) -> set[str]:
        begun = [path for path in self.runs() if (path / "manifest.json").exists()]
        return {manifest(path)["state"] for path in begun}


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    started = Training(tmp_path)
    yield started
    for pid, _ in started.family():
        os.kill(pid, signal.SIGKILL)
    started.process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits) -> dict[str, list[str]]:
    root = tmp_path_factory.mktemp("undisturbed")
    normbench.train(experiment(*SLOW), results=root, jobs=1)
    return journals(root / "tiny")


def continues_to(training: Training, undisturbed: dict[str, list[str]]) -> Outcome:
    outcome = normbench.train(experiment(*SLOW), results=training.results, jobs=1).outcome
    assert outcome is not None
    assert journals(training.results / "tiny") == undisturbed
    assert training.states() == {"finished"}
    return outcome


def test_killed_outright_it_leaves_no_process_and_the_same_command_ends_in_the_same_bytes(
    training, undisturbed
):
    training.until(training.half_way)
    training.process.kill()
    training.process.wait()
    assert "running" in training.states()
    deadline = time.monotonic() + 10
    while training.family() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert training.family() == []
    assert continues_to(training, undisturbed).finished > 0


@pytest.mark.parametrize(
    ("number", "send", "code"),
    [
        pytest.param(signal.SIGINT, os.killpg, 130, id="Ctrl-C, which every process gets"),
        pytest.param(
            signal.SIGHUP,
            os.killpg,
            129,
            id="SIGHUP, of a terminal that is closed",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            signal.SIGTERM,
            os.kill,
            143,
            id="SIGTERM, to the command alone",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_interrupted_it_checkpoints_and_the_same_command_continues(
    training, undisturbed, number, send, code
):
    training.until(training.half_way)
    send(training.process.pid, number)
    returned, out, err = training.ends()
    assert returned == code
    assert out == ""
    told = r"interrupted: \d+ of \d+ runs are done; the same command continues"
    assert re.search(told, err)
    assert "Traceback" not in err
    assert "\x1b" not in err
    stopped = [path for path in training.runs() if manifest(path)["state"] == "interrupted"]
    assert stopped
    for path in stopped:
        assert (path / "checkpoint.pt").exists()
        last = json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["step"] <= manifest(path)["checkpoint_step"] < STEPS
    assert any(manifest(path)["checkpoint_step"] >= 40 for path in stopped)
    continues_to(training, undisturbed)


@pytest.mark.slow
def test_a_scheduler_that_terminates_every_process_finds_them_stopped_in_good_order(training):
    training.until(training.half_way)
    os.killpg(training.process.pid, signal.SIGTERM)
    returned, _, err = training.ends()
    assert returned == 143
    assert "failed" not in err
    assert training.states() <= {"interrupted", "finished"}


def test_ctrl_c_in_the_first_seconds_shows_no_traceback(training):
    training.until(lambda: any("forkserver" in command for _, command in training.family()))
    time.sleep(0.2)
    os.killpg(training.process.pid, signal.SIGINT)
    returned, _, err = training.ends()
    assert "Traceback" not in err
    assert returned == 130


def test_a_mistake_in_the_config_leaves_no_process_that_still_imports(tmp_path):
    # Whoever reads our output waits until nobody holds its pipe any more.
    done = subprocess.Popen(
        [*COMMAND, "no-such-config"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    _, err = done.communicate(timeout=60)
    assert done.returncode == 2
    assert "no-such-config" in err
    # One that was killed and is not quite gone has no command any more.
    assert [command for _, command in living(done.pid) if command] == []
