"""The documentation's page of what theory says, and theory against networks of ours."""

import math
from pathlib import Path

import numpy as np
import pytest

import normbench as nb
from normbench.norms import NORMS
from normbench.report import theory

DOCS = Path(__file__).parents[2] / "docs" / "theory.md"
TOLD = "python -m normbench list theory --format markdown > docs/theory.md makes it"


@pytest.mark.parametrize("name", ["none", "dyt", "peri_ln", "spectral_norm"])
def test_the_page_says_what_theory_says(name):
    row = theory.row(name)
    line = f"| {' | '.join(row[key] for key in theory.HEADINGS)} |"
    assert line in DOCS.read_text(encoding="utf-8").splitlines(), TOLD


def test_the_page_has_every_method_with_a_value_or_the_reason():
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    names = [name.strip() for name, *_ in rows]
    assert names == NORMS.names(), TOLD


@pytest.mark.slow
def test_the_whole_page_is_up_to_date():
    assert DOCS.read_text(encoding="utf-8") == theory.markdown(), TOLD


PLAIN = [
    *("none", "batch", "layer", "rms", "group", "ghost", "renorm", "l1_batch", "mean_only"),
    *("batch_frozen_scale", "variance_only", "switchable", "powernorm", "prms", "scale_norm"),
    *("zero_centered_rms", "seednorm", "bhyt", "dyt", "derf", "dyisru", "selu", "evonorm_s0"),
    *("weight_norm", "weight_standardization", "scaled_weight_standardization", "spectral_norm"),
]
RESIDUAL = [
    *("original", "none", "batch", "layer", "rms", "group", "ghost", "renorm", "l1_batch"),
    *("mean_only", "batch_frozen_scale", "variance_only", "switchable", "powernorm"),
    *("scale_norm", "zero_centered_rms", "seednorm", "bhyt", "dyt", "derf", "dyisru"),
    *("weight_norm", "scaled_weight_standardization", "spectral_norm", "skipinit", "fixup"),
    *("layerscale", "nf_resnet", "deepnorm", "mix_ln", "ln_scaling", "peri_ln"),
]
IMAGES = ["none", "batch", "layer", "rms", "dyt", "bhyt", "instance", "batch_instance"]
IMAGES += ["weight_norm", "scaled_weight_standardization", "selu", "mean_only"]


def measured(norms, *model, seeds):
    changes = [f"norms=[{', '.join(norms)}]", *model]
    return nb.probe("digits", overrides=changes, seeds=seeds).table.to_dict("records")


def agree(rows):
    for row in rows:
        assert row["theory_note"] == "", row["norm"]
        assert abs(row["z"]) < 3, (row["norm"], row["growth_per_layer"], row["theory"])
        assert row["gradient"] == "independent"


def test_theory_agrees_with_a_plain_and_a_residual_network():
    few = ("data.batch_size=128", "data.validation=100")
    plain = measured(["batch", "dyt", "mean_only"], "model.width=256", "model.depth=10", *few,
                     seeds=1)  # fmt: skip
    model = "model={kind: residual_mlp, depth: 6, width: 256, expansion: 1}"
    residual = measured(["batch", "layer", "peri_ln"], model, *few, seeds=1)
    agree([*plain, *residual])
    for row in residual:
        assert row["per"] == "block"
        assert len(row["identity_share"]) == len(row["identity_share_theory"]) == 6
        assert row["identity_share"] == pytest.approx(row["identity_share_theory"], abs=0.08)
        assert row["factor_over_depth"] > row["growth_per_layer"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh", "elu"])
def test_theory_agrees_with_plain_networks_under_every_method(activation):
    size = ("model.width=256", "model.depth=20", "data.batch_size=256")
    agree(measured(PLAIN, f"model.activation={activation}", *size, seeds=5))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_theory_agrees_with_residual_networks_under_every_method(activation):
    model = f"model={{kind: residual_mlp, depth: 16, width: 256, activation: {activation}}}"
    rows = measured(RESIDUAL, model, "data.batch_size=256", seeds=3)
    agree(rows)
    for row in rows:
        # That of a block varies with the few features that its branch happens to make large.
        off = row["identity_share"] - row["identity_share_theory"]
        assert np.mean(abs(off)) < 0.05, row["norm"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["v1", "v2"])
def test_theory_agrees_with_residual_convolutions_of_both_orders(order):
    norms = ["none", "batch", "layer", "rms", "dyt", "skipinit", "fixup", "layerscale",
             "nf_resnet", "scaled_weight_standardization"]  # fmt: skip
    model = f"model={{kind: resnet, depth: 32, width: 32, order: {order}}}"
    agree(measured(norms, model, "data.batch_size=32", seeds=3))


@pytest.mark.slow
def test_theory_agrees_with_plain_convolutions():
    model = "model={kind: cnn, depth: 12, stages: 1, width: 128}"
    agree(measured(IMAGES, model, "data.batch_size=64", seeds=3))


@pytest.mark.slow
def test_theory_agrees_with_channels_over_their_own_root_mean_square():
    model = "model={kind: cnn, depth: 10, stages: 1, width: 128}"
    large = measured(["frn", "powernorm"], model, "data.batch_size=32", "data.resize=16", seeds=1)
    agree(large)
    for row in large:
        assert row["growth_per_layer"] == pytest.approx(row["theory"], rel=0.06)


def test_a_network_that_theory_does_not_know_is_named():
    changes = ["norms=[layer]", "model={kind: vit, depth: 1, width: 16, heads: 2}"]
    row = nb.theory("digits", overrides=changes, seeds=1).table.to_dict("records")[0]
    assert math.isnan(row["theory"])
    assert "theory knows plain chains of layers, and residual networks" in row["theory_note"]
