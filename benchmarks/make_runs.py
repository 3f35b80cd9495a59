"""Write an experiment of many finished runs without training, to time what reads them.

    python benchmarks/make_runs.py RESULTS NAME RUNS

The first 16 seeds of every norm and depth go through the store as real runs do, with journals as
long as those of 2,000 steps on MNIST and numbers drawn at random; the seeds beyond are copies of
them under their own name and hashes. There are no checkpoints, which nothing that compares reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from normbench.config import load
from normbench.environment import environment
from normbench.plan import PlannedRun, expand
from normbench.probes import PROBES, probe_steps
from normbench.seeding import stream
from normbench.store import ExperimentStore, RunStore
from normbench.training import events

NORMS = ("none", "batch", "layer", "rms")
DEPTHS = (4, 8, 12, 16, 20)
DRAWN_SEEDS = 16
STEPS, EVALUATE_EVERY, EPOCH = 2000, 40, 429
CONFIG = f"""
data: {{dataset: mnist}}
model: {{kind: mlp, depth: 12, width: 64}}
optimizer: {{lr: 0.01}}
training: {{steps: {STEPS}, evaluate_every: {EVALUATE_EVERY}}}
target: {{val_accuracy: 0.9}}
"""


def write_runs(results: Path, name: str, runs: int) -> Path:
    """Write ``runs`` finished runs under ``results/name`` and return that folder.

    A multiple of 20 has all norms and depths under each seed; fewer than 20 have one depth and two
    norms.
    """
    norms, depths = (NORMS, DEPTHS) if runs >= len(NORMS) * len(DEPTHS) else (NORMS[:2], DEPTHS[:1])
    overrides = [f"name={name}", f"norms=[{', '.join(norms)}]"]
    overrides += [f"seeds={max(1, runs // (len(norms) * len(depths)))}"]
    sweep = f"model.depth={','.join(map(str, depths))}"
    experiment = load(CONFIG, overrides, [sweep])
    store = ExperimentStore(results, name)
    store.lock()
    plan = expand(experiment)
    store.write_plan(experiment.resolved(), [run.record() for run in plan])
    drawn: dict[tuple[str, int, int], PlannedRun] = {}
    for run in plan:
        kind = (run.norm, run.sweep_point["model.depth"])
        if run.seed < DRAWN_SEEDS:
            drawn[*kind, run.seed] = run
            _draw(run, store.run(run.folder))
        else:
            _copy(drawn[*kind, run.seed % DRAWN_SEEDS], run, store.path)
    store.unlock()
    return store.path


def _draw(run: PlannedRun, folder: RunStore) -> None:
    """One run through the store, its numbers drawn at random."""
    layers = run.sweep_point["model.depth"]
    rng = stream(run.seed, "made up", run.norm, layers)
    hashes = _hashes(run)
    folder.open(
        run.config.resolved(),
        {
            "id": hashes["id"],
            "context": run.config.context(),
            "norm": run.norm,
            "method": run.config.method_sha256(),
            "seed": run.seed,
            "role": run.role,
            "point": dict(run.sweep_point),
            "batch_size": run.config.data.batch_size,
            "data": {"dataset": "mnist", "fingerprint": "made up"},
            "num_classes": 10,
            "device": "cpu",
            "threads": 1,
            "environment": environment(),
            "checkpoint_step": STEPS,
            "steps": STEPS,
            "parameters": 64 * 64 * layers,
            **hashes,
            "epochs_started": len(range(0, STEPS, EPOCH)),
        },
        None,
    )
    level = 0.95 - 0.005 * layers * (run.norm == "none")
    for step in range(STEPS + 1):
        if step % EPOCH == 0:
            epoch = events.EpochStarted(step, step // EPOCH, hashes["batch_order_sha256"])
            folder.append("metrics", {"event": "epoch", **vars(epoch)})
        if step % EVALUATE_EVERY == 0:
            loss, noise, seconds = rng.standard_normal(3)
            accuracy = level * (1 - 0.9 * 0.997**step) + 0.01 * noise
            evaluated = events.Evaluated(
                step,
                step / EPOCH,
                step * 128,
                2 + loss if step else None,
                2 + loss,
                accuracy,
                step * 3e-3 + 1e-4 * seconds,
            )
            folder.append("metrics", {"event": "eval", **vars(evaluated)})
    tested = events.Tested(STEPS, 1.0, level)
    folder.append("metrics", {"event": "test", **vars(tested)})
    for step in probe_steps(STEPS):
        quantities = {name: rng.random(layers).tolist() for name in PROBES}
        folder.append("probes", {"event": "probe", "step": step, **quantities})
    folder.close("finished", done=True, steps_done=STEPS, diverged_at=None, train_seconds=6.0)


def _copy(source: PlannedRun, run: PlannedRun, experiment: Path) -> None:
    """``run`` with the journals of ``source``, the same norm and depth under another seed."""
    old, new = experiment / source.folder, experiment / run.folder
    new.mkdir(exist_ok=True)
    for name in ("config.yaml", "metrics.jsonl", "probes.jsonl"):
        (new / name).write_bytes((old / name).read_bytes())
    manifest = json.loads((old / "manifest.json").read_bytes())
    manifest |= {"seed": run.seed, **_hashes(run)}
    (new / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    (new / "DONE").touch()


def _hashes(run: PlannedRun) -> dict[str, str]:
    same = f"{run.seed:064x}"
    return {"id": run.identity, "backbone_sha256": same, "batch_order_sha256": same}


if __name__ == "__main__":
    write_runs(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
