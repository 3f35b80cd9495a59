"""Every method in a whole network: built, trained, and what the paper says of it at step 0."""

import math
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
import torch
from tiny import CNN, by_norm, only, run_config, trained, weights
from torch import nn

from normbench.errors import ConfigError
from normbench.models.assemble import assemble
from normbench.models.base import MODELS, Architecture, ModelSettings
from normbench.models.network import Blueprint
from normbench.models.residual import Residual
from normbench.models.trace import NormSite
from normbench.norms import NORMS, NormPolicy, make_method
from normbench.norms.branches import Scalar
from normbench.seeding import stream
from normbench.training import events
from normbench.training.run import Run

GROUPS = {"group": "{kind: group, groups: 2}"}
BRANCHES = sorted(name for name in NORMS if "residual" in NORMS[name].replaces)
DEPTH, WIDTH = 4, 12


class _Blocks(Architecture):
    """Residual blocks of two layers: one norm before each (pre), or one behind each layer."""

    layout = "flat"
    pre = True

    @classmethod
    def build(cls, options, settings, image_shape, num_classes):
        def block():
            parts = OrderedDict(one=nn.Linear(WIDTH, WIDTH))
            if not cls.pre:
                parts["norm"] = NormSite(WIDTH, "batch")
            parts |= OrderedDict(activation=settings.make_activation(), two=nn.Linear(WIDTH, WIDTH))
            if not cls.pre:
                parts["end"] = NormSite(WIDTH, "batch")
                return Residual(nn.Sequential(parts), after=settings.make_activation())
            return Residual(nn.Sequential(parts), before=NormSite(WIDTH, "layer"))

        stem = nn.Linear(math.prod(image_shape), WIDTH)
        blocks = nn.Sequential(*[block() for _ in range(DEPTH)])
        norm = NormSite(WIDTH, "layer" if cls.pre else "batch")
        return nn.Sequential(
            OrderedDict(stem=stem, blocks=blocks, norm=norm, head=nn.Linear(WIDTH, num_classes))
        )


class _Post(_Blocks):
    """With a norm behind each layer, and the activation behind the sum."""

    pre = False


@pytest.fixture(autouse=True)
def residual_kinds(monkeypatch):
    MODELS.names()  # so that the real ones are there
    monkeypatch.setitem(MODELS._items, "pre_blocks", _Blocks)
    monkeypatch.setitem(MODELS._items, "post_blocks", _Post)


def network(kind, model="pre_blocks", settings=None, **options):
    blueprint = Blueprint(model, MODELS[model].Options(), settings or ModelSettings())
    method = make_method(kind, NormPolicy(), **options)
    return assemble(blueprint, method, (4, 4, 1), 3, seed=0, batch_size=8)


def inputs(n=8):
    return torch.from_numpy(stream(0, "x").standard_normal((n, 16), dtype=np.float32))


def through(found, upto="blocks"):
    """What enters the blocks, and what leaves them."""
    start = found.module.stem(inputs())
    return start, found.module.blocks(start)


# --- training ---


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        pytest.param(kind, model, id=f"{kind}-{name}", marks=by_norm(kind) if model else ())
        for kind in sorted(set(NORMS) - {"original"})
        for name, model in {"mlp": (), "cnn": CNN}.items()
    ],
)
def test_a_short_run_has_no_nan_and_the_common_backbone(digits, kind, model):
    try:
        config = run_config(*model, "optimizer.lr=0.01", norm=GROUPS.get(kind, kind))
        run = Run(config, digits)
    except ConfigError as error:
        pytest.skip(str(error))
    told = trained(config, digits)
    assert all(value.isfinite().all() for value in weights(told).values())
    assert all(math.isfinite(e.val_loss) for e in only(told, events.Evaluated))
    plain = Run(run_config(*model, norm="none"), digits)
    assert run.backbone_sha256 == plain.backbone_sha256
    changed = {"weight", "init"} & NORMS[kind].replaces
    assert not run.assembled.reinitialized or changed


HOSTS = (CNN, (), ("model={kind: residual_mlp, depth: 2, width: 16}",),
         ("model={kind: vit, depth: 1, width: 16, heads: 2}",))  # fmt: skip


