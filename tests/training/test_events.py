"""What a run tells: which events, in which order, with which numbers."""

from __future__ import annotations

import hashlib
import io
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import (
    CNN,
    EVERYTHING,
    SHORT_EPOCHS,
    logits_by_hand,
    only,
    pixels,
    record,
    run_config,
    same,
    state,
    trained,
    weights,
)

from normbench.config import TrainingConfig
from normbench.data import epoch_order, split
from normbench.seeding import stream
from normbench.training import events
from normbench.training.budget import evaluation_steps
from normbench.training.run import Run, make_network


def line(event: events.Event) -> tuple[str, int]:
    return type(event).__name__, event.step


def test_events_come_in_order(digits):
    overrides = ("training={steps: 10, evaluate_every: 3}", "probes={every: 5}", *SHORT_EPOCHS)
    found = trained(run_config(*overrides), digits)
    assert [line(e) for e in found if not isinstance(e, events.Progress)] == [
        ("Started", 0),
        ("Evaluated", 0),
        ("EpochStarted", 0),
        ("Probed", 0),
        ("Evaluated", 3),
        ("EpochStarted", 4),
        ("Probed", 5),
        ("Evaluated", 6),
        ("EpochStarted", 8),
        ("Evaluated", 9),
        ("Probed", 9),
        ("Evaluated", 10),
        ("Checkpointed", 10),
        ("Tested", 10),
        ("Finished", 10),
    ]
    assert [e.epoch for e in only(found, events.EpochStarted)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("steps", "every", "at"),
    [
        (12, 5, [0, 5, 10, 12]),
        (12, 6, [0, 6, 12]),
        (12, 12, [0, 12]),
        (12, 100, [0, 12]),
        (3, 1, [0, 1, 2, 3]),
    ],
)
def test_evaluations_come_at_the_cadence_and_at_the_end(digits, steps, every, at):
    config = run_config(f"training={{steps: {steps}, evaluate_every: {every}}}")
    assert [e.step for e in only(trained(config, digits), events.Evaluated)] == at


@pytest.mark.parametrize(
    ("steps", "evaluations", "at"),
    [
        (12, 4, [0, 3, 6, 9, 12]),
        (19, 10, [0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]),
        (7, 3, [0, 2, 4, 7]),
        (3, 10, [0, 1, 2, 3]),
        (5, 1, [0, 5]),
    ],
)
def test_as_many_evaluations_come_as_are_asked_for(digits, steps, evaluations, at):
    config = run_config(f"training={{steps: {steps}, evaluations: {evaluations}}}")
    assert [e.step for e in only(trained(config, digits), events.Evaluated)] == at


@given(steps=st.integers(1, 5000), evaluations=st.integers(1, 300))
def test_evaluations_are_as_evenly_spaced_as_whole_steps_are(steps, evaluations):
    training = TrainingConfig(steps=steps, evaluations=evaluations)
    config = run_config().model_copy(update={"training": training})
    at = evaluation_steps(config, steps)
    assert len(at) == min(steps, evaluations)
    assert at[-1] == steps
    gaps = {b - a for a, b in pairwise([0, *at])}
    assert max(gaps) - min(gaps) <= 1
    assert min(gaps) >= 1


def test_a_cadence_far_beyond_the_budget_costs_no_memory(digits):
    config = run_config("training={steps: 3, evaluate_every: 1000000000000}")
    assert [e.step for e in only(trained(config, digits), events.Evaluated)] == [0, 3]


def test_an_evaluation_tells_epochs_and_examples(digits):
    config = run_config("training={steps: 6, evaluate_every: 2}", *SHORT_EPOCHS)
    found = only(trained(config, digits), events.Evaluated)
    assert [(e.epoch, e.examples) for e in found] == [
        (0.0, 0),
        (0.5, 660),
        (1.0, 1320),
        (1.5, 1980),
    ]


