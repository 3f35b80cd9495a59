"""How fast each norm converges: what became of each run, and the table of it.

The definitions are those of PROTOCOL.md, "Convergence". Three states must not be mixed up:

- *reached*: an evaluation stood at or above the target; the time is known;
- *censored*: the run used its budget, or diverged, without reaching it; the time is infinite in
  medians and ranks, and right-censored at the budget for Kaplan-Meier and log-rank;
- neither: the run crashed, was interrupted, or is missing. It has no time, it is no evidence about
  the norm, and the tables count it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.chance import at_chance
from normbench.analysis.groups import OUTCOME_STATES, norm_codes, require, sweep_points

Floats = NDArray[np.float64]

RUN_COLUMNS = (
    *("run", "norm", "seed", "state", "diverged_at", "steps_planned", "batch_size"),
    *("num_classes", "val_accuracy", "test_accuracy", "train_seconds", "steps_done"),
)
LATER_COLUMNS = ("train_accuracy", "val_accuracy_precise", "validation_images")
"""What the runs of an older normbench lack: it is missing there."""
CURVE_COLUMNS = ("run", "step", "val_accuracy", "train_seconds")
TABLE_COLUMNS = (
    # the command line contract's
    *("runs", "reached", "diverged", "failed", "steps_to_target", "seconds_to_target"),
    *("val_accuracy_mean", "val_accuracy_std", "test_accuracy_mean", "test_accuracy_std"),
    *("auc_mean", "train_seconds_per_step"),
    # ours
    *("finished", "interrupted", "missing", "target", "budget_steps", "examples_to_target"),
    *("at_chance", "never_left_chance"),
    *("best_val_accuracy_mean", "best_val_accuracy_std"),
    *("train_accuracy_mean", "train_accuracy_std"),
    *("val_accuracy_precise_mean", "val_accuracy_precise_std"),
    *("restricted_mean_steps", "expected_running_time"),
)
"""The columns of the convergence table, after norm and the sweep keys."""


class _Evaluations(NamedTuple):
    """The evaluations that count, sorted by run and step; every array is [E]."""

    run: NDArray[np.int64]  # row in ``runs``
    step: Floats
    accuracy: Floats
    seconds: Floats


def outcomes(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    targets: Sequence[float],
    validation_images: float = np.nan,
) -> pd.DataFrame:
    """What became of each run, one row for each target and run (target by target).

    Every run has its rows, whatever its state, with all columns of ``runs`` and further:

    - ``target``: validation accuracy in (0, 1]; NaN, in one row a run, when ``targets`` is empty;
    - ``reached``, ``censored`` (bool): see the module. Both are False where the run has no outcome
      (it failed, was interrupted, is running or missing, or finished without any evaluation);
    - ``steps_to_target`` [steps]: the first evaluation at or above the target; inf if censored,
      NaN without an outcome. Likewise ``examples_to_target`` (steps times batch size) and
      ``seconds_to_target`` (training seconds up to that evaluation);
    - ``restricted_steps`` [steps]: min(steps_to_target, budget), the time at which Kaplan-Meier
      sees the event or the censoring. A diverged run is censored at the budget, not earlier: more
      steps would not have helped it, and an earlier censoring would say they might;
    - ``steps_spent`` [steps]: until the target, the divergence or the budget;
    - ``auc`` in [0, 1]: area under validation accuracy over the budget, by trapezoids over steps,
      divided by the budget. The curve starts at chance if there is no evaluation at step 0; the
      last evaluation holds up to the budget or the divergence, and after a divergence accuracy is
      chance, 1 / num_classes;
    - ``best_val_accuracy``: the best evaluation that counts, never below chance if diverged;
    - ``at_chance`` (bool): it finished with a validation accuracy that cannot be told from guessing
      (``chance.at_chance``, on its ``validation_images``); ``never_left_chance``: so at its
      best evaluation. Both are False for a run that diverged, which says more.

    A diverged run's evaluations count only before ``diverged_at`` (where that is NaN, all do). One
    that reached the target before it diverged has reached it: ``diverged`` beside it in the table
    tells the rest. Its final ``val_accuracy``, ``test_accuracy`` and ``train_accuracy`` are chance,
    whatever was recorded; its ``val_accuracy_precise`` is missing.
    Evaluations after the budget, or with NaN accuracy, do not count.

    validation_images: of a run that does not say how many it was evaluated on; NaN: unknown.

    Raises ValueError for a target outside (0, 1], a run listed twice, or a lacking column.
    """
    require(runs, RUN_COLUMNS, "runs")
    require(curves, CURVE_COLUMNS, "curves")
    if any(not 0 < target <= 1 for target in targets):
        raise ValueError(f"targets must lie in (0, 1]: {list(targets)}")
    if runs["run"].duplicated().any():
        twice = runs["run"][runs["run"].duplicated()].iloc[0]
        raise ValueError(f"run {twice!r} is listed twice")

    budget = _floats(runs["steps_planned"])
    chance = 1.0 / _floats(runs["num_classes"])
    diverged = (runs["state"] == "diverged").to_numpy()
    end = np.where(diverged, _floats(runs["diverged_at"]), np.inf)
    end[np.isnan(end)] = np.inf
    evaluations = _evaluations(runs, curves, budget, end)
    evaluated = np.bincount(evaluations.run, minlength=len(runs)) > 0
    valid = diverged | ((runs["state"] == "finished").to_numpy() & evaluated)

    base = runs.copy()
    base["val_accuracy"] = np.where(diverged, chance, _floats(runs["val_accuracy"]))
    base["test_accuracy"] = np.where(diverged, chance, _floats(runs["test_accuracy"]))
    for name in LATER_COLUMNS:
        base[name] = _floats(runs[name]) if name in runs else np.nan
    lost = diverged & base["train_accuracy"].notna().to_numpy()  # not those of an older normbench
    base.loc[lost, "train_accuracy"] = chance[lost]
    base.loc[diverged, "val_accuracy_precise"] = np.nan
    measured = ["val_accuracy", "test_accuracy", "train_accuracy", "val_accuracy_precise"]
    base.loc[~valid, measured] = np.nan
    best = np.full(len(runs), -np.inf)
    np.maximum.at(best, evaluations.run, evaluations.accuracy)
    best = np.where(diverged, np.maximum(best, chance), best)
    base["best_val_accuracy"] = np.where(valid, best, np.nan)
    finished = valid & ~diverged
    classes = _floats(runs["num_classes"])
    images = base["validation_images"].fillna(validation_images)
    base["at_chance"] = finished & at_chance(base["val_accuracy"], classes, images)
    best_at_chance = at_chance(base["best_val_accuracy"], classes, images)
    base["never_left_chance"] = base["at_chance"] & best_at_chance
    base["auc"] = np.where(valid, _area(evaluations, budget, end, chance, diverged), np.nan)

    ended = np.where(diverged, np.where(np.isfinite(end), end, _floats(runs["steps_done"])), budget)
    batch = _floats(runs["batch_size"])
    parts = []
    for target in targets or [np.nan]:
        steps, seconds = _first_at(evaluations, target, len(runs))
        reached = valid & np.isfinite(steps)
        known = valid if np.isfinite(target) else np.zeros(len(runs), dtype=bool)
        steps, seconds = np.where(known, steps, np.nan), np.where(known, seconds, np.nan)
        part = base.assign(
            target=float(target),
            reached=reached,
            censored=known & ~reached,
            steps_to_target=steps,
            examples_to_target=steps * batch,
            seconds_to_target=seconds,
            restricted_steps=np.where(known, np.minimum(steps, budget), np.nan),
            steps_spent=np.where(known, np.where(reached, steps, np.fmin(ended, budget)), np.nan),
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def tabulate(outcome: pd.DataFrame, keys: Sequence[str], norms: Sequence[str]) -> pd.DataFrame:
    """The convergence table: a row for each sweep point, norm and target, in that order.

    Sweep points are sorted, norms stand in the order given, targets in the order of ``outcome``. A
    norm that has no run at a sweep point has no row there. Columns:

    norm, <keys>, runs (all, whatever became of them), reached, diverged, failed, steps_to_target
    and seconds_to_target (medians with misses infinite, so inf when half or more missed),
    val_accuracy_mean, val_accuracy_std, test_accuracy_mean, test_accuracy_std, auc_mean,
    train_seconds_per_step (median over runs); finished, interrupted, missing (with those still
    running), at_chance and never_left_chance (of the finished), target, budget_steps,
    examples_to_target, best_val_accuracy_mean, best_val_accuracy_std, train_accuracy_mean,
    train_accuracy_std, val_accuracy_precise_mean, val_accuracy_precise_std, restricted_mean_steps
    (mean of min(T, budget)), expected_running_time [steps].

    Statistics are over the runs with an outcome (finished or diverged). A standard deviation has
    n - 1 below, and is NaN for one run. The expected running time is the steps that all those runs
    spent (until the target, the divergence or the budget) over the number that reached the target:
    inf where none did (Hansen et al. 2016, arXiv:1603.08785, section 4).
    """
    points_of, points = sweep_points(outcome, keys)
    norm_of = norm_codes(outcome, norms)
    target_of, targets = pd.factorize(outcome["target"], use_na_sentinel=False)
    asked = norm_of >= 0
    group = (points_of * len(norms) + norm_of) * max(len(targets), 1) + target_of

    state = outcome["state"]
    valid = state.isin(OUTCOME_STATES)
    done = _floats(outcome["steps_done"])
    seconds = _floats(outcome["train_seconds"])
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.where(valid & (done > 0), seconds / done, np.nan)
    work = pd.DataFrame(
        {
            "runs": 1,
            "reached": outcome["reached"].astype(int),
            "diverged": (state == "diverged").astype(int),
            "failed": (state == "failed").astype(int),
            "finished": (state == "finished").astype(int),
            "interrupted": (state == "interrupted").astype(int),
            "missing": state.isin(["missing", "running", "damaged"]).astype(int),
            "at_chance": outcome["at_chance"].astype(int),
            "never_left_chance": outcome["never_left_chance"].astype(int),
            "steps_to_target": outcome["steps_to_target"],
            "seconds_to_target": outcome["seconds_to_target"],
            "examples_to_target": outcome["examples_to_target"],
            "val_accuracy": outcome["val_accuracy"],
            "test_accuracy": outcome["test_accuracy"],
            "best_val_accuracy": outcome["best_val_accuracy"],
            **{name: outcome[name] for name in LATER_COLUMNS},
            "auc": outcome["auc"],
            "train_seconds_per_step": pace,
            "budget_steps": outcome["steps_planned"],
            "restricted": outcome["restricted_steps"],
            "spent": outcome["steps_spent"],
        }
    )[asked].groupby(group[asked])

    counts = ["runs", "reached", "diverged", "failed", "finished", "interrupted", "missing"]
    counts += ["at_chance", "never_left_chance"]
    medians = ["steps_to_target", "seconds_to_target", "examples_to_target"]
    medians += ["train_seconds_per_step"]
    accuracies = ["val_accuracy", "test_accuracy", "best_val_accuracy", *LATER_COLUMNS]
    table = work[counts].sum()
    table[medians] = work[medians].median()
    table[[f"{name}_mean" for name in accuracies]] = work[accuracies].mean()
    table[[f"{name}_std" for name in accuracies]] = work[accuracies].std(ddof=1)
    table["auc_mean"] = work["auc"].mean()
    table["budget_steps"] = work["budget_steps"].max()
    table["restricted_mean_steps"] = work["restricted"].mean()
    spent, reached = _floats(work["spent"].sum(min_count=1)), _floats(table["reached"])
    with np.errstate(divide="ignore", invalid="ignore"):  # spent is 0 where all diverged at step 0
        cost = np.where((reached == 0) & (spent == 0), np.inf, spent / reached)
    table["expected_running_time"] = cost

    code = table.index.to_numpy()
    rest, target_code = np.divmod(code, max(len(targets), 1))
    point_code, norm_code = np.divmod(rest, max(len(norms), 1))
    table["target"] = np.asarray(targets, dtype=float)[target_code]
    table["norm"] = [norms[i] for i in norm_code]
    table = table.reset_index(drop=True)
    for key in keys:
        table[key] = points[key].take(point_code).to_numpy()
    return table[["norm", *keys, *TABLE_COLUMNS]]


def _evaluations(
    runs: pd.DataFrame, curves: pd.DataFrame, budget: Floats, end: Floats
) -> _Evaluations:
    """Evaluations of known runs, up to the budget [R], and before the divergence ``end`` [R]."""
    run = pd.Index(runs["run"]).get_indexer(pd.Index(curves["run"])).astype(np.int64)
    step, accuracy = _floats(curves["step"]), _floats(curves["val_accuracy"])
    order = np.flatnonzero((run >= 0) & ~np.isnan(accuracy))
    own, at = run[order], step[order]
    order = order[(at <= budget[own]) & (at < end[own])]
    kept_run, kept_step = run[order], step[order]
    ascending = np.diff(kept_run) > 0
    ascending |= (np.diff(kept_run) == 0) & (np.diff(kept_step) >= 0)
    if not ascending.all():
        order = order[np.lexsort((kept_step, kept_run))]
    seconds = _floats(curves["train_seconds"])
    return _Evaluations(run[order], step[order], accuracy[order], seconds[order])


def _first_at(evaluations: _Evaluations, target: float, count: int) -> tuple[Floats, Floats]:
    """Step and seconds of each run's first evaluation at or above ``target``; inf for a miss."""
    hits = np.flatnonzero(evaluations.accuracy >= target)
    run, first = np.unique(evaluations.run[hits], return_index=True)
    steps, seconds = np.full(count, np.inf), np.full(count, np.inf)
    steps[run] = evaluations.step[hits[first]]
    seconds[run] = evaluations.seconds[hits[first]]
    return steps, seconds


