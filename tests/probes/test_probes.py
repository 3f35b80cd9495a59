"""Every probe against plain autograd, and proof that looking changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CNN, EVERYTHING, only, record, run_config, same, state, trained
from torch import Tensor
from torch.nn import functional as F

from normbench.models import MODELS, ModelSettings
from normbench.models.assemble import assemble
from normbench.models.network import Blueprint, Network
from normbench.norms import NormMethod, NormPolicy, make_method
from normbench.probes import PROBES, ProbeRecorder, probe_steps
from normbench.probes.base import SHARES
from normbench.training import events
from normbench.training.run import Run

IMAGE, CLASSES, BATCH = (6, 6, 1), 4, 7
OF_BLOCKS = {"identity_share", "block_square", "block_gradient"}
SMALL = {"mlp": {"depth": 4, "width": 8}, "cnn": {"depth": 4, "stages": 2, "width": 8}}


def network(kind: str, norm: str, placement: str = "pre", activation: str = "relu") -> Network:
    groups = {"groups": 2} if norm == "group" else {}
    return under(make_method(norm, NormPolicy(), **groups), kind, placement, activation)


def under(
    method: NormMethod, kind: str, placement: str = "pre", activation: str = "relu"
) -> Network:
    settings = ModelSettings(activation=activation, placement=placement, init="torch_default")
    blueprint = Blueprint(kind, MODELS[kind].Options(**SMALL[kind]), settings)
    return assemble(blueprint, method, IMAGE, CLASSES, 0, BATCH)


def batch(kind: str) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    shape = (BATCH, 36) if kind == "mlp" else (BATCH, 1, 6, 6)
    x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return x, torch.from_numpy(rng.integers(0, CLASSES, BATCH))


def norm64(tensor: Tensor) -> float:
    return tensor.double().flatten().norm().item()


def expected(network: Network, x: Tensor, y: Tensor) -> dict[str, list[float]]:
    """Every quantity of a backward pass, written down once more from stored intermediates."""
    net: Any = copy.deepcopy(network.module)
    h, zs, ins, outs = x, [], [], []
    for block in net.blocks:
        z = block.linear(h)
        zs.append(z)
        if block.placement == "pre":
            ins.append(block.norm(z))
            h = block.activation(ins[-1])
            outs.append(h)
        else:
            ins.append(z)
            outs.append(block.activation(z))
            h = block.norm(outs[-1])
    logits = net.head(h.mean((2, 3)) if h.ndim == 4 else h)
    weights = [block.linear.weight for block in net.blocks]
    gradients = torch.autograd.grad(F.cross_entropy(logits, y), [*zs, *weights])
    depth = len(zs)
    values = [t.detach().double().numpy() for t in (*ins, *outs)]
    ins64, outs64 = values[:depth], values[depth:]
    units = [np.moveaxis(out, 1, 0).reshape(out.shape[1], -1) for out in outs64]
    return {
        "activation_gradient": [norm64(g) for g in gradients[:depth]],
        "weight_gradient": [norm64(g) for g in gradients[depth:]],
        "activation_in_mean": [float(a.mean()) for a in ins64],
        "activation_in_std": [float(a.std()) for a in ins64],
        "activation_out_mean": [float(a.mean()) for a in outs64],
        "activation_out_std": [float(a.std()) for a in outs64],
        **{
            f"activation_in_q{round(100 * share):02}": [float(np.quantile(a, share)) for a in ins64]
            for share in SHARES
        },
        "dead_units": [float((unit == 0).all(axis=1).mean()) for unit in units],
        "layer_size": [out[0].size for out in outs64],
        "weight_norm": [norm64(w) for w in weights],
        "effective_rank": [rank(out) for out in outs64],
        "example_cosine": [cosine(out) for out in outs64],
    }


def rank(output: np.ndarray) -> float:
    """exp(entropy of the normalized squared singular values) of [N, ...]."""
    share = np.linalg.svd(output.reshape(len(output), -1), compute_uv=False) ** 2
    share = share[share > 1e-14 * share.max()] / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def cosine(output: np.ndarray) -> float:
    """Mean over pairs of different examples, one pair after the other."""
    flat = [f / np.linalg.norm(f) for f in output.reshape(len(output), -1) if f.any()]
    pairs = [a @ b for i, a in enumerate(flat) for b in flat[:i]]
    return float(np.mean(pairs)) if pairs else float("nan")


def probed(net: Network, x: Tensor, y: Tensor, optimizer: Any) -> dict[str, list[float]]:
    recorder = ProbeRecorder(net)
    optimizer.zero_grad()
    with recorder.recording():
        loss = F.cross_entropy(net.module(x), y)
        loss.backward()
    recorder.after_backward(optimizer.param_groups[0]["lr"])
    optimizer.step()
    return recorder.after_step()


def close(found: list[float], wanted: list[float]) -> bool:
    return found == pytest.approx(wanted, rel=4e-6, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms", "group"])
@pytest.mark.parametrize("kind", list(SMALL))
def test_every_quantity_equals_plain_autograd(kind, norm, placement, activation):
    net, (x, y) = network(kind, norm, placement, activation), batch(kind)
    wanted = expected(net, x, y)
    before = [block.linear.weight.detach().clone() for block in net.module.blocks]
    found = probed(net, x, y, torch.optim.Adam(net.module.parameters(), lr=0.01))
    moved = [
        norm64(block.linear.weight.detach() - old) / norm64(old)
        for block, old in zip(net.module.blocks, before, strict=True)
    ]
    wanted["update_ratio"] = moved
    # The scale of W is lost in a division, except where a tanh stands before the norm.
    lost = norm != "none" and (placement == "pre" or activation == "relu")
    rate = 0.01 if lost else np.nan
    wanted["effective_rate"] = [rate / norm64(old) ** 2 for old in before]
    assert found.keys() == wanted.keys() == set(PROBES) - OF_BLOCKS
    for name in wanted:
        assert close(found[name], wanted[name]), name
    assert all(value > 0 for value in found["activation_gradient"])


@pytest.mark.parametrize("norm", ["batch", "peri_ln", "deepnorm", "layerscale"])
def test_what_residual_blocks_carry_equals_plain_autograd(norm):
    options = {"norm": "layer", "start": 0.5} if norm == "layerscale" else {}
    method = make_method(norm, NormPolicy(), **options)
    settings = ModelSettings(init="torch_default")
    sizes = MODELS["residual_mlp"].Options(depth=3, width=8)
    net = assemble(Blueprint("residual_mlp", sizes, settings), method, IMAGE, CLASSES, 0, BATCH)
    x, y = batch("mlp")
    module: Any = copy.deepcopy(net.module)
    streams, shares = [module.stem(x)], []
    for block in module.blocks:
        stream = streams[-1]
        skip = stream * block.skip_scale
        total = skip + block.branch_end(block.branch(block.before(stream)))
        shares.append((skip.square().mean() / total.square().mean()).item())
        streams.append(block.after(total))
    logits = module.head(module.activation(module.norm(streams[-1])))
    gradients = torch.autograd.grad(F.cross_entropy(logits, y), streams[:-1])
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.01))
    wanted = {
        "identity_share": shares,
        "block_square": [float(s.detach().square().mean()) for s in streams[:-1]],
        "block_gradient": [norm64(g) for g in gradients],
    }
    assert set(wanted) == OF_BLOCKS
    for name, values in wanted.items():  # the stem is of no block, each block has two layers
        assert close(found[name], [np.nan, *np.repeat(values, 2)]), name
    assert 0 < min(shares) < max(shares)


@pytest.mark.parametrize("kind", list(SMALL))
def test_dead_units_are_those_that_are_zero_for_the_whole_batch(kind):
    net, (x, y) = network(kind, "none"), batch(kind)
    with torch.no_grad():
        for block in net.module.blocks:
            block.linear.weight.abs_()
            block.linear.bias.fill_(1e3)  # every unit is alive for every example
        net.module.blocks[2].linear.bias[:3] = -1e9
    width = net.module.blocks[2].linear.weight.shape[0]
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.0))["dead_units"]
    assert found == pytest.approx([0, 0, 3 / width, 0])


def test_a_unit_that_answers_one_example_at_one_position_is_alive():
    net, (x, y) = network("cnn", "none"), batch("cnn")
    with torch.no_grad():
        net.module.blocks[0].linear.weight.zero_()
        net.module.blocks[0].linear.weight[0, 0, 1, 1] = 1.0  # channel 0 is the image itself
        net.module.blocks[0].linear.bias.fill_(-1.0)
    x = x.clamp(max=0.9)
    x[3, 0, 2, 4] = 1.5
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.0))["dead_units"]
    assert found[0] == pytest.approx(7 / 8)


def test_the_update_of_plain_gradient_descent_is_the_rate_times_the_gradient():
    net, (x, y) = network("mlp", "layer"), batch("mlp")
    weights = [norm64(block.linear.weight) for block in net.module.blocks]
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.3))
    wanted = [0.3 * g / w for g, w in zip(found["weight_gradient"], weights, strict=True)]
    assert found["update_ratio"] == pytest.approx(wanted, rel=1e-5)


def test_the_recorder_leaves_no_hook_and_draws_no_random_number():
    net, (x, y) = network("cnn", "batch"), batch("cnn")
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.1))
    assert torch.get_rng_state().equal(states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    for module in net.module.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks


def test_the_hooks_are_gone_after_an_error_too():
    net, (x, _) = network("mlp", "none"), batch("mlp")

    def fails() -> None:
        with ProbeRecorder(net).recording():
            net.module(x)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fails()
    assert not any(module._forward_hooks for module in net.module.modules())


@pytest.mark.parametrize("kind", list(SMALL))
def test_a_step_that_is_watched_ends_in_the_same_bits(kind):
    nets = [network(kind, "batch") for _ in range(2)]
    x, y = batch(kind)
    optimizers = [torch.optim.SGD(net.module.parameters(), lr=0.1, momentum=0.9) for net in nets]
    for _ in range(3):
        probed(nets[0], x, y, optimizers[0])
        optimizers[1].zero_grad()
        F.cross_entropy(nets[1].module(x), y).backward()
        optimizers[1].step()
    assert same(dict(nets[0].module.state_dict()), dict(nets[1].module.state_dict()))


@pytest.mark.parametrize("kind", list(SMALL))
def test_a_layer_that_no_gradient_reaches_is_missing_and_keeps_its_place(kind):
    net, (x, y) = network(kind, "none"), batch(kind)
    net.module.blocks[1].linear.weight.requires_grad_(False)
    net.module.blocks[0].register_forward_hook(lambda module, args, output: output.detach())
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.1))
    assert [np.isnan(v) for v in found["weight_gradient"]] == [True, True, False, False]
    assert [np.isnan(v) for v in found["activation_gradient"]] == [True, False, False, False]
    assert np.isfinite(found["effective_rank"]).all()


def test_the_effective_rate_is_missing_where_a_norm_has_not_declared_what_it_does():
    class Undeclared(NormMethod):
        def norm(self, slot):
            return torch.nn.Identity()

    x, y = batch("mlp")
    net = under(Undeclared(NormPolicy(), Undeclared.Options()), "mlp")
    assert net.scale_invariant() == [None] * 4
    found = probed(net, x, y, torch.optim.SGD(net.module.parameters(), lr=0.1))
    assert np.isnan(found["effective_rate"]).all()
    assert np.isfinite(found["weight_norm"]).all()


# --- the schedule ---


@pytest.mark.parametrize(
    ("total", "every", "steps"),
    [
        (1, None, [0]),
        (5, None, [0, 1, 2, 3, 4]),
        (12, None, [*range(11), 11]),
        (100, None, [*range(11), 13, 18, 24, 32, 42, 56, 75, 99]),
        (101, None, [*range(11), 13, 18, 24, 32, 42, 56, 75, 100]),
        (10, 4, [0, 4, 8, 9]),
        (9, 4, [0, 4, 8]),
        (3, 50, [0, 2]),
        (1, 1, [0]),
    ],
)
def test_the_schedule_is_dense_at_first_then_logarithmic_and_ends_with_the_last_step(
    total, every, steps
):
    assert probe_steps(total, every) == steps


@pytest.mark.parametrize("total", [10**3, 10**5, 10**7])
def test_the_logarithmic_part_has_eight_steps_a_decade(total):
    steps = np.array(probe_steps(total)[:-1])
    assert list(steps) == sorted(set(steps))
    later = steps[steps >= 10]
    # Evenly spaced in the logarithm, up to rounding to whole steps.
    ratios = np.diff(np.log10(later))
    assert np.abs(ratios - 1 / 8).max() < np.log10(1 + 1 / 10)
    per_decade = [np.sum((later > 10**d) & (later <= 10 ** (d + 1))) for d in range(1, 3)]
    assert per_decade[0] == 8


# --- in a run ---


def test_a_run_probes_the_steps_of_its_schedule(digits):
    found = trained(run_config("probes={every: 5}"), digits)
    assert [event.step for event in only(found, events.Probed)] == [0, 5, 10, 11]
    assert {len(v) for e in only(found, events.Probed) for v in e.quantities.values()} == {3}
    assert [e.step for e in only(trained(run_config(), digits), events.Probed)] == list(range(12))
    assert not only(trained(run_config("probes={steps: none}"), digits), events.Probed)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_run_reports_the_gradients_of_its_batches_before_clipping(digits, norm):
    config = run_config(
        "probes={every: 1}",
        "training.steps=2",
        "optimizer={kind: sgd, lr: 0.2, momentum: 0, clip_norm: 0.01}",
        norm=norm,
    )
    first, second = only(trained(config, digits), events.Probed)
    run = Run(config, digits)
    run.network.train()
    run.start_epoch()
    for event in (first, second):
        assert run.order is not None
        x, y = run.data.batch(run.order[32 * event.step : 32 * (event.step + 1)])
        wanted = expected(run.assembled, x, y)
        for name, values in wanted.items():
            assert close(event.quantities[name], values), (event.step, name)
        whole = torch.autograd.grad(F.cross_entropy(run.network(x), y), run.network.parameters())
        total = sum(norm64(g) ** 2 for g in whole) ** 0.5
        assert total > 0.01  # so that clipping bites
        w = [norm64(block.linear.weight) for block in run.network.blocks]
        moved = [
            0.2 * (0.01 / (total + 1e-6)) * g / w_l
            for g, w_l in zip(wanted["weight_gradient"], w, strict=True)
        ]
        assert event.quantities["update_ratio"] == pytest.approx(moved, rel=1e-4)
        run.update()


CHANGES: dict[str, tuple[str, ...]] = {
    "momentum": (),
    "nesterov": ("optimizer={kind: sgd, lr: 0.1, nesterov: true, weight_decay: 1e-3}",),
    "adam-clip-cosine-augment": EVERYTHING[:2],
    "bf16": ("training.precision=bf16",),
    "post": ("model.placement=post",),
    "cnn": CNN,
    "cnn-bf16-augment": (*CNN, EVERYTHING[0], "training.precision=bf16"),
}


@pytest.mark.parametrize("norm", ["batch", "rms"])
@pytest.mark.parametrize("changes", list(CHANGES))
def test_probes_on_and_off_end_in_bitwise_the_same_weights(digits, changes, norm):
    overrides = CHANGES[changes]
    on = trained(run_config(*overrides, "probes={every: 1}", norm=norm), digits)
    off = trained(run_config(*overrides, "probes={steps: none}", norm=norm), digits)
    assert len(only(on, events.Probed)) == 12
    for part in ("network", "batches_sha256"):
        assert same(state(on)[part], state(off)[part])
    assert record(e for e in on if not isinstance(e, events.Probed)) == record(off)
