"""Core-seconds to a verdict: seeds in steps against a fixed number of the same power.

    python -m benchmarks.verdict [--config digits] [--jobs 1]

Trains the config with ``seeds: auto`` under none, batch, layer, rms and group norm, at one thread a
run. The fixed design is the smallest number of seeds that finds, with 80 % power, the smallest
difference from the baseline that the last look finds at its share of the 5 %, so it finds no less.
Its cost is that number times what a run of each norm took here: the same runs, the same machine at
the same time, so the ratio holds on a machine that does other things as well. Writes
results/benchmarks/verdict.json.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import normbench
from benchmarks.common import write_result
from normbench.analysis.power import detectable_effect, seeds_for
from normbench.results.experiment import ExperimentResult

NORMS = "norms=[none, batch, layer, rms, group]"


def main() -> None:
    """Train, compare the two costs, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="digits")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as results:
        found = normbench.train(
            asked.config, overrides=[NORMS, "seeds=auto"], results=results, jobs=asked.jobs
        )
        told = measured(found)
    print(f"in steps {told['in_steps']:.1f} core-seconds, fixed {told['fixed']:.1f}")
    print(f"{told['ratio']:.2f} times less; seeds: {told['seeds']}; fixed: {told['fixed_seeds']}")
    write_result("verdict", told)


def measured(found: ExperimentResult) -> dict[str, Any]:
    """Seconds of training of the runs in steps, and of as many as a fixed design would take."""
    tables = found.reported
    assert tables.looks is not None
    runs = tables.results.runs
    comparisons = len(tables.norms) - 1
    smallest = detectable_effect(tables.looks.seeds[-1], comparisons, tables.looks.alpha[-1])
    fixed = seeds_for(smallest, comparisons)
    a_run = runs.groupby("norm", sort=False)["train_seconds"].mean()
    in_steps, whole = float(runs["train_seconds"].sum()), float(fixed * a_run.sum())
    return {
        "config": found.name,
        "seeds": runs.groupby("norm", sort=False)["seed"].nunique().to_dict(),
        "ended": [race.ended for race in tables.races.values()],
        "verdicts": dict(zip(tables.best_set["norm"], tables.best_set["verdict"], strict=True)),
        "smallest_effect_sd": smallest,
        "fixed_seeds": fixed,
        "in_steps": in_steps,
        "fixed": whole,
        "ratio": whole / in_steps,
    }


if __name__ == "__main__":
    main()
