"""Every method in every built-in architecture that admits it, trained for a moment."""

from __future__ import annotations

import io
import json
import math

import pytest
import torch
from networks import FORMS, fitting, plan
from tiny import experiment, only, trained, weights

from normbench.config import ExperimentConfig
from normbench.execution import LocalExecutor, execute
from normbench.models import MODELS
from normbench.plan import expand
from normbench.store import ExperimentStore
from normbench.training import events

STEPS = 20
SAMPLE = {"resnet": "fixup", "residual_mlp": "skipinit", "vit-post": "dyt", "lstm": "rms"}
BY_DESIGN = {"weight_standardization"}
"""It fixes no scale by fan-in, so that without a norm behind it residual networks explode."""
LARGER = ("resnet-B", "resnet-v2-B")  # the same blocks with other shortcuts


def config_of(form: str, methods: list[str]) -> ExperimentConfig:
    kind, options = FORMS[form]
    return experiment(
        f"norms={json.dumps(methods)}",
        f"model={json.dumps({'kind': kind, **options})}",
        f"training={{steps: {STEPS}, evaluate_every: 10}}",
        "optimizer.lr=0.001",  # what has no norm in a post-norm transformer cannot take more
        "seeds=1",
        "data.batch_size=16",
    )


@pytest.mark.parametrize("form", SAMPLE)
def test_some_methods_train_without_a_nan(digits, form):
    (run,) = expand(config_of(form, [SAMPLE[form]]))
    found = trained(run.config, digits)
    assert all(math.isfinite(e.val_loss) for e in only(found, events.Evaluated))
    assert all(bool(tensor.isfinite().all()) for tensor in weights(found).values())


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMS if form not in LARGER])
def test_every_method_that_a_network_admits_trains_on_two_workers_without_a_nan(
    tmp_path, digits, form
):
    methods = fitting(plan(form))
    assert len(methods) > 15
    runs = expand(config_of(form, methods))
    store, executor = ExperimentStore(tmp_path, form), LocalExecutor(2)
    try:
        outcome = execute(runs, store, digits, executor)
    finally:
        executor.close()
    assert [(run.norm, reason) for run, reason in outcome.failed] == []
    wrong = {}
    for run in runs:
        folder = store.run(run.folder)
        lines = map(json.loads, (folder.path / "metrics.jsonl").read_text().splitlines())
        losses = [line["val_loss"] for line in lines if line["event"] == "eval"]
        saved = folder.checkpoint()
        if saved is None or None in losses or len(losses) < 3:
            wrong[run.norm] = losses
            continue
        network = torch.load(io.BytesIO(saved), weights_only=True)["network"]
        if not all(bool(tensor.isfinite().all()) for tensor in network.values()):
            wrong[run.norm] = "a weight or a statistic is no number"
    diverged = {
        run.norm for run in runs if store.run(run.folder).read_manifest()["state"] == "diverged"
    }
    assert wrong.keys() == diverged <= BY_DESIGN, wrong


def test_every_built_in_architecture_is_among_them():
    assert {kind for kind, _ in FORMS.values()} == {n for n in MODELS.names() if not MODELS[n].open}
