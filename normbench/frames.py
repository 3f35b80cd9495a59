"""What the charts are drawn from, measured run by run: read from the results, summed up by norm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis import curves, propagation, signal
from normbench.charts.base import Frames
from normbench.store import Results, read_probes


def measured(results: Results, norms: list[str], baseline: str, target: float) -> Frames:
    """The frames that come from the runs themselves; the rest are tables that stand elsewhere.

    Reads every probed step of every run.
    """
    keys, runs = results.keys, results.runs
    probed = [read_probes(results.path / run).assign(run=run) for run in runs["run"]]
    probes = pd.concat(probed, ignore_index=True) if probed else pd.DataFrame()
    quantities = ["activation_gradient", "activation_out_std", "effective_rank", "example_cosine"]
    return Frames(
        norms,
        keys,
        baseline,
        target,
        accuracy=curves.bands(runs, results.curves, "val_accuracy", keys, norms),
        loss=curves.bands(runs, results.curves, "train_loss", keys, norms),
        layers=curves.layer_series(probes, runs, quantities, keys, norms),
        growth=growth_at_start(results),
    )


def growth_at_start(results: Results) -> pd.DataFrame:
    """Growth per layer of the activation gradient at step 0, run by run, beside theory.

    norm, <keys>, seed, growth, theory (of the weights that this seed drew), theory_note (why theory
    is NaN): see ``analysis.propagation.expected``. The input of the network is not stored, so
    without a norm the theory is that of layers far from it.
    """
    columns = ["norm", *results.keys, "seed", "growth", "theory", "theory_note"]
    probes = results.probes
    if probes.empty:
        return pd.DataFrame(columns=columns)
    start = probes[probes["step"] == 0].merge(results.runs, on="run")
    rows = []
    for row in start.to_dict("records"):
        labels = [row[name] for name in ("norm", *results.keys, "seed")]
        size = np.atleast_1d(row.get("layer_size", np.nan))  # an older normbench did not probe it
        growth = signal.growth_of_rows(row["activation_gradient"][None], size[None])[0]
        rows.append([*labels, growth, *_theory(results.path / row["run"], size)])
    return pd.DataFrame(rows, columns=columns)


def _theory(folder: Path, sizes: NDArray[np.float64]) -> tuple[float, str]:
    """What theory expects of the network of a run on disk, and why where it has no value.

    sizes: [L], values of one example at each layer, from which the size of a square image follows.
    """
    import yaml
    from pydantic import ValidationError

    from normbench.config import RunConfig

    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        config = RunConfig.model_validate(yaml.safe_load(text))
    except (OSError, yaml.YAMLError, ValidationError):
        return np.nan, "the run's config.yaml cannot be read"
    from normbench.training.inspect import conditions_without_data

    image = (1, 1, 1)
    if config.model.network().layout != "flat":
        side = np.sqrt(sizes[0] / getattr(config.model.options(), "width", np.nan))
        if not side.is_integer():
            return np.nan, "the size of the images is not known"
        image = (int(side), int(side), 1)
    return propagation.expected(**vars(conditions_without_data(config, image)))
