"""Where too few files may be open, a sentence says so; nothing ends in a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
from tiny import TEXT

from normbench.cli import descriptors
from normbench.errors import StoreError

resource = pytest.importorskip("resource")


@pytest.fixture
def limit(monkeypatch):
    """Pretends limits, soft and hard, and takes what is set."""

    def pretend(soft: int, hard: int) -> list[tuple[int, int]]:
        given: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: given.append(limits))
        return given

    return pretend


def test_a_limit_is_raised_as_far_as_it_may_be(limit):
    given = limit(14, 4096)
    descriptors.require()
    assert given == [(descriptors.NEEDED, 4096)]
    given = limit(1024, 4096)
    descriptors.require()
    assert given == []
    limit(14, 20)
    with pytest.raises(StoreError, match=r"20 are allowed at a time\n.*ulimit -n"):
        descriptors.require()


def test_an_error_below_another_is_found():
    below = OSError("cannot import")
    below.__context__ = OSError(errno.EMFILE, "Too many open files")
    assert descriptors.exhausted(below)
    assert not descriptors.exhausted(OSError(errno.ENOENT, "no"))


@pytest.mark.parametrize("verb", ["train", "list norms"])
def test_with_fourteen_files_a_verb_answers_or_says_why_not(tmp_path, verb):
    (tmp_path / "tiny.yaml").write_text(TEXT)
    words = [*verb.split(), *(["tiny.yaml"] if verb == "train" else [])]
    done = subprocess.run(
        [sys.executable, "-m", "normbench", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14)),
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (4 if verb == "train" else 0)
    assert ("14 are allowed at a time" in done.stderr) == (verb == "train")
