"""The command line in this process: exit code, stdout and stderr."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from scripted import diverges, fails, finishes, play, stops
from tiny import TEXT, experiment

from normbench.cli import main
from normbench.plan import PlannedRun


class Done(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs ``normbench`` with arguments, in an empty folder. Any traceback fails the test."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["normbench", *map(str, arguments)])
        capsys.readouterr()
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as caught:
                main()
        finally:
            signal.signal(signal.SIGINT, before)  # the command line takes it for good
        out, err = capsys.readouterr()
        code = caught.value.code
        assert "Traceback" not in out + err
        return Done(code if isinstance(code, int) else int(code is not None), out, err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The tiny experiment as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def ended_in_every_way(tmp_path_factory: pytest.TempPathFactory, digits) -> Path:
    """What ``results`` is a copy of."""

    def script(run: PlannedRun):
        return {
            "batch": finishes({0: 0.1, 5: 0.4, 12: 0.7}),
            "none": diverges(3, 5),
            "rms": fails("it broke"),
            "layer": None if run.seed else stops(4),
        }[run.norm]

    folder = tmp_path_factory.mktemp("ended")
    play(folder, experiment("norms=[none, batch, layer, rms]"), digits, script)
    return folder


@pytest.fixture
def results(tmp_path: Path, ended_in_every_way: Path) -> Path:
    """``results/tiny``: of two seeds each, batch finished, none diverged, rms failed; layer's first
    was interrupted and its second not begun.
    """
    return Path(shutil.copytree(ended_in_every_way, tmp_path / "results"))
