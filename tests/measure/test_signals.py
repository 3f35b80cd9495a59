"""Inspecting a run: what it sees is what training sees, and training does not notice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CNN, experiment, only, run_config, same, trained
from torch.nn import functional as F

from normbench.measure.signals import inspect, inspect_all, theory_inputs
from normbench.norms import NormPolicy, NormSlot, make_method
from normbench.seeding import stream
from normbench.training.events import Probed
from normbench.training.run import Run, make_network


def start(config, dataset) -> Run:
    run = Run(config, dataset)
    run.start_epoch()
    return run


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms"])
def test_the_signals_at_the_start_equal_plain_autograd(norm, digits):
    config = run_config(norm=norm)
    found = inspect(config, digits).signals[0]
    network = make_network(config, digits)
    module = network.module
    x, y = start(config, digits).next_batch()
    outputs: list[torch.Tensor] = []
    for product in network.products():
        product.register_forward_hook(lambda m, i, z: outputs.append(z))
    loss = F.cross_entropy(module(x), y)
    weights = [product.weight for product in network.products()]
    gradients = torch.autograd.grad(loss, [*outputs, *weights])
    norms = [g.norm().item() for g in gradients]
    assert found["activation_gradient"] == norms[:3]
    assert found["weight_gradient"] == norms[3:]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_independent_gradients_enter_at_the_head_and_leave_the_run_alone(norm, digits):
    config = run_config(norm=norm)
    found = inspect(config, digits, signals_at={0, 3}, gradient="independent").signals
    plain = inspect(config, digits, signals_at={0, 3}).signals
    network = make_network(config, digits)
    x, _ = start(config, digits).next_batch()
    outputs, inputs = [], []
    for product in network.products():
        product.register_forward_hook(lambda m, i, z: outputs.append(z))
    network.module.head.register_forward_pre_hook(lambda m, i: inputs.append(i[0]))
    network.module(x)
    rng = stream(config.seed, "output gradient")
    drawn = torch.from_numpy(rng.standard_normal(tuple(inputs[0].shape), dtype=np.float32))
    gradients = torch.autograd.grad(inputs[0], outputs, drawn)
    assert found[0]["activation_gradient"] == pytest.approx([g.norm().item() for g in gradients])
    assert found[0]["weight_gradient"] != plain[0]["weight_gradient"]
    np.testing.assert_equal(found[3], plain[3])
    others = found[0].keys() - {"activation_gradient", "weight_gradient"}
    for name in others:
        np.testing.assert_equal(found[0][name], plain[0][name])


@pytest.mark.parametrize("more", [(), CNN])
def test_the_signals_are_those_a_training_run_records(more, digits):
    config = run_config("probes={every: 1}", "optimizer.warmup_steps=3", *more)
    recorded = {e.step: e.quantities for e in only(trained(config, digits), Probed)}
    found = inspect(config, digits, signals_at={0, 5, 11}).signals
    assert set(found) == {0, 5, 11}
    assert all(same(found[step], recorded[step]) for step in found)


def test_looking_at_the_landscape_changes_nothing(digits):
    config = run_config()
    plain = inspect(config, digits, signals_at={0, 6})
    looked = inspect(config, digits, signals_at={0, 6}, landscape_at={0, 2, 6})
    assert same(plain.signals, looked.signals)
    assert set(looked.loss_landscape) == {0, 2, 6}
    for around in looked.loss_landscape.values():
        assert around.landscape.loss_range[0] <= around.landscape.loss
        assert around.noise.batches == 8
        assert math.isfinite(around.eigenvalue.value)


def test_after_a_divergence_there_is_nothing(digits):
    config = run_config("optimizer.lr=1e18", norm="none")
    found = inspect(config, digits, signals_at={0, 11}, landscape_at={0, 11})
    assert found.diverged_at
    assert set(found.signals) == set(found.loss_landscape) == {0}


def test_the_theory_inputs_are_those_of_the_network(digits):
    run = start(run_config("model.init=he_normal", "model.width=256"), digits)
    found = theory_inputs(run)
    assert found.weight_gain == pytest.approx(2.0, rel=0.02)
    assert found.first_gain == pytest.approx(2.0, rel=0.05)
    assert (found.law["statistics"], found.law["centered"]) == ("batch", True)
    assert (found.no_law, found.placement, found.activation) == ("", "pre", "relu")
    assert (found.batch_size, found.depth, found.chain) == (32, 3, True)
    assert not found.centered_weights
    assert found.shapes == ((256,),) * 3
    assert found.gains[0] == found.first_gain
    assert np.mean(found.gains[1:]) == pytest.approx(found.weight_gain)
    assert found.bias_variance == 0
    x, _ = run.next_batch()
    np.testing.assert_allclose(found.input_mean_square, (x.numpy() ** 2).mean(1), rtol=1e-6)
    flat = x.numpy().astype(float)
    np.testing.assert_allclose(found.input_products, flat @ flat.T / flat.shape[1], rtol=1e-6)


def test_the_theory_inputs_of_convolutions_are_those_at_the_middle_layer(digits):
    run = start(run_config(*CNN, norm="instance"), digits)
    found = theory_inputs(run)
    assert [len(shape) for shape in found.shapes] == [3] * len(run.assembled.layers)
    _, height, width = found.shapes[len(found.shapes) // 2]
    assert found.batch_size == 32 * height * width
    assert (found.group_size, found.channels) == (height * width, 1)
    x, _ = run.next_batch()
    np.testing.assert_allclose(found.input_map, (x.numpy() ** 2).mean((0, 1)), rtol=1e-5)


def test_uniform_biases_have_a_variance(digits):
    config = run_config("model.init=torch_default", "model.width=64")
    found = theory_inputs(start(config, digits))
    assert found.bias_variance == pytest.approx(1 / (3 * 64), rel=0.2)
    assert found.weight_gain == pytest.approx(1 / 3, rel=0.05)


def test_the_theory_inputs_are_of_the_weights_and_the_activation_as_a_method_leaves_them(digits):
    def of(norm):
        return theory_inputs(start(run_config("model.width=256", norm=norm), digits))

    selu, unit = of("selu"), of({"kind": "weight_norm", "init": "unit"})
    assert (selu.activation, selu.law["statistics"]) == ("selu", "none")
    assert selu.weight_gain == pytest.approx(1.0, rel=0.02)
    assert unit.weight_gain == pytest.approx(1.0, rel=1e-6)
    assert not unit.centered_weights
    assert of("scaled_weight_standardization").centered_weights
    assert of("evonorm_s0").activation == "identity"


FEATURES, IMAGES = NormSlot.of(32), NormSlot.of(32, 5, 6)
TOKENS = replace(NormSlot.of(32, 30), shape=(30, 32), feature_dim=-1)


@pytest.mark.parametrize(
    ("kind", "policy", "options", "slot", "size"),
    [
        ("none", NormPolicy(), {}, FEATURES, None),
        ("batch", NormPolicy(), {}, FEATURES, None),
        ("layer", NormPolicy(), {}, FEATURES, 32),
        ("rms", NormPolicy(), {}, IMAGES, 32 * 30),
        ("layer", NormPolicy(axes="c"), {}, IMAGES, 32),
        ("rms", NormPolicy(), {"axes": "c"}, IMAGES, 32),
        ("group", NormPolicy(), {"groups": 4}, FEATURES, 8),
        ("group", NormPolicy(), {"groups": 4}, IMAGES, 8 * 30),
        ("instance", NormPolicy(), {}, IMAGES, 30),
        ("layer", NormPolicy(), {}, TOKENS, 32),
    ],
)
def test_a_method_tells_how_many_values_stand_behind_a_statistic(kind, policy, options, slot, size):
    assert make_method(kind, policy, **options).group_size(slot) == size


def test_many_runs_give_a_reading_each_and_keep_the_threads(digits):
    configs = experiment()
    runs = [(0, norm, configs.run({}, norm, seed)) for norm in configs.labels for seed in (0, 1)]
    before, done = torch.get_num_threads(), []
    signals, around = inspect_all(
        runs, digits, signals_at={0, 2}, landscape_at={2}, progress=done.append
    )
    assert [(r["norm"], r["seed"], r["step"]) for r in signals] == [
        (norm, seed, step) for norm in ("none", "batch") for seed in (0, 1) for step in (0, 2)
    ]
    assert [r["step"] for r in around] == [2, 2, 2, 2]
    assert all(r["learning_rate"] == pytest.approx(0.1) for r in around)
    assert done == [0, 1, 2, 3, 4]
    assert torch.get_num_threads() == before
