"""normbench watch, and show of an experiment: its curves on a terminal."""

from __future__ import annotations

import json

import pytest
from reported import SWEEP, put
from scripted import evaluated, finishes, play, started
from tiny import experiment

from normbench.progress.watching import medians, screen
from normbench.store import ExperimentStore, read_results

CURVES = {"none": {0: 0.1, 5: 0.1, 12: 0.1}, "batch": {0: 0.1, 5: 0.5, 12: 0.9}}


@pytest.fixture
def halfway(tmp_path, digits):
    """Batch is done under both seeds; none runs under the first."""

    def script(run):
        if run.norm == "none":
            return None if run.seed else [started(), evaluated(0, 0.1, 2.3), evaluated(5, 0.2, 2)]
        return finishes(CURVES["batch"])

    play(tmp_path / "results", experiment(), digits, script)
    store = ExperimentStore(tmp_path / "results", "tiny")
    store.lock()  # as the process that trains them does
    yield tmp_path / "results"
    store.unlock()


def test_it_draws_each_norms_curve_and_how_far_its_runs_are(cli, halfway):
    done = cli("watch", "tiny")
    assert (done.code, done.err) == (0, "")
    assert any(0x2800 < ord(character) < 0x2900 for character in done.out)
    rows = {line.split()[1]: line.split() for line in done.out.splitlines() if "━━" in line}
    assert rows["batch"][2:] == ["10.0", "%", "step", "12", "2", "done"]
    assert rows["none"][2:] == ["80.0", "%", "step", "5", "1", "running,", "1", "to", "do"]
    assert "2 done, 1 running, 1 to do" in done.out


def test_without_an_evaluation_it_says_so(cli, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: None)
    done = cli("watch", "tiny")
    assert done.code == 0
    assert "no evaluation yet" in done.out


def test_without_a_name_it_is_the_latest_and_is_found_further_up(cli, halfway, monkeypatch):
    below = halfway.parent / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    for words in (("watch",), ("watch", "tiny")):
        done = cli(*words)
        assert done.code == 0
        assert "2 done, 1 running, 1 to do" in done.out
    assert f"tiny: the only experiment in {halfway}" in cli("watch").err


def test_watch_and_show_without_a_name_say_where_nothing_is(cli, tmp_path):
    for verb in ("watch", "show"):
        done = cli(verb)
        assert done.code == 4
        assert f"no experiment in {tmp_path / 'results'}" in done.err


def test_show_without_a_name_draws_the_latest_experiment(cli, halfway, monkeypatch):
    told = cli("show", "tiny").out
    below = halfway.parent / "a"
    below.mkdir()
    monkeypatch.chdir(below)
    done = cli("show")
    assert (done.code, done.out) == (0, told)
    assert "tiny: the only experiment" in done.err
    assert cli("show", "tiny").out == told
    assert json.loads(cli("show", "--json").out) == json.loads(cli("show", "tiny", "--json").out)
    assert cli("show", "--set", "model.depth=3").code == 2


def test_an_unknown_experiment_is_told_with_the_nearest(cli, halfway):
    done = cli("watch", "tny")
    assert done.code == 4
    assert "did you mean 'tiny'" in done.err


def test_the_median_is_over_the_runs_that_got_there(tmp_path, digits):
    def script(run):
        return finishes({0: 0.1, 5: 0.2 + 0.1 * run.seed, 12: 0.5 + 0.1 * run.seed})

    play(tmp_path, experiment("seeds=3"), digits, script)
    table = medians(read_results(tmp_path, "tiny"), "report")
    own = table[table["norm"] == "batch"].set_index("step")
    assert own["error"].to_dict() == pytest.approx({0: 0.9, 5: 0.7, 12: 0.4})
    assert own["runs"].tolist() == [3, 3, 3]


def test_a_sweep_has_a_chart_a_point_and_a_small_terminal_those_that_train(tmp_path, digits):
    results = put(tmp_path, digits, *SWEEP).results
    whole = [line.plain for line in screen(results, 80)]
    assert sum("depth=3" in line for line in whole) == 1
    assert sum("depth=4" in line for line in whole) == 1
    small = [line.plain for line in screen(results, 80, 16)]
    assert len(small) <= 16
    assert sum("depth=" in line for line in small) == 1
    assert any("1 further sweep point" in line for line in small)


def test_show_draws_an_experiment(cli, halfway):
    drawn = cli("show", "tiny").out
    assert drawn == cli("watch", "tiny").out
    assert cli("show", "tiny/").out == drawn
    assert cli("show", halfway / "tiny").out == drawn


def test_where_a_bundled_config_has_the_name_a_slash_means_the_experiment(cli, tmp_path, digits):
    put(tmp_path / "results", digits, "name=digits")
    assert cli("show", "digits").out.startswith("name: digits\n")
    assert "validation error" in cli("show", "digits/").out


def test_show_gives_the_curves_as_json(cli, halfway):
    found = json.loads(cli("show", "tiny", "--json").out)
    assert found["experiment"] == "tiny"
    assert {"norm": "none", "state": "running", "runs": 1} in found["states"]
    last = [row for row in found["curves"] if row["norm"] == "batch"][-1]
    assert last == {"norm": "batch", "step": 12, "error": pytest.approx(0.1), "runs": 2}
