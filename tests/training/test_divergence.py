"""Divergence is a result: which step, noticed when, and what is left of the run."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from tiny import only, record, run_config, same, state, trained, weights
from torch.nn import functional as F

from normbench.training import events, loop
from normbench.training.run import Run

EXPLODES = ("optimizer={kind: sgd, lr: 1e6}", "probes={steps: none}")
# The rate grows from step to step, so that there is a good time before the end.
BUDGET = ("training={steps: 40, evaluate_every: 2}", "probes={steps: none}")
LATE = (
    "model.activation=identity",
    "optimizer={kind: sgd, lr: 0.5, warmup_steps: 40}",
    *BUDGET,
)
# Here an evaluation stands between the last finite loss and the first bad one.
ON_THE_EDGE = (
    "model.activation=leaky_relu",
    "optimizer={kind: sgd, lr: 2, warmup_steps: 40}",
    *BUDGET,
)


def first_bad_step(*overrides: str, norm: str = "none", digits) -> int:
    """The first update whose loss is not finite, by a loop of its own."""
    config = run_config(*overrides, norm=norm)
    known = Run(config, digits)
    known.start_epoch()
    net = known.network.train()
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    for step in range(known.steps):
        assert known.order is not None
        x, y = known.data.batch(known.order[32 * step : 32 * (step + 1)])
        loss = F.cross_entropy(net(x), y)
        if not loss.isfinite():
            return step
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), velocity, gradients, strict=True):
                v.mul_(config.optimizer.momentum).add_(g)
                p.sub_(config.optimizer.lr * v)
    raise AssertionError("this does not diverge")


@pytest.mark.parametrize("every", [1, 2, 3, 5, 12, 100])
def test_a_run_that_explodes_says_at_which_step_and_ends_at_the_next_evaluation(digits, every):
    k = first_bad_step(*EXPLODES, digits=digits)
    assert 0 < k < 6
    config = run_config(*EXPLODES, f"training.evaluate_every={every}", norm="none")
    found = trained(config, digits)
    # An evaluation just before the bad update meets the same weights, and is not finite either.
    end = min(12, math.ceil(k / every) * every)
    assert found[-2:-1] == [events.Diverged(k)]
    assert isinstance(found[-1], events.Finished)
    assert found[-1].step == end
    assert [e.step for e in only(found, events.Evaluated)] == list(range(0, end, every))
    assert not only(found, events.Tested)


def test_a_run_that_explodes_in_its_last_step_has_diverged(digits):
    k = first_bad_step(*EXPLODES, digits=digits)
    config = run_config(*EXPLODES, f"training={{steps: {k + 1}, evaluate_every: 100}}", norm="none")
    found = trained(config, digits)
    assert only(found, events.Diverged) == [events.Diverged(k)]
    assert not only(found, events.Tested)


def finite(saved: events.Event) -> bool:
    return all(tensor.isfinite().all() for tensor in weights([saved]).values())


def test_the_last_checkpoint_stays_the_last_good_one(digits, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    found = trained(run_config(*LATE, norm="none"), digits)
    (diverged,) = only(found, events.Diverged)
    saved = only(found, events.Checkpointed)
    assert len(saved) > 1
    assert saved[-1].step == diverged.step
    assert all(finite(event) for event in saved)


def test_no_checkpoint_holds_weights_that_are_not_finite(digits, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    found = trained(run_config(*ON_THE_EDGE, norm="none"), digits)
    (diverged,) = only(found, events.Diverged)
    assert only(found, events.Checkpointed)[-1].step == diverged.step - 1
    assert all(finite(event) for event in only(found, events.Checkpointed))


def evaluated_as(monkeypatch, value: float, *, test: bool, at: int) -> None:
    """The evaluation of validation or test images after ``at`` updates gives this loss."""
    evaluate = Run.evaluate

    def spoilt(self, data, indices):
        loss, accuracy = evaluate(self, data, indices)
        mine = (data is self.test_data) == test and self.step == at
        return (value if mine else loss), accuracy

    monkeypatch.setattr(Run, "evaluate", spoilt)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 5, 12])
def test_an_evaluation_that_is_not_finite_is_a_divergence_at_its_step(
    digits, monkeypatch, at, value
):
    evaluated_as(monkeypatch, value, test=False, at=at)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    found = trained(run_config(), digits)
    assert only(found, events.Diverged) == [events.Diverged(at)]
    assert isinstance(found[-1], events.Finished)
    assert found[-1].step == at
    assert [e.step for e in only(found, events.Evaluated)] == [s for s in (0, 5, 10) if s < at]
    assert all(e.step < at for e in only(found, events.Checkpointed))
    assert not only(found, events.Tested)


def test_a_run_whose_test_is_not_finite_has_diverged_at_its_end(digits, monkeypatch):
    evaluated_as(monkeypatch, math.nan, test=True, at=12)
    found = trained(run_config(), digits)
    assert [type(event).__name__ for event in found[-2:]] == ["Diverged", "Finished"]
    assert found[-2] == events.Diverged(12)
    assert not only(found, events.Tested)


def test_a_batch_norm_whose_running_statistics_are_no_numbers_has_diverged(digits):
    # In training each batch is normalized by itself, so that no training loss tells.
    config = run_config(norm="batch")
    before = trained(config, digits, stop_at=6)
    saved = state(before)
    saved["network"]["blocks.1.norm.running_mean"].fill_(math.nan)
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    found = trained(config, digits, resume=buffer.getvalue())
    assert only(found, events.Diverged) == [events.Diverged(10)]
    assert not only(found, events.Evaluated)
    assert not only(found, events.Checkpointed)


def test_a_run_that_explodes_repeats_itself(digits):
    config = run_config(*EXPLODES, norm="none")
    assert record(trained(config, digits)) == record(trained(config, digits))


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_another_run_is_not_called_diverged_because_its_rate_is_silly(digits, norm):
    # A norm bounds the activations: the loss is large, but finite.
    found = trained(run_config("optimizer={kind: sgd, lr: 20}", norm=norm), digits)
    assert not only(found, events.Diverged)
    assert math.isfinite(only(found, events.Evaluated)[-1].val_loss)


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_a_run_interrupted_on_its_way_to_divergence_diverges_at_the_same_step(digits, stop_at):
    config = run_config(*EXPLODES, norm="none")
    whole = trained(config, digits)
    before = trained(config, digits, stop_at=stop_at)
    if only(before, events.Diverged):  # it had exploded already, which was found on stopping
        assert only(before, events.Diverged) == only(whole, events.Diverged)
        return
    after = trained(config, digits, resume=before[-2].state)
    assert record([*before, *after]) == record(whole)


def test_an_interruption_after_the_explosion_leaves_the_last_good_checkpoint(digits):
    k = first_bad_step(*EXPLODES, digits=digits)
    config = run_config(*EXPLODES, "training.evaluate_every=100", norm="none")
    found = trained(config, digits, stop_at=k + 1)
    assert all(finite(event) for event in only(found, events.Checkpointed))


def test_probes_of_a_run_that_explodes_do_not_stop_it(digits):
    config = run_config(EXPLODES[0], "probes={every: 1}", norm="none")
    found = trained(config, digits)
    values = np.array([e.quantities["activation_gradient"] for e in only(found, events.Probed)])
    assert not np.isfinite(values[-1]).all()
    assert only(found, events.Diverged)
    plain = trained(run_config(*EXPLODES, norm="none"), digits)
    assert record(e for e in found if not isinstance(e, events.Probed)) == record(plain)


def test_divergence_under_bf16_is_found_too(digits):
    found = trained(run_config(*EXPLODES, "training.precision=bf16", norm="none"), digits)
    assert only(found, events.Diverged)


def test_nothing_waits_for_the_loss_between_evaluations(digits, monkeypatch):
    asked: list[int] = []
    logged = Run.logged_losses

    def spy(self):
        asked.append(self.step)
        return logged(self)

    monkeypatch.setattr(Run, "logged_losses", spy)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", math.inf)
    monkeypatch.setattr(torch.Tensor, "item", None)
    config = run_config("training={steps: 9, evaluate_every: 9}", "probes={steps: none}")
    for event in loop.train(config, digits):
        if isinstance(event, events.Evaluated):
            break
    monkeypatch.undo()
    assert set(asked) <= {0, 9}


def test_resuming_a_good_run_is_not_disturbed_by_old_losses(digits):
    config = run_config("training={steps: 12, evaluate_every: 12}")
    before = trained(config, digits, stop_at=7)
    after = trained(config, digits, resume=before[-2].state)
    assert same(state(after)["losses"], state(trained(config, digits))["losses"])
