"""What the charts are drawn from, measured run by run: read from the results, summed up by norm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis import curves, propagation, signal
from normbench.analysis.expected import expected
from normbench.analysis.rule import VerdictRule
from normbench.charts.base import ChartData
from normbench.store import Results, RunStore, read_probes


def measured(results: Results, norms: list[str], baseline: str, target: float) -> ChartData:
    """The chart data that come from the runs themselves; the rest are tables that stand elsewhere.

    Reads every probed step of every run that is not damaged.
    """
    keys, runs = results.keys, results.runs
    whole = runs.loc[runs["state"] != "damaged", "run"]
    probed = [read_probes(results.path / run).assign(run=run) for run in whole]
    probes = pd.concat(probed, ignore_index=True) if probed else pd.DataFrame()
    quantities = ["activation_gradient", "activation_out_std", "effective_rank", "example_cosine"]
    quantities += signal.QUANTILES
    return ChartData(
        norms,
        keys,
        baseline,
        target,
        about=about(results),
        accuracy=curves.bands(runs, results.curves, "val_accuracy", keys, norms),
        loss=curves.bands(runs, results.curves, "train_loss", keys, norms),
        layers=curves.layer_series(probes, runs, quantities, keys, norms),
        growth=growth_at_start(results),
        families=families(results, norms),
    )


def families(results: Results, norms: list[str]) -> dict[str, str]:
    """label -> family, of every norm whose runs have put it down, in order."""
    first = results.runs.drop_duplicates("norm").set_index("norm")["run"]
    family_of = {}
    for norm in norms:
        known = RunStore(results.path / first[norm]).known_manifest() if norm in first else {}
        family = (known.get("conditions") or {}).get("family")
        if isinstance(family, str):
            family_of[norm] = family
    return family_of


def judged_rows(best: pd.DataFrame, keys: list[str], rule: VerdictRule) -> pd.DataFrame:
    """The best set with ``margin``: how far from the leader is still similar, in the metric's unit.

    best: see ``analysis.best_set.best_set``.
    """
    if rule.metric != "steps_to_target":
        return best.assign(margin=rule.similar_within)
    leading = best[best["rank"] == 0]
    if not keys:
        steps = leading["value"].iloc[0] if len(leading) else np.nan
        return best.assign(margin=rule.similar_within * steps)
    steps = leading.set_index(keys)["value"].rename("margin")
    return best.join(rule.similar_within * steps, on=keys)


def seeds_of(outcomes: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row a run with an outcome, in the judged metrics and in time.

    outcomes: of one target. Returns norm, <keys>, seed, auc, val_accuracy, test_accuracy,
    steps_to_target, budget and seconds_per_step.
    """
    known = outcomes[outcomes["reached"] | outcomes["censored"]]
    done = known["steps_done"].where(known["steps_done"] > 0)
    metrics = ["auc", "val_accuracy", "test_accuracy", "steps_to_target"]
    return known[["norm", *keys, "seed", *metrics]].assign(
        budget=known["steps_planned"], seconds_per_step=known["train_seconds"] / done
    )


def about(results: Results) -> str:
    """The data, the network and the seeds of an experiment in one line; swept keys are left out."""
    config = results.config
    data, model = config.get("data") or {}, config.get("model") or {}
    kind = model.get("kind") or model.get("name") or "network"
    parts = [str(data.get("dataset", "data")).rsplit("/", 1)[-1], str(kind)]
    parts += [
        f"{key} {model[key]}"
        for key in ("depth", "width")
        if model.get(key) is not None and f"model.{key}" not in results.keys
    ]
    if model.get("init") and "model.init" not in results.keys:
        parts.append(f"init {model['init']}")
    seeds = results.runs["seed"].nunique()
    return f"{', '.join(parts)}; {seeds} seed{'' if seeds == 1 else 's'}"


def lost(outcomes: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The runs of each norm and sweep point under which some run diverged or ended at chance.

    outcomes: of one target, see ``analysis.convergence.outcomes``.
    """
    ended = outcomes["at_chance"] | (outcomes["state"] == "diverged")
    by = ["norm", *keys]
    frame = outcomes[by].astype(str).assign(ended=ended)
    return outcomes[frame.groupby(by)["ended"].transform("any")]


def growth_at_start(results: Results) -> pd.DataFrame:
    """Growth per layer of the activation gradient at step 0, run by run, beside theory.

    norm, <keys>, seed, growth, theory (of the weights that this seed drew), theory_note (why theory
    is NaN): see ``analysis.expected``. The input of the network is not stored, so
    without a norm the theory is that of layers far from it. Of residual networks both are per
    block.
    """
    columns = ["norm", *results.keys, "seed", "growth", "theory", "theory_note"]
    probes = results.probes
    if probes.empty:
        return pd.DataFrame(columns=columns)
    start = probes[probes["step"] == 0].merge(results.runs, on="run")
    rows = []
    for row in start.to_dict("records"):
        labels = [row[name] for name in ("norm", *results.keys, "seed")]
        known = _conditions(results.path / row["run"])
        rows.append([*labels, _growth(row, known), *_theory(known)])
    return pd.DataFrame(rows, columns=columns)


def _growth(row: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    """The growth of one run's probe at step 0."""
    entering = row.get("block_gradient")
    if known.get("blocks") and isinstance(entering, np.ndarray) and entering.ndim:
        firsts, sizes = propagation.blocks_of(known)
        return float(signal.growth_of_rows(entering[None, firsts], sizes)[0])
    size = np.atleast_1d(row.get("layer_size", np.nan))  # an older normbench did not probe it
    return float(signal.growth_of_rows(row["activation_gradient"][None], size[None])[0])


def _conditions(folder: Path) -> dict[str, Any]:
    """What a run on disk has put down of its network for theory; empty where it is not told so."""
    known = RunStore(folder).known_manifest().get("conditions") or {}
    try:
        # JSON has lists alone, and shapes are what the theory remembers its integrals by.
        return {**known, "shapes": tuple(map(tuple, known["shapes"]))}
    except (KeyError, TypeError):
        return {}


SHARED = (
    "the loss's gradient at the start is nearly the same for all examples, which batch norm takes "
    "away and a skip hands on: normbench probe draws one for each"
)


def _theory(known: Mapping[str, Any]) -> tuple[float, str]:
    """What theory expects of the network of a run on disk, and why where it has no value."""
    try:
        expectation = expected(**known)
        residual = any(block is not None for block in known["blocks"])
        if residual and known["law"] and known["law"]["statistics"] == "batch":
            return np.nan, SHARED
        return expectation.growth, expectation.note
    except (KeyError, TypeError):
        return np.nan, "another normbench trained this, which did not record what theory needs"
