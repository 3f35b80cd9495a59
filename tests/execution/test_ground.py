"""A run continues on the ground that it began on, or says so for good."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedExecutor, evaluated, finishes, manifest, play, started, stops
from tiny import experiment

from normbench.components import imports_sha256
from normbench.errors import StoreError
from normbench.execution import driver, execute
from normbench.execution.ground import changes, code_of
from normbench.norms import NORMS
from normbench.plan import expand
from normbench.report.fates import caveats
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore, read_results
from normbench.training import events

ONE = ("norms=[none]", "seeds=1")


def begun(root: Path, digits: Any, **fields: Any) -> Path:
    """A run that stopped at step 4, begun with ``fields`` in its manifest."""
    play(root, experiment(*ONE), digits, lambda _: stops(4))
    (run,) = expand(experiment(*ONE))
    path = root / "tiny" / run.folder / "manifest.json"
    found = json.loads(path.read_text())
    torch = fields.pop("torch", None)
    if torch:
        found["environment"]["packages"]["torch"] = torch
    path.write_text(json.dumps(found | fields))
    return path.parent


def goes_on(root: Path, digits: Any, **options: bool):
    rest = [
        started(step=4),
        *[e for e in finishes({5: 0.5, 12: 0.7}) if type(e) is not events.Started],
    ]
    store = ExperimentStore(root, "tiny")
    return execute(
        expand(experiment(*ONE)), store, digits, ScriptedExecutor(lambda _: rest), **options
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"torch": "2.0.0"}, "torch 2.0.0, now"),
        ({"device": "cuda:7"}, "device cuda:7, now cpu"),
        ({"threads": 64}, "threads 64, now 1"),
    ],
)
def test_other_ground_is_refused_or_told_for_good(tmp_path, digits, fields, told):
    folder = begun(tmp_path, digits, **fields)
    before = manifest(folder)
    with pytest.raises(StoreError, match=rf"{told}.*\n.*--accept-changes") as caught:
        goes_on(tmp_path, digits)
    assert caught.value.exit_code == 4
    assert manifest(folder) == before
    assert goes_on(tmp_path, digits, accept_changes=True).finished == 1
    (change,) = manifest(folder)["changes"]
    assert change.startswith(told)
    assert change.endswith("from step 4")
    (text,) = (
        t for t in caveats(ExperimentResult(read_results(tmp_path, "tiny"))) if "ground" in t
    )
    assert told in text


OWN = """\
from torch import nn
from parts import SCALE

class Mine(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(SCALE * __import__("torch").ones(features))

    def forward(self, x):
        return self.weight * x
"""


def test_code_that_a_file_of_ones_own_imports_is_ground(tmp_path):
    folder = tmp_path / "own"
    (folder / "deeper").mkdir(parents=True)
    (folder / "mine.py").write_text(OWN)
    (folder / "parts.py").write_text("from deeper import more\nSCALE = more.SCALE\n")
    (folder / "deeper" / "__init__.py").write_text("")
    (folder / "deeper" / "more.py").write_text("SCALE = 1.0\n")
    (folder / "beside.py").write_text("nobody = 'imports it'\n")
    reference = f"{folder}/mine.py:Mine"
    first = imports_sha256(reference)
    (folder / "beside.py").write_text("nobody = 'imports it still'\n")
    (folder / "mine.py").write_text(OWN + "\n# its own hash stands in the identity\n")
    assert imports_sha256(reference) == first
    (folder / "deeper" / "more.py").write_text("SCALE = 2.0\n")
    second = imports_sha256(reference)
    assert second != first
    (told,) = changes({"code": {"norm": first}}, {"code": {"norm": second}})
    assert told == f"code of the norm {first[:8]}, now {second[:8]}"
    (folder / "mine.py").write_text("from torch import nn\nMine = nn.Identity\n")
    assert imports_sha256(reference) is None
    assert imports_sha256("torch.nn:Identity") is None


def test_a_run_whose_own_code_was_edited_is_refused_or_told_for_good(tmp_path, digits, monkeypatch):
    begun(tmp_path, digits, code={"model": "0" * 64})
    monkeypatch.setattr(driver, "code_of", lambda config: {"model": "f" * 64})
    with pytest.raises(StoreError, match="code of the model 00000000, now ffffffff"):
        goes_on(tmp_path, digits)
    assert goes_on(tmp_path, digits, accept_changes=True).finished == 1


def test_what_a_script_registers_is_ground_by_its_source(monkeypatch):
    assert code_of(experiment(*ONE).run({}, 0, 0)) == {}

    class Guest:
        """As it stands here."""

    monkeypatch.setattr(type(NORMS), "guests", lambda self: [("none", (), Guest)])
    (digest,) = {code_of(experiment(*ONE).run({}, 0, 0))["norm"]}
    assert digest == hashlib.sha256(inspect.getsource(Guest).encode()).hexdigest()
    monkeypatch.setattr(type(NORMS), "guests", lambda self: [("none", (), object())])
    assert code_of(experiment(*ONE).run({}, 0, 0)) == {}


def test_the_same_ground_needs_no_word(tmp_path, digits):
    folder = begun(tmp_path, digits)
    assert goes_on(tmp_path, digits).finished == 1
    assert "changes" not in manifest(folder)


def test_what_begins_anew_stands_on_what_there_is(tmp_path, digits):
    folder = begun(tmp_path, digits, torch="2.0.0")
    (folder / "checkpoint.pt").unlink()
    script = lambda _: [started(), evaluated(0, 0.1), events.Failed("no")]  # noqa: E731
    store = ExperimentStore(tmp_path, "tiny")
    assert (
        len(execute(expand(experiment(*ONE)), store, digits, ScriptedExecutor(script)).failed) == 1
    )


def test_what_a_manifest_does_not_say_is_no_change():
    assert changes({}, {"device": "cpu", "threads": 1}) == []
    assert changes({"environment": {"packages": [1]}}, {"device": "cpu"}) == []
