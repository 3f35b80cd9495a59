"""Runs that do not come from one environment are told before their numbers are believed."""

from __future__ import annotations

import json

from reported import put
from scripted import reseal

from normbench.api import compare
from normbench.report.fates import caveats


def changed(folder, **fields) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["environment"] |= fields
    path.write_text(json.dumps(manifest))
    reseal(folder)


def test_runs_of_one_environment_need_no_word(tmp_path, digits):
    assert not any("environment" in text for text in caveats(put(tmp_path, digits)))


def test_other_versions_and_machines_are_named_with_how_many_runs(tmp_path, digits):
    put(tmp_path, digits)
    first, second = sorted(path.parent for path in tmp_path.glob("tiny/*/manifest.json"))[:2]
    packages = json.loads((first / "manifest.json").read_text())["environment"]["packages"]
    changed(first, packages={**packages, "torch": "0.1"})
    changed(second, processor="an abacus")
    (told,) = (text for text in caveats(compare("tiny", results=tmp_path)) if "environment" in text)
    assert "0.1 in 1 run" in told
    assert f"{packages['torch']} in 8 runs" in told
    assert "an abacus" in told
    assert "numpy" not in told
