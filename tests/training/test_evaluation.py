"""What stands for a batch's statistics in evaluation, and that training does not notice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import CNN, experiment, only, record, run_config, same, trained, weights

from normbench.errors import ConfigError
from normbench.norms import NORMS
from normbench.training import events
from normbench.training.evaluation import batches_as_in_training, keepers
from normbench.training.loop import train_together
from normbench.training.run import Run

SHORT = ("training={steps: 8, evaluate_every: 4}", "optimizer.lr=0.05", "probes.steps=none")
WAYS = ("ema", "precise", "batch")
KEEPING = sorted(name for name in NORMS if NORMS[name].traits.train_differs)


def under(way: str, kind: str = "batch") -> str:
    return f"{{kind: {kind}, eval: {way}}}"


@pytest.mark.parametrize("kind", KEEPING)
def test_how_it_is_evaluated_changes_no_weight_and_no_running_statistic(digits, kind):
    runs = [trained(run_config(*CNN, *SHORT, norm=under(way, kind)), digits) for way in WAYS]
    first, *others = map(weights, runs)
    assert all(same(other, first) for other in others)
    losses = [[e.val_loss for e in only(run, events.Evaluated)] for run in runs]
    assert all(math.isfinite(loss) for found in losses for loss in found)
    assert losses[0] != losses[1]  # precise statistics are others
    if kind != "powernorm":  # which, once warm, divides by the running ones in training as well
        assert losses[0] != losses[2]


def by_hand(run: Run, batches: list[np.ndarray]) -> float:
    """Validation accuracy of the MLP where each batch is normalized by itself, in float64."""
    right = 0
    with torch.no_grad():
        for batch in batches:
            x, y = run.data.batch(batch)
            x = x.double()
            for block in run.network.blocks:
                z = x @ block.linear.weight.double().T + block.linear.bias.double()
                z = (z - z.mean(0)) / torch.sqrt(z.var(0, correction=0) + 1e-5)
                x = torch.relu(z * block.norm.weight.double() + block.norm.bias.double())
            logits = x @ run.network.head.weight.double().T + run.network.head.bias.double()
            right += int((logits.argmax(1) == y).sum())
    return right / sum(map(len, batches))


def test_batch_is_each_evaluated_batch_normalized_by_itself(digits):
    config = run_config(*SHORT, norm=under("batch"))
    found = trained(config, digits)
    run = Run(config, digits)
    run.restore(only(found, events.Checkpointed)[-1].state)
    batches = batches_as_in_training(run.validation_indices, 32, config.seed)
    assert [len(b) for b in batches] == [34, 33, 33]
    assert sorted(np.concatenate(batches)) == sorted(run.validation_indices)
    assert only(found, events.Evaluated)[-1].val_accuracy == by_hand(run, batches)


def test_precise_is_the_same_measurement_at_every_evaluation_as_at_the_end(digits):
    config = run_config(*SHORT, norm=under("precise"))
    found = trained(config, digits)
    (tested,) = only(found, events.Tested)
    assert only(found, events.Evaluated)[-1].val_accuracy == tested.val_accuracy_precise
    plain = trained(run_config(*SHORT), digits)
    assert only(plain, events.Tested)[0].val_accuracy_precise == tested.val_accuracy_precise


def test_running_statistics_and_modes_are_what_they_were_even_after_an_error(digits):
    run = Run(run_config(*CNN, norm=under("batch")), digits)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    with pytest.raises(RuntimeError, match="in between"), run.evaluation("precise"):
        raise RuntimeError("in between")
    with run.evaluation():
        assert [m.training for m in keepers(run.network)] == [True] * 4
        assert not run.network.training
        run.evaluate(run.data, run.validation_indices)
    assert same(dict(run.network.state_dict()), before)
    assert {m.momentum for m in keepers(run.network)} == {0.1}
    assert all(module.training for module in run.network.modules())


def test_a_batch_of_evaluation_leaves_no_trace_in_the_next_one(digits):
    run = Run(run_config(norm=under("batch", "renorm")), digits)
    for module in run.scheduled:
        module.on_progress(1.0)  # so that it goes by its running statistics as well
    kept = [b.clone() for b in run.network.buffers()]
    with run.evaluation():
        run.evaluate(run.data, run.validation_indices)
        assert all(map(torch.equal, run.network.buffers(), kept))


def test_the_evaluation_batch_size_changes_no_result_under_batch_statistics(digits):
    found = []
    for size in (7, 1000):
        run = Run(run_config(f"training.eval_batch_size={size}", norm=under("batch")), digits)
        found.append(run.evaluate(run.data, run.validation_indices))
    assert found[0] == found[1]


@pytest.mark.parametrize("way", ["precise", "batch"])
def test_a_resumed_run_evaluates_as_the_undisturbed_one(digits, way):
    config = run_config(*SHORT, norm=under(way))
    before = trained(config, digits, stop_at=6)
    after = trained(config, digits, resume=only(before, events.Checkpointed)[-1].state)
    assert record([*before, *after]) == record(trained(config, digits))


@pytest.mark.parametrize("way", ["precise", "batch"])
def test_runs_of_a_stack_are_evaluated_each_by_itself(digits, way):
    stack = "runtime.stack=2"
    norm = under(way)
    configs = [run_config(stack, *SHORT, norm=norm, seed=seed) for seed in range(2)]
    told: list[list[events.Event]] = [[], []]
    for index, event in train_together(configs, digits, resume=[None, None]):
        told[index].append(event)
    for seed, found in enumerate(told):
        alone = trained(run_config(*SHORT, norm=norm, seed=seed), digits)
        for one, other in zip(
            only(found, events.Evaluated), only(alone, events.Evaluated), strict=True
        ):
            assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    plain = trained(run_config(stack, *SHORT), digits)
    assert same(weights(told[0]), weights(plain))


def test_without_running_statistics_the_shared_choice_changes_nothing(digits):
    plain = trained(run_config(*SHORT, norm="rms"), digits)
    for way in ("precise", "batch"):
        other = trained(run_config(*SHORT, f"normalization.eval={way}", norm="rms"), digits)
        assert record(other) == record(plain)


def test_a_norm_without_running_statistics_has_no_eval_of_its_own():
    with pytest.raises(ConfigError) as caught:
        run_config(norm="{kind: layer, eval: precise}")
    (problem,) = caught.value.problems
    assert "layer keeps no running statistics: it evaluates as it trains" in problem.message
    assert problem.hint == "remove eval"


def test_one_experiment_tells_evaluation_from_training():
    found = experiment("norms=[batch, {kind: batch, eval: precise}, {kind: batch, eval: batch}]")
    assert found.labels == ["batch", "batch(eval=precise)", "batch(eval=batch)"]
    swept = experiment("sweep={normalization.eval: [ema, precise]}")
    assert len(swept.sweep_points()) == 2
    with pytest.raises(ConfigError, match="the same norm as 'batch'"):
        experiment("norms=[batch, {kind: batch, eval: ema}]")


def test_a_norm_and_its_strict_self_are_two():
    assert experiment("norms=[dyt, {kind: dyt, strict: true}]").labels == ["dyt", "dyt(strict)"]


def test_eval_changes_the_identity_and_its_default_does_not():
    plain = run_config()
    written = run_config("normalization.eval=ema", norm="{kind: batch, eval: null}")
    assert written.identity() == plain.identity()
    assert written.context() == plain.context()
    of_norm, of_all = run_config(norm=under("precise")), run_config("normalization.eval=precise")
    assert len({plain.identity(), of_norm.identity(), of_all.identity()}) == 3
    assert of_norm.context() == plain.context() != of_all.context()
