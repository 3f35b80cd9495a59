"""Claims of the literature: their rules on made-up runs, the effect planted either way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normbench.bundled import bundled_for_claims
from normbench.claims import CLAIMS, Verdict, runs
from normbench.claims.asks import Ask, Of, Spread, level
from normbench.claims.chosen import choose
from normbench.claims.published import LITERATURE, Published, in_order
from normbench.claims.scoreboard import config_of, names_of_configs
from normbench.claims.study import ROLES
from normbench.errors import ConfigError
from normbench.seeding import stream

SEEDS = 12
NOISE = 0.004
Value = Callable[[str, Mapping[str, Any], str, str], float]
"""norm, point, role, metric -> its mean."""

ASKED = [pytest.param(name, id=name) for name, _ in in_order()]


def made_up(config: str, value: Value, seeds: int = SEEDS, seed: int = 0) -> pd.DataFrame:
    """The runs of a config with made-up numbers: the mean that ``value`` gives, what a seed adds
    for every norm, and noise."""
    experiment = config_of(config)
    draw = np.random.default_rng(stream(seed, "published", config))
    keys = list(experiment.sweep)
    rows = []
    shared = draw.normal(0, NOISE, seeds)
    for norm, point, role in itertools.product(
        experiment.labels, experiment.sweep_points(), ("report", "best", "tune")
    ):
        grid = experiment.tune.values if experiment.tune and role == "tune" else [math.nan]
        for own, tuned in itertools.product(range(seeds), grid):
            row: dict[str, Any] = {"role": role, "norm": norm, "seed": own, "tuned": tuned}
            row |= {key: point[key] for key in keys} | {"state": "finished"}
            row |= {"target": 0.9, "num_classes": 10, "train_seconds": 1.0}
            for metric in ("auc", "val_accuracy", "test_accuracy", "train_accuracy"):
                mean = value(norm, point, role, metric)
                row[metric] = mean + shared[own] + draw.normal(0, NOISE)
            precise = value(norm, point, role, "val_accuracy_precise")
            row["val_accuracy_precise"] = precise + shared[own] + draw.normal(0, NOISE)
            if role == "tune":
                largest = value(norm, point, role, "largest_rate")
                row["val_accuracy"] = 0.9 if math.log10(tuned) <= largest + 1e-9 else 0.1
            rows.append(row)
    columns = [*runs.IDENTITY, *keys, "tuned", "state", *runs.NUMBERS]
    return runs.read(runs.text_of(pd.DataFrame(rows)[columns]))


def planted(claim: Published, sign: int) -> Value:
    """Means under which every part of a claim holds (sign 1) or fails (-1) by far.

    Each question names its two sides; so a side is moved up or down, wherever the question looks.
    """
    moves: list[tuple[Of, str, Mapping[str, Any], float]] = []
    for ask in claim.asks:
        assert isinstance(ask, Ask)
        for point in ask.points:
            size = 0.2 * sign
            sides = [(ask.first, size), (ask.second, -size)]
            for of, move in sides:
                moves.append((of, of.metric or ask.metric, {**point, **of.at}, move))

    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        if metric == "largest_rate":
            base = -1.5
        elif metric == "train_accuracy":
            base = 0.7
        else:
            base = 0.5
        found = [
            move
            for of, of_metric, at, move in moves
            if of.norm == norm
            and all(point.get(key) == wanted for key, wanted in at.items())
            and (not of.rate or ROLES[of.rate] == role)
            and (of_metric == metric or (of_metric == "gap" and metric == "train_accuracy"))
        ]
        scale = 3.0 if metric == "largest_rate" else 1.0
        return base + scale * (max(found, key=abs) if found else 0.0)

    return value


def tables(claim: Published, value: Value, seeds: int = SEEDS) -> dict[str, pd.DataFrame]:
    return {config: made_up(config, value, seeds) for config in claim.configs}


def by_story(story: Mapping[str, float], otherwise: float = 0.5) -> Value:
    """norm -> its mean, of every metric, everywhere."""
    return lambda norm, point, role, metric: story.get(norm, otherwise)


@pytest.mark.parametrize("name", ASKED)
def test_a_claim_is_whole_and_its_experiments_come_with_the_package(name: str):
    claim = LITERATURE[name]
    assert claim.short
    assert claim.statement.endswith((".", ")"))
    assert "arXiv:" in claim.source
    assert claim.expected
    assert claim.changes
    for config in claim.configs:
        experiment = config_of(config)
        assert experiment.name == config
        first, second, *_ = bundled_for_claims()[f"claims/{config}"].read_text().splitlines()
        assert first.endswith((".", "?"))  # `list configs` shows it
        assert second == "#"
        for ask in claim.asks:
            if isinstance(ask, Ask) and (ask.config or claim.configs[0]) == config:
                sides = [ask.first, ask.second, *(ask.beyond or ())]
                named = {of.norm for of in sides if of.norm}
                assert named <= set(experiment.labels)
                for of, point in itertools.product(sides, ask.points):
                    for key, value in {**point, **of.at}.items():
                        assert value in experiment.sweep[key]
                assert experiment.tune is not None or set(ask.rates) == {"shared rate"}


def test_no_config_is_without_a_claim_and_numbers_follow_those_of_the_article():
    assert {f"claims/{name}" for name in names_of_configs()} == set(bundled_for_claims())
    numbers = [claim.number for _, claim in in_order()]
    first = len(CLAIMS.names()) + 1
    assert numbers == list(range(first, first + len(numbers)))
    assert len(numbers) >= 15


@pytest.mark.parametrize("name", ASKED)
def test_too_few_seeds_are_not_enough_evidence(name: str):
    claim = LITERATURE[name]
    if any(isinstance(ask, Spread) for ask in claim.asks):
        found = claim.decide(tables(claim, by_story({}), seeds=1))
    else:
        found = claim.decide(tables(claim, planted(claim, 1), seeds=4))
    assert found.verdict is Verdict.NOT_ENOUGH


def test_without_runs_nothing_is_decided():
    for _, claim in in_order():
        assert not claim.ready({})
        assert claim.decide({}).verdict is Verdict.NOT_ENOUGH


STORIES: dict[str, tuple[Mapping[str, float], Mapping[str, float]]] = {
    # name: means by norm under which it is supported, and under which it is refuted
    "layer-in-cnn": ({"batch": 0.9, "layer": 0.8}, {"batch": 0.8, "layer": 0.9}),
    "rms-quality": ({"rms": 0.85, "layer": 0.85}, {"rms": 0.7, "layer": 0.85}),
    "recentring": (
        {"rms": 0.8, "layer": 0.8, "variance_only": 0.9, "batch": 0.9, "mean_only": 0.4,
         "none": 0.5},
        {"rms": 0.6, "layer": 0.8, "variance_only": 0.3, "batch": 0.9, "mean_only": 0.6,
         "none": 0.5},
    ),
    "deep-residual": (
        {"none": 0.1, "batch": 0.9, "fixup": 0.9, "skipinit": 0.9},
        {"none": 0.8, "batch": 0.9, "fixup": 0.5, "skipinit": 0.5},
    ),
    "dynamic-tanh": (
        {"dyt": 0.8, "dyt from alpha 2": 0.8, "layer": 0.8, "batch": 0.9},
        {"dyt": 0.6, "dyt from alpha 2": 0.6, "layer": 0.8, "batch": 0.5},
    ),
    "dynamic-erf": ({"derf": 0.9, "dyt": 0.8, "layer": 0.8}, {"derf": 0.7, "dyt": 0.8,
                                                              "layer": 0.8}),
    "beyond-batch-norm": (
        {"batch": 0.8, "batch_instance": 0.9, "frn": 0.9},
        {"batch": 0.9, "batch_instance": 0.9, "frn": 0.8},
    ),
    "switchable-parts": (
        {"switchable": 0.8, "batch": 0.8, "layer": 0.7, "instance": 0.7},
        {"switchable": 0.6, "batch": 0.8, "layer": 0.7, "instance": 0.7},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_an_effect_planted_either_way_turns_the_verdict(name: str):
    claim = LITERATURE[name]
    supports, refutes = STORIES[name]
    assert claim.decide(tables(claim, by_story(supports))).verdict is Verdict.SUPPORTED
    assert claim.decide(tables(claim, by_story(refutes))).verdict is Verdict.REFUTED


def test_small_batches_turn_with_what_happens_at_2_and_4():
    claim = LITERATURE["small-batches"]

    def harmed(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        return 0.6 if norm == "batch" and point["data.batch_size"] < 32 else 0.9

    def turned(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        small = point["data.batch_size"] < 32
        return (0.9 if small else 0.6) if norm == "batch" else (0.6 if small else 0.9)

    assert claim.decide(tables(claim, harmed)).verdict is Verdict.SUPPORTED
    assert claim.decide(tables(claim, turned)).verdict is Verdict.REFUTED
    weights = LITERATURE["standardized-weights"]

    def lifted(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        return 0.9 if norm != "group" else 0.8

    def sunk(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        return 0.7 if norm == "group on standardized weights" else 0.9

    assert weights.decide(tables(weights, lifted)).verdict is Verdict.SUPPORTED
    assert weights.decide(tables(weights, sunk)).verdict is Verdict.REFUTED


@pytest.mark.parametrize(("gives_back", "verdict"), [(0.2, "supported"), (0.0, "refuted")])
def test_a_loss_is_evaluations_as_far_as_precise_statistics_give_it_back(gives_back, verdict):
    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        lost = 0.3 if norm == "batch" and point["data.batch_size"] < 32 else 0.0
        return 0.9 - lost + (gives_back if lost and metric == "val_accuracy_precise" else 0.0)

    claim = LITERATURE["evaluation-alone"]
    assert claim.decide(tables(claim, value)).verdict == verdict


def test_a_share_of_a_loss_says_nothing_where_nothing_was_lost():
    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        return 0.9 if point["data.batch_size"] == 2 else 0.8

    claim = LITERATURE["evaluation-alone"]
    found = claim.decide(tables(claim, value))
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "not found" in found.pieces[0].why


@pytest.mark.parametrize(
    ("rate", "best", "verdict"), [(0.0, 0.8, "supported"), (-3.0, 0.4, "refuted")]
)
def test_the_lead_at_a_shared_rate_is_held_against_the_lead_at_own_best_rates(rate, best, verdict):
    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        if metric == "largest_rate":
            return rate if norm == "batch" else -1.5
        if norm == "batch":
            return 0.85
        return 0.6 if role == "report" else best

    claim = LITERATURE["own-best-rates"]
    assert claim.decide(tables(claim, value)).verdict == verdict


@pytest.mark.parametrize(
    ("name", "norm", "point", "story", "verdict"),
    [
        ("deep-batch-norm", "batch", ("model.depth", 60), (0.1, 0.9), "supported"),
        ("deep-batch-norm", "batch", ("model.depth", 60), (0.7, 0.3), "refuted"),
        ("he-or-xavier", "none", ("model.init", "xavier_normal"), (0.1, 0.8), "supported"),
        ("he-or-xavier", "none", ("model.init", "xavier_normal"), (0.8, 0.1), "refuted"),
    ],
)
def test_what_stalls_and_what_trains_is_held_against_fixed_levels(
    name, norm, point, story, verdict
):
    key, stalls = point

    def value(label: str, at: Mapping[str, Any], role: str, metric: str) -> float:
        there, elsewhere = story
        return 0.6 if label != norm else there if at[key] == stalls else elsewhere

    claim = LITERATURE[name]
    assert claim.decide(tables(claim, value)).verdict == verdict


@pytest.mark.parametrize(("sign", "verdict"), [(1, "supported"), (-1, "refuted")])
def test_warmup_is_an_interaction_with_the_position(sign, verdict):
    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        warm = point["optimizer.warmup_steps"] > 0
        post = point["model.norm_position"] == "post"
        if sign > 0:
            return 0.4 if post and not warm else 0.8
        return 0.4 if warm == post else 0.8

    claim = LITERATURE["warmup"]
    assert claim.decide(tables(claim, value)).verdict == verdict


@pytest.mark.parametrize(("train", "verdict"), [(0.9, "supported"), (0.7, "refuted")])
def test_the_gap_is_training_less_test_accuracy(train, verdict):
    def value(norm: str, point: Mapping[str, Any], role: str, metric: str) -> float:
        if metric == "train_accuracy":
            return 0.8 if norm == "batch" else train
        return 0.7

    claim = LITERATURE["noise-regularizes"]
    assert claim.decide(tables(claim, value)).verdict == verdict


def test_a_spread_is_held_against_its_interval():
    ask = Spread("0.1 to 0.25 points", "batch", "test_accuracy", 0.0010, 0.0025)
    for sd, holds in ((0.0016, True), (0.01, False), (0.0003, False)):
        values = 0.9 + sd * np.random.default_rng(1).standard_normal(200)
        table = pd.DataFrame({"role": "report", "norm": "batch", "test_accuracy": values})
        assert ask.piece({"seed-noise": table}, "seed-noise").holds is holds
    claim = LITERATURE["seed-noise"]
    for sd, verdict in ((0.0016, Verdict.SUPPORTED), (0.01, Verdict.REFUTED)):
        made = made_up("seed-noise", by_story({}), seeds=200)
        made["test_accuracy"] = 0.9 + sd * np.random.default_rng(1).standard_normal(len(made))
        assert claim.decide({"seed-noise": made}).verdict is verdict
    few = table.iloc[:3].assign(test_accuracy=[0.9, 0.9016, 0.902])
    assert ask.piece({"seed-noise": few}, "seed-noise").holds is None


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("dynamic-erf", 60),
        pytest.param("beyond-batch-norm", 400, marks=pytest.mark.slow),
        pytest.param("small-batches", 400, marks=pytest.mark.slow),
        pytest.param("warmup", 400, marks=pytest.mark.slow),
    ],
)
def test_where_nothing_differs_false_words_are_rare(name: str, families: int):
    """Better and worse, of anything, in at most 5 % of a claim's families."""
    claim = LITERATURE[name]
    whole = {config: made_up(config, by_story({}), 10) for config in claim.configs}
    draw = np.random.default_rng(stream(0, "null", name))
    wrong = 0
    for _ in range(families):
        for table in whole.values():
            for metric in ("auc", "val_accuracy"):
                table[metric] = 0.5 + draw.normal(0, 0.05, len(table))
        words = {piece.numbers["verdict"] for piece in claim.decide(whole).pieces}
        wrong += bool(words & {"better", "worse"})
    assert wrong <= 0.05 * families + 2.6 * math.sqrt(0.05 * 0.95 * families)


