"""Python's search for cycles does not go through torch again and again while a verb loads it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import normbench
from normbench.cli import ANSWERING, VERBS, _collecting_seldom


def searches(*words: str, folder: Path) -> int:
    """How many searches for cycles a fresh ``normbench WORDS`` makes, whatever they search."""
    code = (
        "import gc, sys\nfrom normbench.cli import main\n"
        "made = lambda: sum(each['collections'] for each in gc.get_stats())\n"
        "before = made()\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('SEARCHES', made() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(Path(normbench.__file__).parent.parent)),
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("SEARCHES")[2])


def test_a_verb_that_needs_torch_searches_a_few_times_in_all(tmp_path):
    assert searches("list", "norms", folder=tmp_path) < 20


def test_what_trains_keeps_the_usual_thresholds_and_every_verb_gives_them_back():
    usual = gc.get_threshold()
    assert {verb.NAME for verb in VERBS} >= ANSWERING
    assert not ANSWERING & {"train", "probe", "cost", "claims", "watch"}
    with _collecting_seldom("train"):
        assert gc.get_threshold() == usual
    with _collecting_seldom("validate"):
        assert gc.get_threshold()[0] > 10 * usual[0]
    assert gc.get_threshold() == usual
