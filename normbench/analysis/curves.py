"""Many runs as few lines: the median over seeds and the range that they span.

For charts: a line a norm and sweep point, thinned to what an eye can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis import signal
from normbench.analysis.groups import OUTCOME_STATES, norm_codes, point_at, require, sweep_points

MOST_STEPS = 80
MOST_STEPS_BY_SEED = 40
MOST_LAYERS = 40


def bands(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    metric: str,
    keys: Sequence[str],
    norms: Sequence[str],
    *,
    most: int = MOST_STEPS,
) -> pd.DataFrame:
    """Median, lowest and highest of ``metric`` over seeds, at each evaluated step.

    metric: val_accuracy, val_loss or train_loss. Returns norm, <keys>, step, median, low, high and
    runs (with an outcome, at this step), at most ``most`` steps a line, the first and the last
    among them. From the step of its divergence on a run counts as chance (accuracy) or infinite
    (loss), at every step at which another run of the sweep point is evaluated and at the end of the
    budget; the training loss has no value before the first update.

    Raises ValueError for a lacking column.
    """
    parts = []
    for labels, filled, _ in _lines(runs, curves, metric, keys, norms, most):
        parts.append(
            pd.DataFrame(
                {
                    **labels,
                    "step": filled.index.to_numpy(),
                    "median": filled.median(axis=1).to_numpy(),
                    "low": filled.min(axis=1).to_numpy(),
                    "high": filled.max(axis=1).to_numpy(),
                    "runs": filled.notna().sum(axis=1).to_numpy(),
                }
            )
        )
    columns = ["norm", *keys, "step", "median", "low", "high", "runs"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def by_seed(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    metric: str,
    keys: Sequence[str],
    norms: Sequence[str],
    *,
    most: int = MOST_STEPS_BY_SEED,
) -> pd.DataFrame:
    """The curve of each run by itself: norm, <keys>, seed, step, value. Otherwise as ``bands``.

    runs: those to draw, with ``seed``.
    """
    require(runs, ["seed"], "runs")
    parts = []
    for labels, filled, seeds in _lines(runs, curves, metric, keys, norms, most):
        for column, seed in enumerate(seeds):
            own = filled.iloc[:, column].dropna()
            one = {"seed": seed, "step": own.index.to_numpy(), "value": own.to_numpy()}
            parts.append(pd.DataFrame({**labels, **one}))
    columns = ["norm", *keys, "seed", "step", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _lines(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    metric: str,
    keys: Sequence[str],
    norms: Sequence[str],
    most: int,
) -> Iterator[tuple[dict[str, Any], pd.DataFrame, NDArray[Any]]]:
    """Each sweep point's norms: labels, values [steps, runs], and the runs' seeds where known."""
    columns = ["run", "norm", "state", "diverged_at", "steps_planned", "num_classes"]
    require(runs, columns, "runs")
    require(curves, ["run", "step", metric], "curves")
    kept = runs[runs["state"].isin(OUTCOME_STATES)].reset_index(drop=True)
    sweep_point, points = sweep_points(kept, keys)
    norm = norm_codes(kept, norms)
    row = pd.Index(kept["run"]).get_indexer(pd.Index(curves["run"]))
    used = curves[row >= 0].assign(row=row[row >= 0])
    for code in np.unique(np.where(norm >= 0, sweep_point * len(norms) + norm, -1)):
        if code < 0:
            continue
        at, which = divmod(int(code), len(norms))
        members = np.flatnonzero((sweep_point == at) & (norm == which))
        own = used[used["row"].isin(members)]
        # A norm whose runs all diverged has no evaluation of its own after that.
        steps = np.union1d(
            used.loc[used["row"].isin(np.flatnonzero(sweep_point == at)), "step"],
            kept["steps_planned"].iloc[members].dropna(),
        ).astype(np.int64)
        values = own.pivot(index="step", columns="row", values=metric)
        values = values.reindex(index=steps, columns=members)
        filled = _after_divergence(values, kept.iloc[members], metric).dropna(how="all")
        seeds = kept["seed"].iloc[members].to_numpy() if "seed" in kept else members
        labels = {"norm": norms[which], **point_at(points, at)}
        yield labels, filled.iloc[thinned(len(filled), most)], seeds


def _after_divergence(values: pd.DataFrame, runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """values: [steps, runs]; what a diverged run is worth from its divergence on."""
    filled = values.to_numpy(dtype=float, copy=True)
    steps = values.index.to_numpy()
    for column, (state, at, classes) in enumerate(
        zip(runs["state"], runs["diverged_at"], runs["num_classes"], strict=True)
    ):
        if state == "diverged":
            lost = 1 / classes if metric == "val_accuracy" else np.inf
            # Where the journal does not tell when, it is after the last evaluation.
            known = values.iloc[:, column].last_valid_index()
            since = at if np.isfinite(at) else (-1 if known is None else known + 1)
            filled[steps >= since, column] = lost
    return pd.DataFrame(filled, index=values.index)


def layer_series(
    probes: pd.DataFrame,
    runs: pd.DataFrame,
    quantities: Sequence[str],
    keys: Sequence[str],
    norms: Sequence[str],
) -> pd.DataFrame:
    """Quantities by layer and step, each the median over the runs with an outcome.

    probes: any number of probed steps a run, with an array [L] a quantity. Returns norm, <keys>,
    step, layer (from 1, at the input), depth (layers there are), probed (steps there are), runs
    (the fewest behind any of the quantities: a run that had diverged by then is not among them)
    and the quantities (NaN where a run of an older normbench lacks one), for at most
    ``MOST_LAYERS`` layers of a network and ``MOST_STEPS`` steps.
    NaN are left out of the medians. Raises ValueError for a lacking column.
    """
    columns = ["norm", *keys, "step", "layer", "depth", "probed", "runs", *quantities]
    require(runs, ["run", "norm", "state"], "runs")
    if probes.empty:
        return pd.DataFrame(columns=columns)
    lacking = {name: np.nan for name in signal.LATER if name in quantities and name not in probes}
    probes = probes.assign(**lacking)
    require(probes, ["run", "step", *quantities], "probes")
    kept = runs[runs["state"].isin(OUTCOME_STATES) & runs["norm"].isin(list(norms))]
    sweep_point, points = sweep_points(kept, keys)
    kept = kept.assign(sweep_point=sweep_point, norm_code=norm_codes(kept, norms))
    used = probes.merge(kept[["run", "sweep_point", "norm_code"]], on="run")
    rows = []
    for (at, which), own in used.groupby(["sweep_point", "norm_code"]):
        steps = np.unique(own["step"])
        chosen = set(steps[thinned(len(steps), MOST_STEPS)])
        for step, group in own[own["step"].isin(chosen)].groupby("step"):
            depth = int(np.size(group[quantities[0]].iloc[0]))
            stacked = [  # [runs, L]
                pd.DataFrame([v if np.ndim(v) else np.full(depth, v) for v in group[name]])
                for name in quantities
            ]
            values = [layers.median().to_numpy() for layers in stacked]
            known = np.min([f.count() for f in stacked if f.notna().any(axis=None)], axis=0)
            labels = [norms[which], *point_at(points, at).values(), step]
            rows += [
                [*labels, layer + 1, depth, len(steps), known[layer], *(v[layer] for v in values)]
                for layer in thinned(depth, MOST_LAYERS)
            ]
    return pd.DataFrame(rows, columns=columns)


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Positions of at most ``most`` of ``count`` things, evenly spread, the ends among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))
