"""Does the tool cry wolf? Real runs of one norm, compared with themselves under other seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.comparison import DEFAULT_METRICS, compare
from normbench.api import train
from normbench.config import load
from normbench.seeding import stream

SEEDS = 16
SPLITS = 2000
CONFIG = """
name: calibration
data: {dataset: digits, validation: 300, batch_size: 64}
model: {kind: mlp, depth: 6, width: 64, init: he_normal}
norms: [batch]
optimizer: {kind: sgd, lr: 0.005, momentum: 0.9}
training: {epochs: 5, evaluate_every: 5}
target: {val_accuracy: 0.9}
probes: {steps: none}
"""


@pytest.mark.slow
def test_a_norm_against_itself_is_better_or_worse_in_at_most_five_percent(tmp_path):
    experiment = load(CONFIG, [f"seeds={SEEDS}"])
    outcome = train(experiment, results=tmp_path).reported.outcomes
    assert len(outcome) == SEEDS
    assert outcome["val_accuracy"].nunique() > 3, "runs that all agree could not disagree"

    verdicts = compare(_random_pairs(outcome), ["a", "b"], "a", ["split"])
    wolf = verdicts["verdict"].isin(["better", "worse"])
    rates = wolf.groupby(verdicts["metric"]).mean()
    print("\nbetter or worse, share of splits:", rates.to_dict(), "all:", wolf.mean())
    assert set(rates.index) == set(DEFAULT_METRICS)
    assert not verdicts["verdict"].str.startswith("too few").any()
    # Each rate is estimated from 2,000 splits; two standard errors of 5 % are 1 %.
    assert rates.max() <= 0.06
    assert wolf.mean() <= 0.05


def _random_pairs(outcome: pd.DataFrame) -> pd.DataFrame:
    """Every split deals the same runs into groups a and b, and pairs them by their place."""
    half = SEEDS // 2
    deals = np.array([stream(0, "deal", k).permutation(SEEDS) for k in range(SPLITS)])
    frame = outcome.iloc[deals.ravel()].reset_index(drop=True)
    return frame.assign(
        run=[f"{i}" for i in range(len(frame))],
        split=np.repeat(np.arange(SPLITS), SEEDS),
        norm=np.tile(np.repeat(["a", "b"], half), SPLITS),
        seed=np.tile(np.r_[:half, :half], SPLITS),
    )
