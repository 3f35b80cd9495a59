"""``normbench recommend`` from the outside."""

from __future__ import annotations

import json

import normbench


def test_it_trains_answers_and_writes_a_config_that_says_the_same(cli, config, tmp_path):
    done = cli("recommend", config, "--budget", "20runs", "-j", "1", "--set", "probes.steps=none")
    assert done.code == 0
    assert "tiny-recommend: mlp" in done.err
    assert "within 20runs: no search, every norm at the config's own learning rate" in done.err
    flat = " ".join(done.out.split())
    assert "at 10 seeds" in flat
    assert "No learning rates were searched" in flat
    assert "Spent: 20 runs of 20 runs." in flat
    path = "results/tiny-recommend/recommend.yaml"
    assert f"normbench train {path}" in flat
    # All is done already, and said again; other verbs read it.
    again = cli("train", path, "-q", "--json")
    assert again.code == 0
    known = json.loads(again.out)
    found = json.loads(cli("recommend", config, "--budget", "20runs", "-q", "--json", *SET).out)
    assert found.pop("recommendation")["spent"] == "20 runs"
    assert found["verdict"] == known["verdict"]
    assert cli("compare", "tiny-recommend").code == 0
    assert "tiny-recommend" in cli("list", "experiments").out


SET = ("--set", "probes.steps=none")


def test_a_budget_that_means_nothing_is_a_mistake_before_anything_is_trained(cli, config, tmp_path):
    done = cli("recommend", config, "--budget", "much")
    assert done.code == 2
    assert "'much' is not a time or a number of runs" in done.err
    assert not (tmp_path / "results").exists()


def test_a_script_gets_an_object_that_prints_the_answer_and_what_is_open(tmp_path):
    from tiny import experiment

    found = normbench.recommend(
        experiment("probes.steps=none"), budget="12 runs", results=tmp_path, jobs=1
    )
    assert found.comparison.name == "tiny-recommend"
    assert found.sentences[0] in " ".join(repr(found).split())
    assert found.after[-1].startswith("Spent: 12 runs of 12 runs.")
    assert found.path.read_text().startswith("# What `normbench recommend` compared")
    assert "<table" in found._repr_html_()
