"""Images that come out wrong under each norm, beside one another.

A run keeps which they are; the images come from the data on this machine, and nothing is fetched.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.charts.palette import norm_styles
from normbench.data import DATASETS, Dataset, at_hand
from normbench.errors import NormbenchError
from normbench.registry import UnknownName
from normbench.report.parts import Grid, Picture
from normbench.results.experiment import ExperimentResult
from normbench.store import RunStore

ABSENT = (
    "The images that came out wrong are not on this machine: normbench looks for them where "
    "--data-dir or NORMBENCH_DATA_DIR says, and in its cache. No picture is drawn."
)
OTHER = "The images on this machine are not those of these runs. No picture is drawn."


def mistakes(
    comparison: ExperimentResult, data_dir: Path | None = None
) -> tuple[list[Grid], list[str]]:
    """A grid a norm, as many pictures as ``report.misclassified`` says; and what to say of them.

    Of the first seed that ended, at the first sweep point. Empty where the config asks for none.
    data_dir: where datasets are looked for first.
    """
    config = comparison.results.config
    wanted = (config.get("report") or {}).get("misclassified", 0)
    if not wanted:
        return [], []
    runs = comparison.reported.results.runs
    runs = runs[runs["state"] == "finished"]
    rows = runs.sort_values("seed", kind="stable").drop_duplicates("norm").to_dict("records")
    firsts = {str(row["norm"]): row for row in rows}
    if not firsts:
        return [], ["No run has ended whose mistakes could be shown."]
    stores = {norm: RunStore(comparison.results.path / row["run"]) for norm, row in firsts.items()}
    told = {norm: _told(stores[norm]) for norm in comparison.reported.norms if norm in stores}
    wrong_of = {norm: wrong for norm, wrong in told.items() if wrong is not None}
    lacking = [norm for norm in comparison.reported.norms if norm not in wrong_of]
    said = [f"Not known of {', '.join(lacking)}: no run ended that kept them."] if lacking else []
    if not wrong_of:
        return [], said
    dataset, problem = _data(config.get("data") or {}, stores[next(iter(wrong_of))], data_dir)
    if dataset is None:
        return [], [problem, *said]
    looks = norm_styles(comparison.reported.norms)
    grids = [
        Grid(norm, looks[norm], [_picture(dataset, *one) for one in wrong[:wanted]])
        for norm, wrong in wrong_of.items()
    ]
    seeds = sorted({firsts[norm]["seed"] for norm in wrong_of})
    of = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    about = (
        f"Test images of {of} that come out wrong, the first of at most 1,000 looked at, in an "
        "order that is the same for all norms: below each what it is, and what it is taken for."
    )
    return grids, [about, *said]


def _told(store: RunStore) -> list[tuple[int, int]] | None:
    """(index, class it is taken for); None of a run that did not keep them. Raises StoreError."""
    tests = [event for event in store.sealed_events("metrics") if event["event"] == "test"]
    wrong = tests[-1].get("misclassified") if tests else None
    return None if wrong is None else [(index, taken) for index, taken in wrong]


def _data(
    config: Mapping[str, Any], store: RunStore, data_dir: Path | None
) -> tuple[Dataset | None, str]:
    """The data that a run was trained on, or why they cannot be had."""
    kind = str(config.get("dataset"))
    try:
        options = {
            field.name: config.get(field.name) for field in dataclasses.fields(DATASETS[kind])
        }
        dataset = at_hand(kind, data_dir=data_dir, options=options)
    except (NormbenchError, UnknownName) as error:  # perhaps of a package that is gone
        return None, f"The images that came out wrong cannot be read. {error}".splitlines()[0]
    if dataset is None:
        return None, ABSENT
    known = (store.known_manifest().get("data") or {}).get("fingerprint")
    return (dataset, "") if dataset.fingerprint == known else (None, OTHER)


def _picture(dataset: Dataset, index: int, taken: int) -> Picture:
    label = int(dataset.test_labels[index])
    names = dataset.classes
    return Picture(_png(dataset.test_images[index]), f"{names[label]}, taken for {names[taken]}")


def _png(image: NDArray[Any]) -> str:
    """[H, W, C], uint8 or float32, as a data URI."""
    from PIL import Image

    shown = np.asarray(image)
    if shown.dtype != np.uint8:
        low, high = float(shown.min()), float(shown.max())
        shown = np.round(255 * (shown - low) / ((high - low) or 1.0)).astype(np.uint8)
    if shown.shape[2] != 3:
        shown = shown.mean(2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
