"""The README's lines where people put them: a plain file, stdin, IPython, a notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TEXT

import normbench

ROOT = Path(normbench.__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
(USE,) = [block for block in BLOCKS if "nb.train(" in block]
(NORM,) = [block for block in BLOCKS if "@NORMS.register" in block]
OWN = """\
own = nb.train("configs/digits.yaml", overrides=["norms=[batch, mean_only_layer]", "name=own"])
assert own.outcome.finished == 4, own.outcome
"""
PRINTED = 'print("main is", __name__)\nprint(result)\nprint(result.table)\n'


@pytest.fixture
def folder(tmp_path: Path, digits) -> Path:
    """A folder in which the README's lines take a moment."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.yaml").write_text(TEXT)
    return tmp_path


def ran(folder: Path, *command: str, stdin: str | None = None) -> str:
    """What it prints on stdout; nothing else may be said."""
    done = subprocess.run(
        [sys.executable, *command],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env=dict(os.environ, PYTHONPATH=str(ROOT), IPYTHONDIR=str(folder)),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_plain_file_without_a_main_guard_trains_also_a_norm_that_it_defines(folder):
    (folder / "script.py").write_text(f"{NORM}\n{USE}\n{OWN}\n{PRINTED}")
    out = ran(folder, "script.py")
    assert out.count("main is __main__") == 1
    assert "main is __mp_main__" not in out
    assert "batch leads with AUC" in out


@pytest.mark.slow
def test_so_does_what_comes_through_stdin(folder):
    out = ran(folder, "-", stdin=f"{NORM}\n{USE}\n{OWN}\n{PRINTED}")
    assert out.count("main is __main__") == 1
    assert "batch leads with AUC" in out


@pytest.mark.slow
def test_so_does_ipython(folder):
    pytest.importorskip("IPython")
    out = ran(folder, "-m", "IPython", "--colors=nocolor", "-c", f"{NORM}\n{USE}\n{OWN}\nresult")
    assert "batch leads with AUC" in out


@pytest.mark.slow
def test_so_does_a_notebook_which_shows_tables_and_pictures_and_loads_nothing(folder, monkeypatch):
    nbformat, nbclient = (pytest.importorskip(name) for name in ("nbformat", "nbclient"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    again = f"{NORM}\n{OWN}"  # a cell that is run a second time registers its norm again
    cells = [NORM, USE, again, "result", "print(result.table)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(folder)}}
    ).execute()
    shown = [
        (place, kind, content)
        for place, cell in enumerate(notebook.cells)
        for output in cell.outputs
        for kind, content in output.get("data", {"text/plain": output.get("text", "")}).items()
    ]
    assert any("4 of 4 runs trained" in text for place, _, text in shown if place == 1)
    assert any(kind == "image/png" for place, kind, _ in shown if place == 1)
    assert any("<table" in text for place, kind, text in shown if place == 3)
    assert any("batch" in text for place, _, text in shown if place == 4)
    assert not any(re.search(r"https?:|<script", text) for _, _, text in shown)
    errors = [o for c in notebook.cells for o in c.outputs if o.get("name") == "stderr"]
    assert errors == []
