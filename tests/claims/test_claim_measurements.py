"""The statements that are measured without training, on the digits."""

from __future__ import annotations

import pytest
import torch
from made_up import Fate, context
from torch import nn

from normbench.claims import CLAIMS, Evidence, Verdict
from normbench.claims.context import first_batch
from normbench.claims.independence import as_worded, change_of_first
from normbench.claims.invariance import CHANGES, SMALL_EPS, invariance_table, theory
from normbench.claims.smoothness import gradient_change
from normbench.claims.verdicts import unchanged
from normbench.data import Dataset
from normbench.norms import NormMethod, NormPolicy, Traits, make_method

# Zhang & Sennrich 2019, arXiv:1910.07467, Table 1, in the order of CHANGES.
TABLE_1 = {
    "batch": (True, False, True, True, True, False),
    "layer": (True, True, False, True, False, True),
    "rms": (True, False, False, True, False, True),
}
CNN = ("model={kind: cnn, depth: 4, stages: 2, width: 8}",)


def examine(name: str, dataset: Dataset, *overrides: str) -> Evidence:
    return CLAIMS[name].examine(context(dataset, lambda _: Fate(), *overrides))


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    return {row["norm"]: row for row in invariance_table(NormPolicy(eps=SMALL_EPS))}


@pytest.mark.parametrize("norm", TABLE_1)
def test_measured_invariances_are_those_of_the_published_table(norm: str, table: dict[str, dict]):
    found = tuple(unchanged(table[norm][change]) for change in CHANGES)
    assert found == TABLE_1[norm]


@pytest.mark.parametrize("norm", TABLE_1)
def test_the_declarations_of_a_norm_give_its_row_of_the_table(norm: str):
    found = theory(make_method(norm))
    assert found is not None
    assert tuple(found.values()) == TABLE_1[norm]


@pytest.mark.parametrize(
    "declared",
    [{}, {"statistics": "example"}, {"centered": True}, {"statistics": "none", "centered": True}],
)
def test_a_norm_that_does_not_declare_what_it_does_has_no_row_of_the_table(declared):
    method = type("Undeclared", (NormMethod,), {"traits": Traits(**declared)})
    assert theory(method(NormPolicy(), method.Options())) is None


def test_every_registered_norm_has_a_row(table: dict[str, dict]):
    assert {"batch", "group", "instance", "layer", "none", "rms"} <= table.keys()
    assert table["instance"]["block"] == "conv"


def test_the_statement_about_rms_norm_holds_and_names_eps(digits: Dataset):
    found = examine("rms-invariance", digits)
    assert found.verdict is Verdict.SUPPORTED
    assert len(found.table) >= 6
    assert found.numbers["shrunk"] > 1e-2


@pytest.mark.parametrize("overrides", [(), CNN, ("model.placement=post",)])
def test_batch_norm_moments(overrides: tuple[str, ...], digits: Dataset):
    found = examine("batch-moments", digits, *overrides)
    assert found.verdict in (Verdict.SUPPORTED, Verdict.DEPENDS)
    for when in ("at_start", "after_updates"):
        assert found.numbers[when]["mean"] < 1e-5
        assert found.numbers[when]["beyond_eps"] < 1e-4


def test_evaluation_mode_is_measured_after_the_updates(digits: Dataset):
    found = examine("batch-moments", digits)
    evaluation = found.numbers["evaluation"]
    assert evaluation["updates"] > 0
    assert evaluation["variance"] > 1e-2
    # Untouched running statistics (mean 0, variance 1) would leave the inputs as they are.
    assert evaluation["mean"] > 1e-2


def test_a_large_eps_keeps_the_variance_from_one(digits: Dataset):
    found = examine("batch-moments", digits, "normalization.eps=0.5")
    assert found.verdict is Verdict.DEPENDS
    assert found.judgement.depends_on == ("part",)