def test_a_level_is_no_run_and_a_missing_seed_is_no_pair():
    table = made_up("deep-residual", by_story({"none": 0.9}))
    ask = Ask("it trains", Of("none"), level(0.5), "val_accuracy", 0.02)
    (duel,) = ask.duels({"deep-residual": table}, "deep-residual")
    assert len(duel.differences) == SEEDS
    assert duel.second == "0.5"
    lost = table.assign(
        val_accuracy=table["val_accuracy"].mask((table["seed"] == 3) & (table["norm"] == "none"))
    )
    (duel,) = ask.duels({"deep-residual": lost}, "deep-residual")
    assert sum(math.isnan(d) for d in duel.differences) == 1


def test_names_numbers_and_a_config_may_be_mixed():
    chosen = choose(["mnist-mlp", "small-batches", "likeness"], [2, 36], literature=False)
    assert chosen.config == "mnist-mlp"
    assert chosen.article == (2, 19)
    assert chosen.literature == ("small-batches", "seed-noise")
    everything = choose([], [], literature=True)
    assert everything.article == ()
    assert "seed-noise" not in everything.literature  # needs a GPU
    assert len(choose([], [], literature=False).article) == len(CLAIMS.names())
    with pytest.raises(ConfigError, match="two configs"):
        choose(["one.yaml", "two.yaml"], [], literature=False)
    with pytest.raises(ConfigError, match="no statement 99"):
        choose([], [99], literature=False)
