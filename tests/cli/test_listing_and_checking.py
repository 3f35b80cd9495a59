"""Listing, showing, validating and dry runs, from the outside."""

from __future__ import annotations

import pytest
import yaml
from test_train_and_compare import parsed
from tiny import TEXT


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("norms", {"none", "batch", "layer", "rms", "group", "instance"}),
        ("models", {"mlp", "cnn"}),
        ("datasets", {"digits", "mnist", "cifar10", "folder"}),
        ("configs", {"digits", "mnist-mlp", "mnist-cnn", "cifar10-cnn", "folder-cnn"}),
    ],
)
def test_components_are_listed_with_what_they_are(cli, what, known):
    rows = parsed(cli("list", what, "--json").out)[what]
    assert known <= {row["name"] for row in rows}
    assert all(row["what"] for row in rows)
    plain = cli("list", what)
    assert plain.code == 0
    assert all(name in plain.out for name in known)


def test_show_writes_out_every_default_and_loads_again(cli, config, tmp_path):
    done = cli("show", config, "--set", "optimizer.lr=0.25")
    again = tmp_path / "again.yaml"
    again.write_text(done.out)
    assert cli("show", again).out == done.out
    assert parsed(cli("show", config, "--json").out)["normalization"]["eps"] == 1e-5
    assert yaml.safe_load(done.out)["optimizer"]["lr"] == 0.25


def test_validate_counts_the_runs(cli, config):
    done = cli("validate", config)
    assert done.code == 0
    assert "valid" in done.out
    assert "4" in done.out


def test_a_dry_run_trains_and_writes_nothing(cli, config, tmp_path):
    done = cli("train", config, "--dry-run")
    assert done.code == 0
    assert "none" in done.out
    assert "batch" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml"}
    assert config.read_text() == TEXT
    assert isinstance(parsed(cli("train", config, "--dry-run", "--json").out), dict)
