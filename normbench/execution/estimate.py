"""What a plan will cost, from a few timed steps."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from normbench.data import Dataset
from normbench.errors import NormbenchError
from normbench.plan import PlannedRun
from normbench.training.run import Run
from normbench.training.settings import compute_on, kept

TIMED_SECONDS = 0.3
QUICK_SECONDS = 0.05
TIMED_KINDS = 16  # more kinds of runs than this are taken to be as fast as those timed


def estimate(plan: Sequence[PlannedRun], dataset: Dataset, jobs: int) -> pd.DataFrame:
    """One row a kind of run (norm, sweep point and tuned value), in the plan's order.

    Columns: norm, <sweep keys>, runs, parameters, steps (a run), seconds_per_step (training
    alone), seconds (one run, with evaluation), disk_bytes (all its runs), and elapsed_seconds
    (all its runs, ``jobs`` at a time). Kinds beyond the first 16 are not timed: they are given
    the mean of those that are. Raises NormbenchError that names every norm whose run crashes.
    """
    kinds: dict[tuple[Any, ...], list[PlannedRun]] = {}
    for run in {run.folder: run for run in plan}.values():
        values = {**run.sweep_point, **(run.tuned or {})}
        kinds.setdefault((run.norm, *values.items()), []).append(run)
    rows: list[dict[str, Any]] = []
    crashes: dict[str, str] = {}
    with kept():
        for index, runs in enumerate(kinds.values()):
            try:
                rows.append(_row(runs[0], len(runs), dataset, timed=index < TIMED_KINDS))
            except NormbenchError:
                raise
            except Exception as error:  # of a norm or a network, which may be the user's
                crashes.setdefault(runs[0].norm, _crash(error))
    if crashes:
        told = [f"a run of {norm} would fail: {reason}" for norm, reason in crashes.items()]
        hint = "\n    the others would be trained; show RUN tells a failed run's traceback"
        raise NormbenchError("\n".join(told) + hint)
    frame = pd.DataFrame(rows)
    frame["seconds_per_step"] = frame["seconds_per_step"].fillna(frame["seconds_per_step"].mean())
    evaluation = frame["evaluation_seconds"].fillna(frame["evaluation_seconds"].mean())
    frame["seconds"] = frame["steps"] * frame["seconds_per_step"]
    frame["seconds"] += evaluation * frame["evaluations"]
    frame["elapsed_seconds"] = frame["seconds"] * frame["runs"] / min(jobs, frame["runs"].sum())
    return frame.drop(columns=["evaluation_seconds", "evaluations"])


def forecast(plan: Sequence[PlannedRun], dataset: Dataset, jobs: int) -> float:
    """Seconds that all runs take, ``jobs`` at a time, from a few steps of the first and the last.

    NaN where nothing could be timed, as in a run that crashes: its training will tell.
    """
    took: list[float] = []
    try:
        with kept():
            for planned in {run.folder: run for run in (plan[0], plan[-1])}.values():
                compute_on(planned.config.runtime)
                run = Run(planned.config, dataset)
                step, evaluation = _time(run, QUICK_SECONDS)
                took.append(run.steps * step + evaluation * (len(run.evaluation_steps) + 2))
    except Exception:  # of a norm or a network, which may be the user's
        return float("nan")
    return sum(took) / len(took) * len(plan) / min(jobs, len(plan))


def _crash(error: Exception) -> str:
    """What was raised, and the last line of code that is no installed library's."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts]
    return f"{reason} ({own[-1].filename}:{own[-1].lineno})" if own else reason


def _row(planned: PlannedRun, runs: int, dataset: Dataset, *, timed: bool) -> dict[str, Any]:
    config = planned.config
    compute_on(config.runtime)
    run = Run(config, dataset)
    step, evaluation = _time(run) if timed else (float("nan"), float("nan"))
    evaluations = len(run.evaluation_steps) + 2  # at step 0 and of the test set
    layers = len(run.assembled.layers)
    disk = 4 * run.parameters + 300 * evaluations + 180 * layers * 30 + 4096
    return {
        "norm": planned.norm,
        **planned.sweep_point,
        **(planned.tuned or {}),
        "runs": runs,
        "parameters": run.parameters,
        "steps": run.steps,
        "seconds_per_step": step,
        "evaluation_seconds": evaluation,
        "evaluations": evaluations,
        "disk_bytes": disk * runs,
    }


def _time(run: Run, limit: float = TIMED_SECONDS) -> tuple[float, float]:
    """Seconds of one update and of one whole evaluation."""
    run.network.train()
    run.start_epoch()
    counted, start = 0, 0.0
    for step in range(min(run.per_epoch, 1000)):
        if step == 2:  # the first steps allocate
            start = run.clock.now()
        run.step, run.first_loss_step = step, step
        run.update()
        counted = step - 1
        if step > 2 and time.perf_counter() - start > limit:
            break
    spent = run.clock.now() - start if counted > 0 else float("nan")
    some = run.validation_indices[: run.config.training.eval_batch_size]
    run.evaluate(run.data, some)
    once = run.clock.evaluate_seconds
    looked_at = len(run.validation_indices) + len(run.watched_indices)
    return spent / max(counted, 1), once * looked_at / len(some)
