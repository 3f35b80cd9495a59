"""Small experiments on disk to report on, made up; ``from reported import ...``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from scripted import diverges, finishes, play, probed
from tiny import experiment

from normbench.api import compare
from normbench.data import Dataset
from normbench.plan import PlannedRun
from normbench.results.experiment import ExperimentResult
from normbench.training.events import Event

STEERING = "\u202e\x1b[31m\u2028"
HOSTILE = f"</script><img src=x onerror=\"document.title='broken'\">{STEERING}"

MANY_NORMS = [
    *("none", "batch", "layer", "rms", "group", "ghost", "mean_only", "switchable", "dyt", "derf"),
    *("selu", "weight_norm"),
]
BEST = "switchable"


def script(run: PlannedRun) -> list[Event]:
    """Batch is faster than none; rms diverges under its last seed."""
    place = ("none", "batch", "rms").index(run.norm)
    if run.norm == "rms" and run.seed == 2:
        return diverges(3, 5)
    curve = {0: 0.1, 5: 0.2 + 0.2 * place + 0.01 * run.seed, 12: 0.4 + 0.2 * place}
    gradients = [0.1 * 0.5 ** (2 - layer) * (1 + place) for layer in range(3)]
    alike = {"effective_rank": [9.0, 4.0 + place, 2.0], "example_cosine": [0.2, 0.5, 0.8]}
    probes = [probed(step, activation_gradient=gradients, **alike) for step in (0, 1, 11)]
    precise = 0.9 if run.norm == "batch" else math.nan
    return finishes(curve, test=0.4, train=0.8, precise=precise, probes=probes)


def put(results: Path, dataset: Dataset, *overrides: str) -> ExperimentResult:
    """The tiny experiment under three norms and three seeds, with changes, as it is read back."""
    wanted = experiment("norms=[none, batch, rms]", "seeds=3", *overrides)
    play(results, wanted, dataset, script)
    return compare(wanted.name, results=results)


def many_norms(
    results: Path,
    dataset: Dataset,
    norms: Sequence[str] = MANY_NORMS,
    seeds: int = 6,
    *,
    probes: bool = True,
) -> ExperimentResult:
    """More norms than lines can be told apart, of which one learns best."""
    config = experiment("name=many", f"norms=[{', '.join(norms)}]", f"seeds={seeds}")

    def told(run: PlannedRun) -> list[Event]:
        number = config.labels.index(run.norm)
        ends = 0.5 + 0.24 * number / len(norms) + 0.2 * (run.norm == BEST) + 0.001 * run.seed
        ranks = [9.0 + number, 4.0 + 0.5 * number, 2.0 + 0.2 * number]
        looks = [probed(step, effective_rank=ranks) for step in (0, 11) if probes]
        return finishes({0: 0.1, 5: 0.6 * ends, 12: ends}, probes=looks)

    play(results, config, dataset, told)
    return compare("many", results=results)


def hostile(comparison: ExperimentResult) -> ExperimentResult:
    """The same with markup in the experiment's name and in a norm's label."""
    results = comparison.results
    runs = results.runs.assign(norm=results.runs["norm"].replace("batch", HOSTILE))
    return ExperimentResult(dataclasses.replace(results, name=HOSTILE, runs=runs))


SWEEP = ("name=swept", "sweep={model.depth: [3, 4]}")
TUNED = ("name=tuned", "tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