def test_started_tells_the_budget_and_what_is_learned(digits):
    started = trained(run_config(norm="batch"), digits)[0]
    hidden = (64 * 16 + 16) + 2 * (16 * 16 + 16) + 3 * 2 * 16
    assert (started.step, started.steps) == (0, 12)
    assert started.parameters == hidden + 16 * 10 + 10
    assert started.backbone_sha256 == make_network(run_config(), digits).backbone_sha256


def test_the_train_loss_is_the_mean_over_the_updates_since_the_last_evaluation(digits):
    each = only(trained(run_config("training.evaluate_every=1"), digits), events.Evaluated)
    assert each[0].train_loss is None
    losses = [e.train_loss for e in each[1:]]
    coarse = only(trained(run_config("training.evaluate_every=5"), digits), events.Evaluated)
    assert coarse[0].train_loss is None
    wanted = [np.mean(losses[:5]), np.mean(losses[5:10]), np.mean(losses[10:])]
    assert [e.train_loss for e in coarse[1:]] == pytest.approx(wanted, rel=1e-12)


def test_the_train_loss_of_the_first_update_is_the_initial_networks(digits):
    config = run_config("training={steps: 1}", norm="none")
    run = Run(config, digits)
    order = run.train_indices[epoch_order(0, 0, len(run.train_indices))][:32]
    tensors = dict(run.network.state_dict())
    logits = logits_by_hand(tensors, pixels(digits, digits.train_images[order]), "none")
    labels = digits.train_labels[order]
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    wanted = -log_p[np.arange(32), labels].mean()
    last = only(trained(config, digits), events.Evaluated)[-1]
    assert last.train_loss == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms"])
def test_accuracies_are_those_of_the_network_in_evaluation_mode(digits, norm):
    found = trained(run_config(norm=norm), digits)
    _, validation = split(digits.train_labels, 100, stream(0, "split"))
    for images, labels, accuracy, loss in (
        (
            digits.train_images[validation],
            digits.train_labels[validation],
            only(found, events.Evaluated)[-1].val_accuracy,
            only(found, events.Evaluated)[-1].val_loss,
        ),
        (
            digits.test_images,
            digits.test_labels,
            only(found, events.Tested)[0].test_accuracy,
            only(found, events.Tested)[0].test_loss,
        ),
    ):
        logits = logits_by_hand(weights(found), pixels(digits, images), norm)
        right = int((logits.argmax(1) == labels).sum())
        assert accuracy == pytest.approx(right / len(labels), abs=1e-6)
        log_p = torch.from_numpy(logits).log_softmax(1)[range(len(labels)), labels]
        assert loss == pytest.approx(-log_p.mean().item(), rel=1e-4)


def test_an_accuracy_is_the_share_to_the_last_bit(digits):
    # 90 of 100 right must reach a target of 0.9; in float32 90/100 is 0.8999999761581421.
    for event in only(trained(run_config("training.evaluate_every=1"), digits), events.Evaluated):
        assert event.val_accuracy == round(event.val_accuracy * 100) / 100


def test_evaluating_leaves_no_trace(digits):
    often = trained(run_config("training.evaluate_every=1"), digits)
    once = trained(run_config("training.evaluate_every=100"), digits)
    assert same(weights(often), weights(once))
    assert only(often, events.Evaluated)[-1].val_loss == only(once, events.Evaluated)[-1].val_loss


def test_evaluating_changes_neither_mode_nor_statistics(digits):
    run = Run(run_config(), digits)
    run.network.train()
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.evaluate(run.data, run.validation_indices)
    assert all(module.training for module in run.network.modules())
    assert same(dict(run.network.state_dict()), before)
    assert all(p.grad is None for p in run.network.parameters())


@pytest.mark.parametrize("norm", ["batch", "rms"])
def test_the_training_accuracy_is_that_of_training_images_that_never_change(digits, norm):
    config = run_config("training.steps=8", "training.evaluate_every=4", norm=norm)
    found = only(trained(config, digits), events.Evaluated)
    run = Run(config, digits)
    assert len(run.watched_indices) == len(set(run.watched_indices)) == 100
    assert set(run.watched_indices) <= set(run.train_indices)
    run.network.train()
    for event in found:
        while run.step < event.step:
            if run.step % run.per_epoch == 0:
                run.start_epoch()
            run.first_loss_step = run.step
            run.update()
        x, y = run.data.batch(run.watched_indices)
        run.network.eval()
        with torch.no_grad():
            right = (run.network(x).argmax(1) == y).double().mean().item()
        run.network.train()
        assert event.train_accuracy == pytest.approx(right)
    other = Run(run_config(norm="none"), digits)
    assert (other.watched_indices == run.watched_indices).all()