def parts(found: Evidence) -> dict[str, bool | None]:
    return {piece.part: piece.holds for piece in found.judgement.pieces}


@pytest.mark.parametrize("overrides", [(), CNN])
def test_layer_norm_and_the_single_example_as_worded(overrides: tuple[str, ...], digits: Dataset):
    found = examine("layer-independence", digits, *overrides)
    assert found.verdict is Verdict.DEPENDS
    assert parts(found) == {
        "independent of the other examples": True,
        "mean and variance of each feature (channel)": False,
        "preserves individual characteristics": False,
    }
    assert "instance norm" in " ".join(found.sentences)
    layers, networks = found.numbers["layers"], found.numbers["networks"]
    assert layers["batch"] > 0.01
    assert networks["batch"] > 0.01
    assert max(layers["rms"], layers["group"], networks["rms"]) < 1e-5


def test_a_norm_of_each_channel_is_told_from_one_of_all():
    worded = as_worded(NormPolicy())
    assert worded["instance"]["off_by_channel"] < 1e-4
    assert worded["layer"]["off_by_channel"] > 0.1
    assert worded["batch"]["change_of_marked"] > 0.1 > worded["layer"]["change_of_marked"]


def test_a_layer_that_looks_at_the_batch_is_seen():
    class Mixing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    x = torch.arange(12.0).reshape(4, 3)
    assert change_of_first(Mixing(), x, x.flip(0) * 3) > 0.1
    assert change_of_first(nn.Identity(), x, x.flip(0) * 3) == 0


@pytest.mark.parametrize("overrides", [(), CNN, (*CNN, "normalization.axes=c")])
def test_rms_norm_is_its_formula_but_not_for_each_feature(
    overrides: tuple[str, ...], digits: Dataset
):
    found = examine("rms-formula", digits, *overrides)
    assert found.verdict is Verdict.DEPENDS
    assert parts(found) == {
        "divides by the root mean square": True,
        "for each feature": False,
        "a learned scale": True,
    }
    assert found.numbers["parameters"] == ["weight"]
    assert found.numbers["moved_largest"] > 0


def test_without_an_affine_there_is_no_scale_to_learn(digits: Dataset):
    found = examine("rms-formula", digits, "normalization.affine=false")
    assert parts(found)["a learned scale"] is False


def test_a_norm_with_a_label_of_its_own_is_found(digits: Dataset):
    norms = "norms=[{kind: batch, name: bn}, {kind: none, name: plain}]"
    assert examine("batch-moments", digits, norms).verdict is Verdict.SUPPORTED


def test_the_gradients_change_does_not_see_the_scale_of_the_weights(digits: Dataset):
    run = context(digits, lambda _: Fate(), "normalization.eps=1e-12").network_run("batch")
    x, y = first_batch(run)
    before = gradient_change(run.network, x, y)
    with torch.no_grad():
        for factor, product in enumerate(run.assembled.products(), 2):
            product.weight *= factor
            product.bias *= factor
    assert gradient_change(run.network, x, y) == pytest.approx(before, rel=1e-3)
    with torch.no_grad():
        run.assembled.products()[0].weight += 0.1
    assert gradient_change(run.network, x, y) != pytest.approx(before, rel=1e-3)


def test_looking_at_the_loss_changes_nothing_in_the_network(digits: Dataset):
    run = context(digits, lambda _: Fate()).network_run("batch")
    x, y = first_batch(run)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    gradient_change(run.network, x, y)
    assert all(value.equal(before[name]) for name, value in run.network.state_dict().items())


def test_smoothness_is_compared_by_seed_under_both_initializations(digits: Dataset):
    found = examine("smoothness", digits, "seeds=2")
    situations = [piece.situation for piece in found.judgement.pieces]
    assert {one["init"] for one in situations} == {"torch_default", "he_normal"}
    assert all(piece.numbers["pairs"] == 2 for piece in found.judgement.pieces)
