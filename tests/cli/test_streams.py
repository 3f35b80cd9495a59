"""A message that cannot be written ends there; what it is about goes on, and so does its code."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TEXT

from normbench.cli.streams import Stream, Streams

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


class Broken(io.StringIO):
    """Takes nothing."""

    def __init__(self, error: Exception):
        super().__init__()
        self.error, self.tries = error, 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), BrokenPipeError(errno.EPIPE, "gone"), ValueError("closed")],
)
def test_what_cannot_be_written_is_tried_once_and_never_raises(error):
    broken = Broken(error)
    stream = Stream(broken)
    for _ in range(3):
        assert stream.write("text") == 4
    stream.flush()
    assert broken.tries == 1
    assert stream.fault is error
    assert stream.unread == isinstance(error, BrokenPipeError)


def test_a_stream_shows_plain_characters_for_those_that_it_lacks():
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii", newline=""))
    stream.writelines(["▁█ → ", "µ\n"])
    stream.flush()
    assert raw.getvalue() == b"_* -> u\n"
    assert stream.encoding == "utf-8"  # so that nobody decides to write bytes past it


def test_without_any_stream_nothing_is_written(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with Streams() as streams:
        print("nobody reads this")
    assert streams.out.fault is None
    assert sys.stdout is None


def run(*words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = " ".join([sys.executable, "-m", "normbench", *words, shell])
    env = dict(os.environ, **environment)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=env
    )


@needs_full
def test_a_full_disk_behind_the_output_is_an_error_that_is_told():
    done = run("list", "norms", "--json", shell="> /dev/full")
    assert done.returncode == 4
    assert done.stderr == "error: cannot write the output: no space left on device\n"


def test_a_reader_that_goes_away_is_none():
    done = run("list", "datasets", "--json", shell="| true")
    assert (done.returncode, done.stderr) == (0, "")


@needs_full
def test_a_message_that_cannot_be_written_changes_no_exit_code():
    assert run("list", "nothing", shell="2> /dev/full").returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_tables_are_plain_where_a_terminal_knows_no_more(encoding):
    done = run("list", "datasets", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-----" in done.stdout
    assert "?" not in done.stdout


@needs_full
@pytest.mark.slow
def test_training_goes_on_when_nobody_can_be_told(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TEXT)
    words = ("train", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path / "results"))
    done = run(*words, shell="2> /dev/full | true")
    assert done.returncode == 0
    assert len(list(tmp_path.glob("results/tiny/*/DONE"))) == 4
