"""``normbench export`` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from exporting import every
from scripted import finishes, play
from tiny import experiment

from normbench.exporters import EXPORTERS


@pytest.fixture
def trained(tmp_path, digits) -> Path:
    """An experiment below the folder that the command line is called in."""
    play(tmp_path / "results", experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    return tmp_path / "results" / "tiny"


@every
def test_the_files_are_printed_one_a_line(cli, trained, name):
    done = cli("export", "tiny", "--to", name)
    assert (done.code, done.err) == (0, "")
    paths = [Path(line) for line in done.out.splitlines()]
    assert paths
    for path in paths:
        assert path.is_relative_to(f"results/tiny/export/{name}")
        assert path.is_file()


def test_json_names_the_files_too(cli, trained, tmp_path):
    done = cli("export", "tiny", "--to", "csv", "--out", tmp_path / "out", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["schema"], found["experiment"], found["format"]) == (1, "tiny", "csv")
    names = ["runs.csv", "curves.csv", "probes.csv", "verdicts.csv", "columns.csv"]
    assert found["files"] == [str(tmp_path / "out" / name) for name in names]
    assert len(pd.read_csv(found["files"][0])) == 4


def test_compare_gives_the_same_after_an_export(cli, trained):
    before = cli("compare", "tiny", "--json").out
    assert cli("export", "tiny", "--to", "csv").code == 0
    assert cli("compare", "tiny", "--json").out == before
    assert [row["experiment"] for row in json.loads(cli("list", "runs", "--json").out)["runs"]] == [
        "tiny"
    ] * 4


def test_an_unknown_experiment_is_told_with_the_nearest(cli, trained):
    done = cli("export", "tinny", "--to", "csv")
    assert (done.code, done.out) == (4, "")
    assert "did you mean 'tiny'?" in done.err


def test_an_unknown_format_is_told_with_the_nearest(cli, trained):
    done = cli("export", "tiny", "--to", "tensorbord")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'tensorboard'?" in done.err
    assert not (trained / "export").exists()


def test_the_format_must_be_named(cli, trained):
    done = cli("export", "tiny")
    assert done.code == 2
    assert "--to" in done.err


def test_a_folder_with_other_things_in_it_is_refused(cli, trained, tmp_path):
    done = cli("export", "tiny", "--to", "csv", "--out", tmp_path)
    assert (done.code, done.out) == (4, "")
    assert "--out DIR" in done.err


def test_the_exporters_are_listed(cli):
    done = cli("list", "exporters", "--json")
    assert [row["name"] for row in json.loads(done.out)["exporters"]] == EXPORTERS.names()
