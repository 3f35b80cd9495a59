"""Numbers that should not move have not: golden runs against what is computed today."""

from __future__ import annotations

import copy

import pytest
from golden import (
    CASES,
    KINDS,
    METHODS,
    RESULTS,
    TOLERANCE,
    beyond,
    differences,
    machine_class,
    run,
    run_methods,
    stored,
    unrevised,
)

from normbench.norms import NORMS

RENEW = "if that is meant: python tests/golden/renew.py shows what moved"


@pytest.mark.parametrize("name", CASES)
def test_a_golden_run_gives_the_numbers_it_gave(digits, name):
    old = stored(name)
    assert old is not None, f"{name} has no golden result; python tests/golden/renew.py makes it"
    moved = list(differences(old["runs"], run(CASES[name], digits)["runs"]))
    if old["machine"] != machine_class():
        moved = beyond(CASES[name], moved)
    assert not moved, f"{len(moved)} values moved; {RENEW}"


def test_every_other_method_gives_the_numbers_it_gave(digits):
    old = stored(METHODS)
    moved = list(differences(old["runs"], run_methods(digits)["runs"]))
    if old["machine"] != machine_class():
        moved = beyond(CASES["mlp-batch-fp32"], moved)
    assert not moved, f"{len(moved)} values moved; {RENEW}"


def test_numbers_or_rules_that_change_ask_for_another_revision():
    old = stored(METHODS)
    assert unrevised(old, copy.deepcopy(old)) == []
    new = copy.deepcopy(old)
    new["runs"]["seednorm"]["rules"] = {}
    new["runs"]["dyt"]["val_loss"] += 1
    assert unrevised(old, new) == ["dyt", "seednorm"]
    new["machine"] = "another, whose kernels round otherwise"
    assert unrevised(old, new) == ["seednorm"]
    new["runs"]["seednorm"]["revision"] += 1
    assert unrevised(old, new) == []


def test_every_method_has_a_golden_result():
    others = {name for name in NORMS.names() if name not in KINDS}
    assert stored(METHODS)["runs"].keys() == others


def test_no_golden_result_is_left_without_a_case():
    assert {path.stem for path in RESULTS.glob("*.json")} == {*CASES, METHODS}


@pytest.mark.parametrize("case", ["mlp", "cnn"])
def test_a_resumed_run_is_stored_as_the_undisturbed_one(case):
    assert stored(f"{case}-resumed")["runs"] == stored(f"{case}-everything")["runs"]


def test_any_value_that_moves_by_more_than_the_tolerance_is_found():
    case, old = CASES["mlp-batch-fp32"], stored("mlp-batch-fp32")
    new = copy.deepcopy(old)
    journal = new["runs"][0]["journal"]
    evaluated = next(e for e in journal if e["event"] == "Evaluated" and e["step"])
    evaluated["val_loss"] *= 1 + 2 * TOLERANCE["fp32"]
    moved = list(differences(old["runs"], new["runs"]))
    assert [where.rpartition(".")[2] for where, _, _ in moved] == ["val_loss"]
    assert beyond(case, moved) == moved
    evaluated["val_loss"] *= 1 - 1.5 * TOLERANCE["fp32"]
    moved = list(differences(old["runs"], new["runs"]))
    assert moved
    assert not beyond(case, moved)


@pytest.mark.parametrize("key", ["backbone_sha256", "journal"])
def test_a_value_that_is_gone_or_of_another_kind_is_found_on_every_machine(key):
    case, old = CASES["mlp-batch-fp32"], stored("mlp-batch-fp32")
    new = copy.deepcopy(old["runs"])
    new[0][key] = new[0][key][1:]
    assert beyond(case, list(differences(old["runs"], new)))
    del new[0][key]
    assert beyond(case, list(differences(old["runs"], new)))
