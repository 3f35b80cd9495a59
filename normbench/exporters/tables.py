"""The tables that formats for data frames share, and what their columns mean."""

from __future__ import annotations

import pandas as pd

from normbench.errors import StoreError
from normbench.results.experiment import ExperimentResult
from normbench.store import Results
from normbench.store.read import read_probes

_RUN = {
    "run": "the run's folder; it joins the tables",
    "norm": "the norm's label",
    "seed": "of the split, the initial weights, the batch order and the augmentation",
}
COLUMNS: dict[str, dict[str, str]] = {
    "runs": _RUN
    | {
        "role": "report, or why it was trained besides: pilot, tune, best; a run may have two rows",
        "state": "finished, diverged, failed, interrupted, running, missing or damaged",
        "reason": "why it failed",
        "tuned": "the tuned value, in the unit of its config key",
        "diverged_at": "the update, from 0, whose loss or preceding evaluation was not finite",
        "steps_planned": "updates in the budget",
        "steps_done": "updates made",
        "batch_size": "examples an update",
        "num_classes": "classes of the dataset",
        "validation_images": "images of an evaluation; empty in older runs",
        "parameters": "trainable parameters of the network",
        "val_accuracy": "share, 0 to 1, at the last evaluation",
        "val_loss": "mean cross entropy in nats at the last evaluation",
        "train_accuracy": "share, 0 to 1, on a part of the training split, at the last evaluation",
        "val_accuracy_precise": "share, 0 to 1, with recomputed in place of running statistics",
        "test_accuracy": "share, 0 to 1, seen once after the last update",
        "train_seconds": "time of the training steps alone",
        "backbone_sha256": "of the initial weights outside the norm layers",
        "batch_order_sha256": "of the batch order consumed",
        "epochs_started": "epochs begun",
        "own_terms": "what the norm's paper fixes, so that it is not as for other norms",
    },
    "curves": _RUN
    | {
        "step": "updates made before the evaluation",
        "val_accuracy": "share, 0 to 1",
        "val_loss": "mean cross entropy in nats; empty where not finite",
        "train_loss": "mean cross entropy in nats since the evaluation before; empty at step 0",
        "train_seconds": "time of the training steps alone since the start of the run",
        "train_accuracy": "share, 0 to 1, on a part of the training split; empty in older runs",
    },
    "probes": _RUN
    | {
        "step": "the update probed, from 0: step 0 sees the initial weights",
        "quantity": "what was measured, such as activation_gradient, the norm of dL/dz",
        "layer": "hidden layer, from 1 at the input",
        "value": "the quantity there; empty where not finite",
    },
    "verdicts": {
        "norm": _RUN["norm"],
        "metric": "what judges: the config's verdict.metric",
        "rank": "0 leads; then those that may be best or are similar, then the others",
        "in_set": "whether it may be the best, as far as is known",
        "seeds": "outcomes of the norm",
        "value": "their mean, in steps their median",
        "difference": "norm less leader over the seeds of both: mean, in steps Hodges-Lehmann",
        "ci_low": "lower end of its interval, simultaneous over the norms",
        "ci_high": "upper end",
        "interval": "simultaneous, or why there is none",
        "p_value": "the largest p up to the norm's elimination; 1 for the leader",
        "verdict": "leader, similar, worse, undecided, or too few seeds",
        "more_seeds": "how many more would tell it from the leader with 80 % power",
        "look": "seeds at which it was decided",
        "exploratory": "whether the metric was chosen after results had been seen",
    },
}
"""table -> column -> meaning and unit. Sweep keys stand after ``norm`` in each table."""

_TEXT = (
    *("run", "norm", "role", "state", "reason"),
    *("backbone_sha256", "batch_order_sha256", "own_terms"),
)


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """The experiment in five tables: runs, curves, probes, verdicts and columns.

    runs: one row a run and role; curves: one row an evaluation; probes: one row a run, quantity,
    probed step and layer, every probed step among them; verdicts: one row a sweep point and norm,
    see ``verdicts``; columns: what the columns of the others mean (table, column, meaning). Nothing
    is left out: a run that diverged, failed or never began has its row in ``runs``.
    """
    runs = results.runs.copy()
    runs.insert(runs.columns.get_loc("state") + 1, "reason", runs["run"].map(results.reasons))
    # A column holds one type: a swept key with numbers and words is a column of words.
    mixed = [key for key in results.keys if not pd.api.types.is_numeric_dtype(runs[key])]
    runs = runs.astype(dict.fromkeys([*_TEXT, *mixed], "string"))
    head = ["run", "norm", *results.keys]
    runs = runs[[*head, *(column for column in runs if column not in head)]]
    about = runs.drop_duplicates("run")[[*head, "seed"]]
    curves = results.curves.astype({"run": "string"})
    return {
        "runs": runs,
        "curves": about.merge(curves, on="run"),
        "probes": about.merge(_long_probes(results, about["run"]), on="run"),
        "verdicts": verdicts(results),
        "columns": _meanings(results),
    }


def verdicts(results: Results) -> pd.DataFrame:
    """Which norms may be best: ``analysis.best_set.best_set``, and whether it is exploratory.

    At each norm's own best value where one was tuned and those runs have ended. No row where the
    target is that of pilot runs and none of them has ended.
    """
    comparison = ExperimentResult(results)
    columns = [*COLUMNS["verdicts"]]
    columns[1:1] = results.keys
    try:
        table = comparison.answered.best_set.assign(exploratory=bool(comparison.rule_changed))
    except StoreError:
        table = pd.DataFrame(columns=columns)
    mixed = [key for key in results.keys if not pd.api.types.is_numeric_dtype(table[key])]
    words = ("norm", "metric", "interval", "verdict")
    table = table.astype(dict.fromkeys([*words, *mixed], "string"))[columns]
    return table.assign(interval=table["interval"].replace("", pd.NA))  # that of the leader


def _long_probes(results: Results, runs: pd.Series) -> pd.DataFrame:
    """run, quantity, step, layer, value of every probed step."""
    tables = [read_probes(results.path / run).assign(run=run) for run in runs]
    wide = pd.concat([pd.DataFrame(columns=["run", "step"]), *tables])
    # Dropped: quantities that an older normbench did not probe yet.
    long = wide.melt(["run", "step"], var_name="quantity").dropna().explode("value")
    long["layer"] = long.groupby(level=0).cumcount() + 1
    types = {"run": "string", "quantity": "string", "step": "int64", "value": "float64"}
    return long.astype(types)[["run", "quantity", "step", "layer", "value"]]


def _meanings(results: Results) -> pd.DataFrame:
    rows = []
    for table, columns in COLUMNS.items():
        swept = dict.fromkeys(results.keys, "a swept key of the config")
        rows += [(table, column, text) for column, text in (columns | swept).items()]
    return pd.DataFrame(rows, columns=["table", "column", "meaning"], dtype="string")
