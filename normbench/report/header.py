"""What is about to be trained, in two lines, and how long that will take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.components import short
from normbench.constants import HALVING_LEFT
from normbench.report.columns import seconds as duration
from normbench.report.wording import counted

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

_SHOWN = ("depth", "width", "name", "activation", "init", "path")


def header(experiment: ExperimentConfig, results: Path) -> str:
    """Network and data; norms times seeds, and where the results go."""
    config = experiment.resolved()
    model, data = dict(config["model"]), config["data"]
    kind = short(model.get("kind", "network"))
    shown = [f"{key} {model[key]}" for key in _SHOWN if model.get(key) is not None]
    first = f"{experiment.name}: {kind}" + (f" ({', '.join(shown)})" if shown else "")
    first += f" on {data.get('dataset', data.get('path', 'data'))}"
    optimizer = config["optimizer"]
    first += f", {optimizer.get('kind')} at lr {optimizer.get('lr')}"
    points = math.prod(len(values) for values in experiment.sweep.values())
    seeds, low, high = _seeds(config["seeds"])
    parts = [", ".join(experiment.labels), seeds]
    if experiment.sweep:
        keys = " and ".join(experiment.sweep)
        parts.append(
            f"{points} values of {keys}"
            if len(experiment.sweep) == 1
            else f"{points} points of {keys}"
        )
    norms = len(experiment.labels)
    tune = experiment.tune
    raced = 1
    if tune is not None and tune.search == "halving":
        raced = min(len(tune.values), HALVING_LEFT)
        parts.append(f"the best {raced} values of {tune.key}")
    runs = counted(norms * points * raced * high, "run")
    if low < high:
        runs = f"{norms * points * raced * low} to {runs}"
    second = f"{' x '.join(parts)}: {runs}"
    if tune is not None:
        how = ", by halving" if tune.search == "halving" else ""
        second += f", tuned over {len(tune.values)} values{how or f' of {tune.key}'}"
    return f"{first}\n{second} -> {results / experiment.name}"


def time_ahead(seconds: float, runs: int, jobs: int, *, more: bool) -> str:
    """How long the runs known so far will take; "" where it could not be timed.

    more: whether others may follow, as seeds in steps and runs at own best values do.
    """
    if not seconds > 0:
        return ""
    which = f"the first {counted(runs, 'run')}" if more else counted(runs, "run")
    took = "under a second" if seconds < 1 else f"about {duration(float(f'{seconds:.2g}'))}"
    return f"{took} for {which}, {jobs} at a time"


def _seeds(given: Any) -> tuple[str, int, int]:
    """How the seeds read, the fewest and the most of them."""
    if isinstance(given, Mapping):  # looks fixed beforehand
        low, high = int(given["from"]), int(given["to"])
        return f"{low} to {high} seeds", low, high
    count = given if isinstance(given, int) else len(given)
    return counted(count, "seed"), count, count