def _area(
    evaluations: _Evaluations, budget: Floats, end: Floats, chance: Floats, diverged: NDArray[Any]
) -> Floats:
    """Area under each run's accuracy over its budget, over the budget. See ``outcomes``. [R]"""
    run, step, accuracy, _ = evaluations
    width = np.diff(step)
    inside = run[1:] == run[:-1]
    trapezoid = np.where(inside, width * (accuracy[1:] + accuracy[:-1]) / 2, 0.0)
    area: Floats = np.bincount(run[1:], trapezoid, minlength=len(budget)).astype(float)
    # A run without evaluations stands at chance from step 0 on.
    first_step, last_step = np.zeros(len(budget)), np.zeros(len(budget))
    first, last = chance.copy(), chance.copy()
    starts = np.flatnonzero(np.r_[True, ~inside][: len(run)])
    ends = np.flatnonzero(np.r_[~inside, True][: len(run)])
    first_step[run[starts]], first[run[starts]] = step[starts], accuracy[starts]
    last_step[run[ends]], last[run[ends]] = step[ends], accuracy[ends]
    hold = np.where(diverged & ~np.isfinite(end), last_step, np.minimum(end, budget))
    area += first_step * (chance + first) / 2
    area += (hold - last_step) * last + (budget - hold) * chance
    return area / budget


def _floats(column: pd.Series) -> Floats:
    return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
