"""In what several experiments differ, and whether they can stand side by side at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from normbench.analysis.rule import VerdictRule
from normbench.dotted import flatten_config
from normbench.errors import ConfigError, Problem
from normbench.results.experiment import ExperimentResult

# Keys in which experiments may differ and still be laid side by side without a remark.
_FREE = {"name", "norms", "baseline", "seeds", "sweep", "tune"}
# Keys that must agree, or the numbers of two experiments mean different things.
_BOUND = ("data.dataset", "data.validation", "data.split_seed", "target")


def differing_keys(comparisons: Sequence[ExperimentResult]) -> dict[str, dict[str, Any]]:
    """key -> experiment -> value, for every config key in which the experiments differ.

    Raises ConfigError when they differ in what makes their numbers comparable: the dataset, its
    very files, its validation split, or the target.
    """
    configs = {c.name: _settings(c) for c in comparisons}
    keys = dict.fromkeys(key for values in configs.values() for key in values)
    differing = {
        key: {name: values.get(key) for name, values in configs.items()}
        for key in keys
        if len({repr(values.get(key)) for values in configs.values()}) > 1
    }
    wrong = [
        Problem(key, "differs", ", ".join(f"{n}: {v}" for n, v in differing[key].items()))
        for key in _BOUND
        if key in differing
    ]
    if "data.dataset" not in differing:
        wrong += _other_files(comparisons)
    if wrong:
        names = " and ".join(configs)
        raise ConfigError([Problem("", f"{names} cannot be compared"), *wrong])
    return differing


def _other_files(comparisons: Sequence[ExperimentResult]) -> list[Problem]:
    """A problem where one dataset's images are not the same everywhere."""
    prints = {
        c.name: sorted(
            {here["data"]["fingerprint"][:8] for here in c.results.environments.values()}
        )
        for c in comparisons
    }
    if len({tuple(known) for known in prints.values() if known}) < 2:
        return []
    told = ", ".join(f"{name}: {' and '.join(known)}" for name, known in prints.items() if known)
    return [Problem("data", "the dataset's files differ by their fingerprint", told)]


def _settings(comparison: ExperimentResult) -> dict[str, Any]:
    """Dotted key -> value, but for the keys that are free; the target as the numbers it is."""
    config = comparison.results.config
    kept = {key: value for key, value in config.items() if key not in _FREE}
    rule = VerdictRule.of(config.get("verdict"))  # results of an older normbench have none
    values = flatten_config({**kept, "target": comparison.targets, "verdict": asdict(rule)})
    values.pop("data.path", None)  # where files lie; what is in them, their fingerprint tells
    return values
