"""The object that ``--json`` prints, as the contract has it; ``from contract import ...``."""

from __future__ import annotations

import json
import re

NUMBER = (int, float)
NULLABLE = (int, float, type(None))

CONVERGENCE = {
    "norm": str,
    "runs": int,
    "reached": int,
    "diverged": int,
    "failed": int,
    "steps_to_target": NULLABLE,
    "seconds_to_target": NULLABLE,
    "val_accuracy_mean": NULLABLE,
    "val_accuracy_std": NULLABLE,
    "test_accuracy_mean": NULLABLE,
    "test_accuracy_std": NULLABLE,
    "auc_mean": NULLABLE,
    "train_seconds_per_step": NULLABLE,
}
GRADIENTS = {
    "norm": str,
    "step": int,
    "growth_per_layer": NULLABLE,
    "first_layer_grad_norm": NULLABLE,
    "last_layer_grad_norm": NULLABLE,
    "dead_units": NULLABLE,
}
COMPARISONS = {
    "norm": str,
    "baseline": str,
    "metric": str,
    "pairs": int,
    "difference": NULLABLE,
    "ci_low": NULLABLE,
    "ci_high": NULLABLE,
    "p_value": NULLABLE,
    "p_adjusted": NULLABLE,
    "p_better": NULLABLE,
    "verdict": (str, type(None)),
}
NORM_OF_VERDICT = {
    "norm": str,
    "rank": int,
    "seeds": int,
    "value": NULLABLE,
    "difference": NULLABLE,
    "ci_low": NULLABLE,
    "ci_high": NULLABLE,
    "interval": str,
    "verdict": str,
    "more_seeds": NULLABLE,
    "runs": int,
    "reached": int,
    "at_chance": int,
    "train_seconds_per_step": NULLABLE,
}
VERDICT = r"better|worse|similar|undecided( \(.+\))?|too few seeds \(needs \d+\)"
FOOTER = ("results: ", "next: ", "      normbench report ")  # to be copied, whatever their length


def parsed(text: str) -> dict:
    """One object, without any word for a number that is none."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in the JSON output")

    return json.loads(text, parse_constant=refuse)


def fits(rows: list[dict], contract: dict, keys: dict[str, type]) -> None:
    for row in rows:
        for name, kind in {**contract, **keys}.items():
            assert name in row, name
            assert isinstance(row[name], kind), (name, row[name])
            assert not isinstance(row[name], bool), name


def check_contract(text: str, norms: list[str], keys: dict[str, type] | None = None) -> dict:
    keys = keys or {}
    found = parsed(text)
    assert found["schema"] == 1
    assert found["experiment"] == "tiny"
    assert found["baseline"] in norms
    assert found["fairness"]["backbones_identical"] is True
    assert found["fairness"]["batches_identical"] is True
    fits(found["convergence"], CONVERGENCE, keys)
    fits(found["gradients"], GRADIENTS, keys)
    fits(found["comparisons"], COMPARISONS, keys)
    assert list(dict.fromkeys(row["norm"] for row in found["convergence"])) == norms
    check_verdict(found, norms, keys)
    for row in found["comparisons"]:
        if row["metric"] == "auc":
            assert re.fullmatch(VERDICT, row["verdict"])
        else:  # one metric carries the verdicts
            assert row["verdict"] is row["p_adjusted"] is None
        assert row["baseline"] == found["baseline"]
        assert row["metric"] in ("steps_to_target", "auc", "val_accuracy", "test_accuracy")
    return found


def check_verdict(found: dict, norms: list[str], keys: dict[str, type]) -> None:
    verdict = found["verdict"]
    assert (verdict["metric"], verdict["similar_within"]) == ("auc", 0.01)
    assert set(verdict["best_set"]) <= set(norms)
    assert verdict["leader"] in [*norms, None]
    assert all(isinstance(text, str) and text.endswith(".") for text in verdict["sentences"])
    assert verdict["sentences"]
    fits(verdict["norms"], NORM_OF_VERDICT, keys)
    assert {row["norm"] for row in verdict["norms"]} == set(norms)


# --- real training, once ---

NORMS = ["none", "batch", "layer", "rms"]
