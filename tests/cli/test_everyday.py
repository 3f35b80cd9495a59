"""``normbench train --data mnist --norms batch,layer``: everyday keys as options."""

from typing import Any

import pytest

from normbench.cli.everyday import experiment
from normbench.config import ExperimentConfig
from normbench.errors import ConfigError


def made(config: str | None = None, **options: Any) -> ExperimentConfig:
    given = dict.fromkeys(("data", "model", "norms", "seeds", "epochs", "lr"))
    return experiment(config, **{**given, "overrides": [], "sweeps": [], **options})  # type: ignore[arg-type]


def test_without_a_config_a_dataset_brings_all_that_suits_it() -> None:
    found = made(data="MNIST", norms="batch,layer,rms", seeds="8", epochs=2.0, lr=0.05)
    assert (found.data.dataset, found.data.validation, found.name) == ("mnist", 5000, "mnist-mlp")
    assert found.labels == ["batch", "layer", "rms"]
    assert (found.seeds, found.training.epochs, found.optimizer.lr) == (8, 2.0, 0.05)


def test_without_norms_the_four_that_everybody_knows_are_compared() -> None:
    assert made(data="digits").labels == ["none", "batch", "layer", "rms"]
    assert made(data="digits", overrides=["norms=batch"]).labels == ["batch"]


def test_over_a_config_only_what_is_named_changes() -> None:
    plain, found = made("mnist-cnn"), made("mnist-cnn", norms="none,batch", epochs=1.0)
    assert found.labels == ["none", "batch"]
    assert found.training.epochs == 1.0
    assert (found.model, found.data, found.name) == (plain.model, plain.data, plain.name)


def test_options_alone_change_the_bundled_experiment() -> None:
    assert made(lr=0.5).name == "digits"


def test_epochs_replace_steps() -> None:
    found = made(epochs=2.0, overrides=["optimizer.lr=0.1"])
    assert (found.training.epochs, found.training.steps) == (2.0, None)


def test_a_set_wins_over_an_option() -> None:
    assert made(lr=0.5, overrides=["optimizer.lr=0.25"]).optimizer.lr == 0.25


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        made(data="mnits")
