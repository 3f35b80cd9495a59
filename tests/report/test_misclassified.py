"""Images that come out wrong: what a run keeps of them, and how the page shows them."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reported import script
from scripted import play, reseal
from tiny import experiment, only, run_config, trained

from normbench.api import compare, report
from normbench.config import find_config, load
from normbench.data import Dataset
from normbench.models.assemble import assemble
from normbench.report import misclassified
from normbench.report.misclassified import mistakes
from normbench.report.page import render
from normbench.results.experiment import ExperimentResult
from normbench.training import events
from normbench.training.run import MISTAKES, Run

ASKED = ("norms=[none, batch, rms]", "seeds=2", "report={misclassified: 3}")
WRONG = {"none": ((5, 9), (7, 8), (11, 2), (13, 4)), "batch": ((5, 3),), "rms": ()}


def put(results, digits, *overrides: str) -> ExperimentResult:
    """Made-up runs that got ``WRONG`` wrong."""

    def told(run):
        return [
            replace(event, misclassified=WRONG[run.norm])
            if isinstance(event, events.Tested)
            else event
            for event in script(run)
        ]

    wanted = experiment(*ASKED, *overrides)
    play(results, wanted, digits, told)
    return compare(wanted.name, results=results)


def test_a_run_keeps_test_images_that_come_out_wrong(digits):
    config = run_config("training.steps=4", norm="batch")
    found = trained(config, digits)
    (tested,) = only(found, events.Tested)
    run = Run(config, digits)
    run.restore(only(found, events.Checkpointed)[-1].state)
    run.network.eval()
    everything = np.arange(len(run.test_data))
    x, y = run.test_data.batch(everything)
    with torch.no_grad():
        taken = run.network(x).argmax(1)
    wrong = {int(i): int(taken[i]) for i in everything if taken[i] != y[i]}
    kept = dict(tested.misclassified)
    assert len(kept) == min(MISTAKES, len(wrong)) > 10
    assert kept.items() <= wrong.items()
    assert [*kept] != sorted(kept)  # in the common order, which is drawn
    other = only(trained(run_config("training.steps=4", norm="rms", seed=3), digits), events.Tested)
    common = [i for i, _ in other[0].misclassified if i in kept]
    assert common == [i for i in kept if i in common]


def test_a_grid_a_norm_shows_the_images_with_what_they_are_and_are_taken_for(tmp_path, digits):
    grids, said = mistakes(put(tmp_path, digits))
    assert [(grid.norm, len(grid.pictures)) for grid in grids] == [
        ("none", 3),
        ("batch", 1),
        ("rms", 0),
    ]
    assert said[0].startswith("Test images of seed 0 that come out wrong")
    first = grids[0].pictures[0]
    names = digits.classes
    assert first.text == f"{names[digits.test_labels[5]]}, taken for {names[9]}"
    content = base64.b64decode(first.source.removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert (shown == digits.test_images[5][:, :, 0]).all()


def test_the_page_has_a_section_of_them_and_loads_nothing(tmp_path, digits):
    page = render([put(tmp_path, digits)]).partition("<script")[0]
    assert page.count('<img src="data:image/png;base64,') == 4
    assert "What comes out wrong" in page
    assert "None of the images looked at." in page
    assert not re.search(r'<img src="(?!data:)', page)


def test_who_asks_for_none_gets_no_section(tmp_path, digits):
    assert mistakes(put(tmp_path, digits, "report={misclassified: 0}")) == ([], [])


def test_without_the_images_the_section_says_so(tmp_path, digits, monkeypatch):
    comparison = put(tmp_path, digits)
    monkeypatch.setattr(misclassified, "at_hand", lambda *_, **__: None)
    grids, (said,) = mistakes(comparison)
    assert grids == []
    assert "are not on this machine" in said
    assert said in render([comparison])  # the section stands, with the reason


@pytest.mark.parametrize("data", [{"dataset": "of-a-package-that-is-gone"}, {}])
def test_a_dataset_that_nobody_knows_any_more_keeps_no_page_from_being_written(
    tmp_path, digits, data
):
    comparison = put(tmp_path, digits)
    config = {**comparison.results.config, "data": data}
    results = replace(comparison.results, config=config)
    grids, (said,) = mistakes(replace(comparison, results=results))
    assert grids == []
    assert "cannot be read. unknown dataset" in said


def test_the_images_are_looked_for_where_the_data_are_said_to_be(tmp_path, digits, monkeypatch):
    comparison = put(tmp_path, digits)

    def there(name: str, *, data_dir: Path | None, options: object) -> Dataset | None:
        return digits if data_dir == tmp_path / "data" else None

    monkeypatch.setattr(misclassified, "at_hand", there)
    assert "data:image/png" not in render([comparison])
    (page,) = report("tiny", results=tmp_path, data_dir=tmp_path / "data")
    assert "data:image/png" in page.read_text(encoding="utf-8")


def test_other_images_under_the_same_name_are_not_shown(tmp_path, digits, monkeypatch):
    comparison = put(tmp_path, digits)
    other: Dataset = replace(digits, fingerprint="another")
    monkeypatch.setattr(misclassified, "at_hand", lambda *_, **__: other)
    assert mistakes(comparison) == ([], [misclassified.OTHER])


def test_a_run_of_an_earlier_normbench_kept_none_and_is_named(tmp_path, digits):
    comparison = put(tmp_path, digits)
    for path in comparison.results.path.glob("batch-s*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("misclassified", None)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        reseal(path.parent)
    grids, said = mistakes(compare("tiny", results=tmp_path))
    assert [grid.norm for grid in grids] == ["none", "rms"]
    assert said[-1] == "Not known of batch: no run ended that kept them."


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_kind_become_pictures(dtype, channels):
    image = np.arange(4 * 5 * channels, dtype=dtype).reshape(4, 5, channels)
    content = base64.b64decode(misclassified._png(image).partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert shown.shape == ((4, 5, 3) if channels == 3 else (4, 5))


def test_what_the_page_shows_changes_no_run():
    plain, asked = (experiment(f"report={{misclassified: {n}}}").run({}, 0, 0) for n in (0, 10))
    assert plain.identity() == asked.identity()
    with pytest.raises(Exception, match="report"):
        experiment("sweep={report.misclassified: [0, 10]}")


def test_the_course_config_compares_networks_of_equally_many_parameters_below_50000():
    config = load(find_config("course-bn-ln-gn"))
    assert (config.training.epochs, config.report.misclassified) == (20, 10)
    counts = {}
    for norm in config.norms:
        method = norm.method(config.normalization)
        net = assemble(config.model.blueprint(), method, (32, 32, 3), 10, 0, 128)
        counts[norm.label] = sum(p.numel() for p in net.module.parameters())
    assert set(map(str, counts)) == {"batch", "layer", "group(groups=4)"}
    assert len(set(counts.values())) == 1
    assert max(counts.values()) <= 50_000