def hosted(kind, *overrides):
    """A run in the first of a few networks that admits the method."""
    for model in HOSTS:
        with suppress(ConfigError):
            return run_config(*model, *overrides, norm=GROUPS.get(kind, kind))
    raise AssertionError(kind)


def check_resumed(digits, config):
    before = trained(config, digits, stop_at=7)
    after = trained(config, digits, resume=only(before, events.Checkpointed)[-1].state)
    whole = weights(trained(config, digits))
    assert all(torch.equal(value, whole[name]) for name, value in weights(after).items())
    assert all(bool(value.isfinite().all()) for value in whole.values())


@pytest.mark.parametrize("kind", ["renorm", "batch_instance", "spectral_norm", "ghost", "dyt"])
def test_a_resumed_run_is_the_undisturbed_one(digits, kind):
    check_resumed(digits, hosted(kind, "optimizer.lr=0.01"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(NORMS))
def test_so_is_one_of_every_method_in_half_precision(digits, kind):
    check_resumed(digits, hosted(kind, "optimizer.lr=0.001", "training.precision=bf16"))


# --- rules ---


def test_what_a_paper_fixes_reaches_the_optimizer_and_strict_takes_it_away(digits):
    found = []
    for norm in ("batch_instance", "{kind: batch_instance, strict: true}"):
        run = Run(run_config(*CNN, norm=norm), digits)
        gates = {n for n in run.assembled.rules if n.endswith("gate")}
        rates = {g["rate"] for g in run.optimizer.param_groups}
        found.append((len(gates), max(rates)))
        run.network.train()
        with torch.no_grad():
            for name in [n for n, _ in run.network.named_parameters() if n.endswith("gate")]:
                run.network.get_parameter(name).fill_(1.5)
        run.start_epoch()
        run.update()
        gate = next(p for n, p in run.network.named_parameters() if n.endswith("gate"))
        found.append(float(gate.detach().max()) <= 1.0)
    assert found == [(4, 10.0), True, (0, 1.0), False]


def test_a_rule_for_a_bias_of_the_norm_is_none_for_those_of_layers(digits):
    run = Run(run_config(norm="batch_frozen_scale"), digits)
    assert {n.rpartition(".")[0].rpartition(".")[2] for n in run.assembled.rules} == {"norm"}


def test_strict_and_weights_change_the_identity_and_their_defaults_do_not():
    plain = run_config(norm="batch")
    written = run_config(norm="{kind: batch, strict: false, weights: null}")
    assert written.identity() == plain.identity()
    assert written.method_sha256() == plain.method_sha256()
    others = [
        run_config(norm=text).identity()
        for text in ("{kind: batch, strict: true}", "{kind: batch, weights: weight_norm}")
    ]
    assert len({plain.identity(), *others}) == 3


def test_the_revision_of_a_method_is_in_the_identity_of_its_runs_and_of_no_others(monkeypatch):
    norms = ("batch", "rms", "{kind: batch, weights: weight_norm}")
    found = []
    for revised in ("rms", "weight_norm"):
        before = [run_config(norm=norm) for norm in norms]
        hashes = [(c.identity(), c.earlier_identity(), c.method_sha256()) for c in before]
        monkeypatch.setattr(NORMS[revised], "revision", 1)
        after = [run_config(norm=norm) for norm in norms]
        now = [(c.identity(), c.earlier_identity(), c.method_sha256()) for c in after]
        assert [c.context() for c in before] == [c.context() for c in after]
        found.append([not set(a) & set(b) for a, b in zip(hashes, now, strict=True)])
    assert found == [[False, True, False], [False, False, True]]


def test_what_seednorm_decays_is_not_taken_for_what_it_decayed_before():
    assert NORMS["seednorm"].revision == 1


def test_labels_say_strict_and_weights():
    assert run_config(norm="{kind: dyt, strict: true}").label == "dyt(strict)"
    label = run_config(norm="{kind: rms, weights: ws}").label
    assert label == "rms(weights=weight_standardization)"


def test_weights_must_name_a_method_of_weights():
    with pytest.raises(ConfigError, match="layer is not a method of weights"):
        run_config(norm="{kind: rms, weights: layer}")
    with pytest.raises(ConfigError, match="unknown norm 'weight_nrom'"):
        run_config(norm="{kind: rms, weights: weight_nrom}")


def test_progress_is_told_before_every_update(digits):
    run = Run(run_config(norm="renorm"), digits)
    layer = run.scheduled[0]
    told = []
    layer.on_progress = told.append
    run.start_epoch()
    for _ in range(3):
        run.update()
    assert told == [0, 1 / 12, 2 / 12]


# --- initial values ---


def test_selu_draws_as_lecun_does_in_the_same_directions(digits):
    run = Run(run_config(norm="selu"), digits)
    plain = Run(run_config("model.init=lecun_normal", norm="none"), digits)
    for one, other in zip(run.assembled.products(), plain.assembled.products(), strict=True):
        assert torch.equal(one.weight, other.weight)
    assert any(isinstance(part, nn.SELU) for part in run.network.modules())
    assert not any(isinstance(part, nn.ReLU) for part in run.network.modules())


# --- residual blocks ---


@pytest.mark.parametrize("model", ["pre_blocks", "post_blocks"])
@pytest.mark.parametrize("kind", BRANCHES)
def test_a_residual_method_builds_and_every_parameter_has_a_gradient(kind, model):
    try:
        found = network(kind, model)
    except ConfigError as error:
        pytest.skip(str(error))
    y = found.module(inputs())
    y.square().sum().backward() if kind != "fixup" else (y + 1).square().sum().backward()
    for name, parameter in found.module.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize("kind", ["deepnorm", "peri_ln", "mix_ln", "ln_scaling"])
def test_a_block_with_norms_within_its_branch_has_none_to_be_moved(kind):
    with pytest.raises(ConfigError, match=r"has one at branch\.norm, within others of its parts"):
        network(kind, "post_blocks")


@pytest.mark.parametrize("kind", ["fixup", "skipinit", "nf_resnet"])
def test_the_network_is_its_skip_path_at_step_0(kind):
    start, end = through(network(kind))
    torch.testing.assert_close(end, start, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["fixup", "skipinit"])
@pytest.mark.parametrize(
    "model", ["{kind: resnet, depth: 8, width: 8}", "{kind: residual_mlp, depth: 2, width: 16}"]
)
def test_a_residual_network_of_ours_is_its_skip_path_at_step_0(digits, kind, model):
    run = Run(run_config(f"model={model}", norm=kind), digits)
    seen = []
    for block in run.assembled.blocks().values():
        block.register_forward_hook(lambda block, args, y: seen.append((block, args[0], y)))
    run.network(run.data.batch(run.train_indices[:8])[0])
    assert len(seen) >= 2
    for block, x, y in seen:
        torch.testing.assert_close(y, block.after(block.skip(x)), rtol=0, atol=0)


def test_layerscale_is_nearly_the_skip_path_and_not_quite():
    start, end = through(network("layerscale"))
    assert 0 < float((end - start).detach().norm() / start.detach().norm()) < 1e-3


def test_fixup_scales_what_the_paper_scales():
    found, plain = network("fixup"), network("none")
    for path in ("blocks.0.branch.one", "blocks.3.branch.one"):
        one = found.module.get_submodule(path).weight
        other = plain.module.get_submodule(path).weight
        torch.testing.assert_close(one, other * DEPTH**-0.5)
    assert float(found.module.head.weight.detach().abs().max()) == 0
    assert {rule.rate for rule in found.rules.values()} == {0.1}
    assert sum(name.endswith("multiplier") for name in found.rules) == DEPTH


def biases_of(module):
    """A chain of modules, parts within parts opened: b a bias, m one with a multiplier, else -."""
    if isinstance(module, nn.Sequential):
        return "".join(map(biases_of, module))
    if not isinstance(module, Scalar):
        return "" if type(module) is nn.Identity else "-"
    return "b" if module.multiplier is None else "m"


@pytest.mark.parametrize(
    ("model", "before", "branch"),
    [
        ("{kind: resnet, depth: 8, width: 8}", "b", "-b-b-"),  # conv, relu, conv
        ("{kind: resnet, depth: 8, width: 8, order: v2}", "b-b", "-b-b-"),
        ("{kind: residual_mlp, depth: 2, width: 16}", "b", "-b-b-"),
    ],
)
def test_fixup_has_a_bias_before_every_layer_and_activation_of_a_branch(
    digits, model, before, branch
):
    run = Run(run_config(f"model={model}", norm="fixup"), digits)
    for block in run.assembled.blocks().values():
        assert biases_of(block.before) == before
        assert biases_of(block.branch) == branch
        assert biases_of(block.branch_end) == "m"
    shifts = [p for n, p in run.network.named_parameters() if n.endswith("shift")]
    assert not any(bool(p) for p in shifts)


@pytest.mark.parametrize("expansion", [3, 4])
def test_deepnorm_leaves_queries_and_keys(digits, expansion):
    model = f"model={{kind: vit, depth: 2, width: 8, heads: 2, expansion: {expansion}}}"
    run, plain = (Run(run_config(model, norm=norm), digits) for norm in ("deepnorm", "layer"))
    beta = (8 * 2) ** -0.25
    start = dict(plain.network.named_parameters())
    for name, weight in run.network.named_parameters():
        if name.endswith("weight") and ".branch." in name:
            factor = 1.0 if name.split(".")[-2] in ("q", "k") else beta
            torch.testing.assert_close(weight, start[name] * factor)


@pytest.mark.parametrize(("kind", "name"), [("skipinit", "multiplier"), ("layerscale", "weight")])
def test_a_multiplier_of_branches_is_what_it_says(kind, name):
    found = network(kind, start=0.5)
    assert (
        sum(n.endswith(f"branch_end.{name}") for n, _ in found.module.named_parameters()) == DEPTH
    )
    x, norm = found.module.stem(inputs()), nn.LayerNorm(WIDTH)
    for block in found.module.blocks:
        given = norm(x) if kind == "layerscale" else x
        torch.testing.assert_close(block(x), x + 0.5 * block.branch(given))


def test_deepnorm_is_post_norm_with_the_papers_numbers():
    found, plain = network("deepnorm"), network("none")
    x, block = found.module.stem(inputs()), found.module.blocks[0]
    norm = nn.LayerNorm(WIDTH)
    want = norm((2 * DEPTH / 2) ** 0.25 * x + block.branch(x))
    torch.testing.assert_close(block(x), want)
    beta = (8 * DEPTH / 2) ** -0.25
    w = plain.module.blocks[0].branch.one.weight
    torch.testing.assert_close(block.branch.one.weight, w * beta)


def test_peri_ln_normalizes_the_branch_at_both_ends():
    found = network("peri_ln")
    x, block = found.module.stem(inputs()), found.module.blocks[0]
    norm = nn.LayerNorm(WIDTH)
    torch.testing.assert_close(block(x), x + norm(block.branch(norm(x))))


def test_ln_scaling_divides_by_the_root_of_the_layers_number():
    found = network("ln_scaling")
    x, norm = found.module.stem(inputs()), nn.LayerNorm(WIDTH)
    for index, layer in ((0, 1), (1, 1), (2, 2), (3, 2)):
        block = found.module.blocks[index]
        torch.testing.assert_close(block(x), x + block.branch(norm(x) / layer**0.5))


def test_mix_ln_is_post_norm_first():
    found = network("mix_ln", norm="rms", post=0.5)
    x, norm = found.module.stem(inputs()), nn.RMSNorm(WIDTH, eps=1e-5)
    for index, block in enumerate(found.module.blocks):
        want = norm(x + block.branch(x)) if index < 2 else x + block.branch(norm(x))
        torch.testing.assert_close(block(x), want)


def test_nf_resnet_divides_each_blocks_input_by_what_it_expects():
    found = network("nf_resnet", start=1.0)
    x = found.module.stem(inputs())
    for index, block in enumerate(found.module.blocks):
        want = x + 0.2 * block.branch(x / math.sqrt(1 + 0.04 * index))
        torch.testing.assert_close(block(x), want)


@pytest.mark.parametrize("kind", BRANCHES)
def test_a_plain_network_is_refused_with_the_reason(kind):
    with pytest.raises(ConfigError, match="residual blocks, and this network has none"):
        run_config(norm=kind)