def test_precise_statistics_are_those_of_the_training_images(digits):
    config = run_config("data.batch_size=8", "training.steps=30", "optimizer.lr=0.1")
    found = trained(config, digits)
    (tested,) = only(found, events.Tested)
    run = Run(config, digits)
    run.restore(only(found, events.Checkpointed)[-1].state)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    assert run.precise_accuracy() == tested.val_accuracy_precise
    assert same(dict(run.network.state_dict()), before)
    assert {m.momentum for m in run.network.modules() if hasattr(m, "momentum")} == {0.1}
    assert all(module.training for module in run.network.modules())
    # Once more, from the plain mean and variance of every unit over (nearly) all those images.
    x, _ = run.data.batch(run.train_indices)
    with torch.no_grad():
        for block in run.network.blocks:
            z = block.linear(x)
            block.norm.running_mean.copy_(z.mean(0))
            block.norm.running_var.copy_(z.var(0))
            x = block.activation(block.norm.eval()(z))
    _, wanted = run.evaluate(run.data, run.validation_indices)
    assert tested.val_accuracy_precise == pytest.approx(wanted, abs=0.02)
    (last,) = (e for e in only(found, events.Evaluated) if e.step == 30)
    assert abs(tested.val_accuracy_precise - last.val_accuracy) > 0.02  # running ones lag behind


def test_without_running_statistics_there_is_no_precise_accuracy(digits):
    (tested,) = only(trained(run_config("training.steps=4", norm="rms"), digits), events.Tested)
    assert math.isnan(tested.val_accuracy_precise)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_the_evaluation_batch_size_changes_no_result(digits, size):
    run = Run(run_config(f"training.eval_batch_size={size}", norm="layer"), digits)
    whole = Run(run_config(norm="layer"), digits)
    found = run.evaluate(run.data, run.validation_indices)
    assert found == pytest.approx(whole.evaluate(whole.data, whole.validation_indices), rel=1e-5)


def test_the_test_set_is_seen_once_and_last(digits, monkeypatch):
    seen: list[int] = []
    evaluate = Run.evaluate

    def spy(self, data, indices):
        seen.append(len(data))
        return evaluate(self, data, indices)

    monkeypatch.setattr(Run, "evaluate", spy)
    trained(run_config(), digits)
    assert seen.count(len(digits.test_labels)) == 1
    assert seen[-1] == len(digits.test_labels)


def test_batches_are_the_seeds_order_and_its_hash_chains_over_the_epochs(digits):
    found = trained(run_config("training.steps=10", *SHORT_EPOCHS, seed=3), digits)
    train, validation = split(digits.train_labels, 100, stream(3, "split"))
    assert not set(train) & set(validation)
    digest = ""
    for event, batches in zip(only(found, events.EpochStarted), (4, 4, 2), strict=True):
        order = train[epoch_order(3, event.epoch, len(train))][: batches * 330]
        digest = hashlib.sha256(digest.encode() + order.astype("<i8").tobytes()).hexdigest()
        assert event.batches_sha256 == digest
    assert state(found)["batches_sha256"] == digest


def test_the_batches_trained_on_are_those_that_were_hashed(digits, monkeypatch):
    seen: list[np.ndarray] = []
    augmented = Run(run_config(), digits).data.augmented.__func__

    def spy(self, indices, *args, **kwargs):
        seen.append(indices.numpy().copy())
        return augmented(self, indices, *args, **kwargs)

    monkeypatch.setattr("normbench.data.batches.DeviceData.augmented", spy)
    found = trained(run_config("training.steps=6", *SHORT_EPOCHS), digits)
    digest = ""
    for batches in (seen[:4], seen[4:]):
        digest = hashlib.sha256(digest.encode() + np.concatenate(batches).tobytes()).hexdigest()
    assert only(found, events.EpochStarted)[-1].batches_sha256 == digest


