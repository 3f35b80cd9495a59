"""What is said before training begins."""

from __future__ import annotations

from pathlib import Path

from tiny import experiment

from normbench.report.header import header, time_ahead


def test_it_tells_network_data_norms_seeds_and_where_the_results_go():
    found = header(experiment("norms=[none, batch, layer]", "seeds=8"), Path("results"))
    first, second = found.splitlines()
    assert first.startswith("tiny: mlp (depth 3, width 16, activation relu, init ")
    assert first.endswith(" on digits, sgd at lr 0.1")
    assert second == "none, batch, layer x 8 seeds: 24 runs -> results/tiny"


def test_a_sweep_and_a_tuning_are_told():
    swept = experiment("sweep={model.depth: [3, 4, 5]}", "seeds=1")
    assert header(swept, Path("r")).splitlines()[1] == (
        "none, batch x 1 seed x 3 values of model.depth: 6 runs -> r/tiny"
    )
    tuned = experiment("tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    assert header(tuned, Path("r")).splitlines()[1] == (
        "none, batch x 2 seeds: 4 runs, tuned over 2 values of optimizer.lr -> r/tiny"
    )


def test_the_time_ahead_is_of_the_runs_known_so_far():
    assert time_ahead(83.4, 24, 2, more=False) == "about 83 s for 24 runs, 2 at a time"
    assert time_ahead(600.0, 40, 4, more=True) == "about 10 min for the first 40 runs, 4 at a time"
    assert time_ahead(0.2, 2, 1, more=False) == "under a second for 2 runs, 1 at a time"
    assert time_ahead(float("nan"), 24, 2, more=False) == ""
