"""The statements that are measured without training, on the digits."""

from __future__ import annotations

import pytest
import torch
from made_up import Fate, context
from torch import nn

from normbench.data import Dataset
from normbench.norms import Setting, make_method
from normbench.claims import CLAIMS, Finding, Verdict
from normbench.claims.independence import change_of_first
from normbench.claims.invariance import CHANGES, SMALL_EPS, invariance_table, theory
from normbench.claims.rules import unchanged

# Zhang & Sennrich 2019, arXiv:1910.07467, Table 1, in the order of CHANGES.
TABLE_1 = {
    "batch": (True, False, True, True, True, False),
    "layer": (True, True, False, True, False, True),
    "rms": (True, False, False, True, False, True),
}
CNN = ("model={kind: cnn, depth: 4, stages: 2, width: 8}",)


def examine(name: str, dataset: Dataset, *overrides: str) -> Finding:
    return CLAIMS[name].examine(context(dataset, lambda _: Fate(), *overrides))


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    return {row["norm"]: row for row in invariance_table(Setting(eps=SMALL_EPS))}


@pytest.mark.parametrize("norm", TABLE_1)
def test_measured_invariances_are_those_of_the_published_table(norm: str, table: dict[str, dict]):
    found = tuple(unchanged(table[norm][change]) for change in CHANGES)
    assert found == TABLE_1[norm]


@pytest.mark.parametrize("norm", TABLE_1)
def test_the_declarations_of_a_norm_give_its_row_of_the_table(norm: str):
    found = theory(make_method(norm))
    assert found is not None
    assert tuple(found.values()) == TABLE_1[norm]


def test_every_registered_norm_has_a_row(table: dict[str, dict]):
    assert {"batch", "group", "instance", "layer", "none", "rms"} <= table.keys()
    assert table["instance"]["block"] == "conv"


def test_the_statement_about_rms_norm_holds_and_names_eps(digits: Dataset):
    found = examine("rms-invariance", digits)
    assert found.verdict is Verdict.SUPPORTED
    assert len(found.table) >= 6
    assert found.numbers["shrunk"] > 1e-2


@pytest.mark.parametrize("overrides", [(), CNN, ("model.placement=post",)])
def test_batch_norm_moments(digits: Dataset, overrides: tuple[str, ...]):
    found = examine("batch-moments", digits, *overrides)
    assert found.verdict in (Verdict.SUPPORTED, Verdict.DEPENDS)
    assert found.numbers["training"]["mean"] < 1e-5
    assert found.numbers["training"]["beyond_eps"] < 1e-4
    assert found.numbers["evaluation"]["variance"] > 1e-2


def test_a_large_eps_keeps_the_variance_from_one(digits: Dataset):
    found = examine("batch-moments", digits, "normalization.eps=0.5")
    assert found.verdict is Verdict.DEPENDS


@pytest.mark.parametrize("overrides", [(), CNN])
def test_layer_norm_does_not_look_at_the_batch(digits: Dataset, overrides: tuple[str, ...]):
    found = examine("layer-independence", digits, *overrides)
    assert found.verdict is Verdict.SUPPORTED
    layers, networks = found.numbers["layers"], found.numbers["networks"]
    assert layers["batch"] > 0.01
    assert networks["batch"] > 0.01
    assert max(layers["rms"], layers["group"], networks["rms"]) < 1e-5


def test_a_layer_that_looks_at_the_batch_is_seen():
    class Mixing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    x = torch.arange(12.0).reshape(4, 3)
    assert change_of_first(Mixing(), x, x.flip(0) * 3) > 0.1
    assert change_of_first(nn.Identity(), x, x.flip(0) * 3) == 0


@pytest.mark.parametrize("overrides", [(), CNN])
def test_rms_norm_is_its_formula_and_learns_its_scale(digits: Dataset, overrides: tuple[str, ...]):
    found = examine("rms-formula", digits, *overrides)
    assert found.verdict is Verdict.SUPPORTED
    assert found.numbers["parameters"] == ["weight"]
    assert found.numbers["moved_largest"] > 0


def test_on_channels_alone_the_rms_is_taken_at_each_position(digits: Dataset):
    found = examine("rms-formula", digits, *CNN, "normalization.axes=c")
    assert found.verdict is Verdict.SUPPORTED


def test_without_an_affine_there_is_no_scale_to_learn(digits: Dataset):
    found = examine("rms-formula", digits, "normalization.affine=false")
    assert found.verdict is Verdict.DEPENDS


def test_a_norm_with_a_batch_of_its_own_label_is_found(digits: Dataset):
    norms = "norms=[{kind: batch, name: bn}, {kind: none, name: plain}]"
    assert examine("batch-moments", digits, norms).verdict is Verdict.SUPPORTED
