"""Verbs without a name take the last experiment, and say which; names may be folders."""

from __future__ import annotations

import json
import os

import pytest
from scripted import finishes, play, probed
from tiny import experiment

from normbench.report import files

VERBS = (
    ("compare", "--json"),
    ("report", "--json"),
    ("export", "--to", "csv", "--json"),
    ("list", "runs", "--json"),
)


@pytest.fixture
def finished(tmp_path, digits, monkeypatch):
    """``results/tiny``, finished, its page left blank."""
    monkeypatch.setattr(files, "render", lambda *_: "<!doctype html>")
    whole = finishes({0: 0.1, 12: 0.7}, probes=[probed(0), probed(11)])
    play(tmp_path / "results", experiment(), digits, lambda _: whole)
    return tmp_path / "results"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_without_a_name_the_only_experiment_is_taken_and_told(cli, finished, verb):
    done = cli(*verb)
    assert done.code == 0, done.err
    assert f"tiny: the only experiment in {finished}" in done.err
    assert json.loads(done.out)["schema"] == 1  # and nothing of it on stdout


def test_an_experiment_named_twice_is_one(cli, finished):
    once, twice = cli("compare", "tiny"), cli("compare", "tiny", "tiny/")
    assert (once.code, once.out) == (0, twice.out)


def test_show_says_that_a_bundled_config_has_results_of_its_name(cli, finished):
    assert "shows the experiment" not in cli("show", "digits").err
    (finished / "tiny").rename(finished / "digits")
    assert "`normbench show results/digits` shows the experiment" in cli("show", "digits").err


def test_of_several_the_latest_is_taken(cli, finished, digits):
    play(finished, experiment("name=older"), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    for path in finished.glob("older/**/*.json"):
        os.utime(path, (1000, 1000))
    done = cli("compare", "--json")
    assert "tiny: the latest of 2 experiments" in done.err
    assert json.loads(done.out)["experiment"] == "tiny"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_where_there_is_none_the_place_and_the_remedy_are_told(cli, tmp_path, verb):
    done = cli(*verb)
    assert (done.code, done.out) == (4, "")
    assert f"no experiment in {tmp_path / 'results'}" in done.err
    assert "normbench train" in done.err


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_folder_does_as_well_as_a_name(cli, finished, verb):
    for text in ("results/tiny", finished / "tiny"):
        done = cli(*verb, text, "--results", "nowhere")
        assert (done.code, done.err) == (0, "")


def test_the_next_command_works_where_the_results_are_elsewhere(cli, finished, tmp_path):
    done = cli("compare", finished / "tiny", "--results", "nowhere")
    flat = " ".join(done.out.split())
    assert f"normbench compare tiny --full --results {finished}" in flat
