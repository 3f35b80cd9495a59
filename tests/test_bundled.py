"""What the bundled configs say of themselves."""

from __future__ import annotations

import re

import pytest

from normbench.api import train
from normbench.bundled import bundled
from normbench.config import load
from normbench.report.answer import answer

HEADERS = {
    path.stem: " ".join(
        line.removeprefix("#").strip()
        for line in path.read_text(encoding="utf-8").split("\nname:")[0].splitlines()
    )
    for path in bundled()
}
RERUN = "digits"
"""The one that is small enough to be measured again."""


def measured(header: str) -> dict[str, float]:
    """norm -> the number that stands behind "Measured (AUC ...):" in a header."""
    found = re.search(r"Measured \(AUC[^)]*\): ([^;]*);", header)
    assert found, header
    return {norm: float(value) for norm, value in re.findall(r"(\w+) (0\.\d+)", found[1])}


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_every_header_says_what_was_measured_and_on_what_or_that_nothing_was(name):
    header = HEADERS[name]
    if "Not measured" in header:
        return
    assert "Measured" in header
    assert re.search(r"\d+ core-(seconds|minutes)", header), "no cost"
    assert "2-core x86 virtual machine" in header


@pytest.mark.slow
def test_the_default_experiment_gives_the_numbers_and_the_verdict_of_its_header(tmp_path):
    path = next(path for path in bundled() if path.stem == RERUN)
    found = answer(train(load(path), results=tmp_path))
    told = measured(HEADERS[RERUN])
    values = found.rows.set_index("norm")["value"]
    # Bitwise on one machine; elsewhere what eight seeds can differ by in their last digits.
    assert values.to_dict() == pytest.approx(told, abs=0.005)
    assert found.best_set == [found.leader] == [max(told, key=told.__getitem__)]
    assert found.sentences[0].startswith(f"Use {found.leader}: ")