def test_batches_and_backbones_are_the_same_under_every_norm(digits):
    runs = [trained(run_config(norm=norm), digits) for norm in ("none", "batch", "rms")]
    assert len({run[0].backbone_sha256 for run in runs}) == 1
    assert len({only(run, events.EpochStarted)[-1].batches_sha256 for run in runs}) == 1
    assert len({str(weights(run)) for run in runs}) == 3


def test_a_split_seed_fixes_the_split_for_all_seeds(digits):
    fixed = [Run(run_config("data.split_seed=5", seed=seed), digits) for seed in (0, 1)]
    assert fixed[0].validation_indices.tolist() == fixed[1].validation_indices.tolist()
    own = [Run(run_config(seed=seed), digits) for seed in (0, 1)]
    assert own[0].validation_indices.tolist() != own[1].validation_indices.tolist()


@pytest.mark.parametrize("model", [(), CNN], ids=["mlp", "cnn"])
def test_the_same_run_twice_is_the_same_run(digits, model):
    config = run_config(*model, *EVERYTHING)
    first = trained(config, digits)
    torch.manual_seed(99)
    torch.rand(5)
    second = trained(config, digits)
    assert record(first) == record(second)
    for part in ("network", "losses"):
        assert same(state(first)[part], state(second)[part])


def test_another_seed_is_another_run(digits):
    one, other = (trained(run_config(seed=seed), digits) for seed in (0, 1))
    assert only(one, events.Evaluated)[0].val_loss != only(other, events.Evaluated)[0].val_loss


@pytest.mark.parametrize("model", [(), CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["none", "batch", "rms"])
def test_bf16_trains_and_keeps_its_weights_in_fp32(digits, model, norm):
    half = trained(run_config(*model, "training.precision=bf16", norm=norm), digits)
    full = trained(run_config(*model, norm=norm), digits)
    assert isinstance(half[-1], events.Finished)
    assert {t.dtype for t in weights(half).values()} == {torch.float32}
    for a, b in zip(only(half, events.Evaluated), only(full, events.Evaluated), strict=True):
        assert a.val_loss == pytest.approx(b.val_loss, abs=0.1)
    assert only(half, events.Evaluated)[0].val_loss != only(full, events.Evaluated)[0].val_loss


def test_training_learns(digits):
    config = run_config("training={epochs: 4, evaluate_every: 100}", "optimizer.lr=0.05")
    assert only(trained(config, digits), events.Evaluated)[-1].val_accuracy > 0.9


def test_the_optimizer_is_kept_until_the_last_update(digits):
    config = run_config(*EVERYTHING)
    parts = {"step", "network", "batches_sha256", "losses", "first_loss_step", "clock"}
    stopped = state(trained(config, digits, stop_at=11))
    assert (stopped["step"], stopped.keys()) == (11, {*parts, "optimizer"})
    ended = trained(config, digits)
    assert (state(ended)["step"], state(ended).keys()) == (12, parts)
    # As after a crash between the last checkpoint and the end of the run.
    (last,) = only(ended, events.Checkpointed)
    again = trained(config, digits, resume=last.state)
    assert record(again)[-2:] == record(ended)[-2:]
    assert isinstance(again[-1], events.Finished)


def test_a_checkpoint_is_read_without_running_code(digits):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    buffer = io.BytesIO()
    torch.save({"step": 0, "network": Evil()}, buffer)
    with pytest.raises(Exception, match="weights_only"):
        trained(run_config(), digits, resume=buffer.getvalue())


def test_images_and_convolutions_are_channels_last(digits):
    run = Run(run_config(*CNN), digits)
    x, _ = run.data.batch(np.arange(4))
    assert x.is_contiguous(memory_format=torch.channels_last)
    weight = run.network.blocks[1].linear.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
