"""Write an experiment of many finished runs without training, to time what reads them.

    python benchmarks/make_runs.py RESULTS NAME RUNS

The runs go through the store as real ones do; their numbers are drawn at random.
"""

from __future__ import annotations

import sys
from pathlib import Path

from normbench.config import load
from normbench.plan import expand
from normbench.seeding import stream
from normbench.store import ExperimentStore
from normbench.training import events

EVALUATIONS = 20
NORMS = ("none", "batch", "layer", "rms")
DEPTHS = (5, 10, 20, 40, 80)
CONFIG = """
data: {dataset: digits}
model: {kind: mlp, depth: 10, width: 64}
optimizer: {lr: 0.01}
training: {steps: 2000, evaluate_every: 100}
target: {val_accuracy: 0.9}
"""


def main(results: Path, name: str, runs: int) -> None:
    """Write ``runs`` finished runs (a multiple of 20) under ``results/name``."""
    seeds = max(1, runs // (len(NORMS) * len(DEPTHS)))
    overrides = [f"name={name}", f"norms=[{', '.join(NORMS)}]", f"seeds={seeds}"]
    experiment = load(CONFIG, overrides, [f"model.depth={','.join(map(str, DEPTHS))}"])
    store = ExperimentStore(results, name)
    store.lock()
    plan = expand(experiment)
    store.write_plan(experiment.resolved(), [run.record() for run in plan])
    for run in plan:
        rng = stream(run.seed, "made up", run.norm, run.point["model.depth"])
        level = 0.95 - 0.002 * run.point["model.depth"] * (run.norm == "none")
        folder = store.run(run.folder)
        folder.open(
            run.config.resolved(),
            {
                "id": run.identity,
                "context": run.config.context(),
                "norm": run.norm,
                "method": run.config.method_sha256(),
                "role": run.role,
                "seed": run.seed,
                "point": dict(run.point),
                "batch_size": 128,
                "num_classes": 10,
                "data": {"dataset": "digits", "fingerprint": "made up"},
                "steps": 2000,
                "backbone_sha256": f"{run.seed:064x}",
                "batch_order_sha256": f"{run.seed:064x}",
                "epochs_started": 5,
            },
            None,
        )
        for k in range(EVALUATIONS + 1):
            accuracy = level * (1 - 0.9 * 0.7**k) + 0.01 * float(rng.standard_normal())
            event = events.Evaluated(
                k * 100, k / 4, k * 12800, None if k == 0 else 1.0, 1.0, accuracy, k * 0.3
            )
            folder.append("metrics", {"event": "eval", **vars(event)})
        folder.append(
            "metrics", {"event": "test", "step": 2000, "test_loss": 1.0, "test_accuracy": level}
        )
        for step in (0, 1, 2, 10, 100, 1999):
            layers = run.point["model.depth"]
            values = {q: rng.random(layers).tolist() for q in QUANTITIES}
            folder.append("probes", {"event": "probe", "step": step, **values})
        folder.close("finished", done=True, steps_done=2000, train_seconds=6.0)
    store.unlock()


QUANTITIES = (
    *("activation_gradient", "weight_gradient", "activation_in_mean", "activation_in_std"),
    *("activation_out_mean", "activation_out_std", "dead_units", "update_ratio"),
)

if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
