"""``normbench report`` from the outside: what it writes, where, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
from reported import put
from scripted import fails, finishes, play
from tiny import experiment

import normbench as nb
from normbench.charts.base import CHARTS
from normbench.errors import StoreError
from normbench.report import files
from normbench.store import SCHEMA

CURVE = {0: 0.1, 5: 0.4, 12: 0.7}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digits):
    """The folder of results and what is read there; each test has a copy."""
    root = tmp_path_factory.mktemp("made")
    return root, put(root, digits)


@pytest.fixture
def made(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "results")
    return whole[1]


@pytest.fixture
def blank(monkeypatch):
    """A page takes a second to draw; where it goes does not depend on what is on it."""
    monkeypatch.setattr(files, "render", lambda *_: "<!doctype html>")


def test_the_page_stands_in_the_experiments_folder_and_its_path_is_all_that_is_printed(
    cli, made, tmp_path
):
    done = cli("report", "tiny")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{os.path.join('results', 'tiny', 'report.html')}\n"
    text = (tmp_path / "results/tiny/report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")


def test_the_page_goes_where_it_is_told_and_makes_the_way(cli, made, tmp_path, blank):
    done = cli("report", "tiny", "--out", "a/b/page.html", "--json")
    assert json.loads(done.out) == {"schema": 1, "files": [os.path.join("a", "b", "page.html")]}
    assert (tmp_path / "a/b/page.html").exists()


def test_the_page_looks_for_images_in_the_data_dir(cli, made, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(files, "render", lambda _, data_dir: asked.append(data_dir) or "")
    assert cli("report", "tiny", "--data-dir", "elsewhere").code == 0
    assert asked == [Path("elsewhere")]


@pytest.mark.parametrize("out", [".", "", "folder", "folder/", ".."])
def test_a_folder_that_is_there_takes_the_page(cli, made, tmp_path, monkeypatch, blank, out):
    (tmp_path / "folder").mkdir()
    if out == "..":
        monkeypatch.chdir(tmp_path / "folder")
    done = cli("report", "tiny", "--results", tmp_path / "results", "--out", out)
    assert (done.code, done.err) == (0, "")
    place = tmp_path / "folder" if out.startswith("folder") else tmp_path
    assert (place / "report.html").exists()


def test_a_slash_after_the_name_changes_nothing(cli, made, monkeypatch):
    monkeypatch.setattr(files, "chart_order", lambda: ["seeds", "survival"])
    done = cli("report", "tiny/", "tiny", "--format", "svg")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"results/tiny/charts/tiny-{name}.svg" for name in ("seeds", "survival")
    ]


@pytest.mark.parametrize("verb", ["report", "compare", "export --to csv"])
@pytest.mark.parametrize("name", ["../results/tiny", "../tiny"])
def test_a_folder_without_an_experiment_is_told_with_its_place(cli, made, tmp_path, verb, name):
    done = cli(*verb.split(), name)
    assert (done.code, done.out) == (4, "")
    place = (tmp_path / name).resolve().parent
    assert f"no experiment 'tiny' in {place}" in done.err


@pytest.mark.parametrize("form", ["svg", pytest.param("png", marks=pytest.mark.slow)])
def test_every_chart_becomes_a_picture(cli, made, tmp_path, form):
    done = cli("report", "tiny", "--format", form)
    drawn = [name for name in CHARTS if CHARTS[name].draw(made.chart_data) is not None]
    paths = sorted((tmp_path / "results/tiny/charts").iterdir())
    assert [path.name for path in paths] == sorted(f"tiny-{name}.{form}" for name in drawn)
    assert len(done.out.splitlines()) == len(paths)
    for path in paths:
        if form == "svg":
            assert path.read_text(encoding="utf-8").startswith("<svg")
        else:
            content = path.read_bytes()
            assert content.startswith(b"\x89PNG")
            width, height = struct.unpack(">II", content[16:24])
            assert width > 1000
            assert height > 300


def test_several_experiments_make_one_page(cli, made, tmp_path, digits):
    put(tmp_path / "results", digits, "name=other", "optimizer.lr=0.2")
    done = cli("report", "tiny", "other")
    assert done.out.strip() == os.path.join("results", "report-tiny-other.html")
    text = (tmp_path / done.out.strip()).read_text(encoding="utf-8")
    assert "tiny and other: convergence" in text


def test_experiments_that_cannot_be_compared_are_refused(cli, made, tmp_path, digits):
    put(tmp_path / "results", digits, "name=other", "target={val_accuracy: 0.6}")
    done = cli("report", "tiny", "other")
    assert done.code == 2
    assert "cannot be compared" in done.err
    assert not list(tmp_path.glob("results/*.html"))


def test_unequal_terms_are_an_error_after_the_page(cli, tmp_path, digits):
    def script(run):
        backbone = "other" if (run.norm, run.seed) == ("batch", 1) else "same"
        return finishes(CURVE, backbone=backbone)

    play(tmp_path / "results", experiment("norms=[none, rms, batch]"), digits, script)
    done = cli("report", "tiny")
    assert done.code == 4
    assert "backbone differ in batch-s1-" in done.err
    assert done.out == f"{os.path.join('results', 'tiny', 'report.html')}\n"
    page = (tmp_path / "results/tiny/report.html").read_text(encoding="utf-8")
    assert "not compared on equal terms" in page


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_an_unknown_experiment_is_told_with_the_nearest(cli, made, verb):
    done = cli(verb, "tny")
    assert done.code == 4
    assert "did you mean 'tiny'" in done.err
    assert done.out == ""


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_when_all_runs_failed_it_says_so_and_where_to_look(cli, tmp_path, digits, verb):
    play(tmp_path / "results", experiment(), digits, lambda _: fails("no memory"))
    done = cli(verb, "tiny")
    assert done.code == 4
    assert "has no finished run (4 failed)" in done.err
    assert "no memory" in done.err
    assert 'under "details" in' in done.err
    assert not (tmp_path / "results/tiny/report.html").exists()


@pytest.mark.parametrize("verb", ["report", "compare"])
@pytest.mark.parametrize("part", ["experiment.json", "*/manifest.json"])
def test_results_of_a_newer_normbench_are_not_read(cli, made, tmp_path, verb, part):
    path = next((tmp_path / "results/tiny").glob(part))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))
    done = cli(verb, "tiny")
    assert done.code == 4
    assert "was written by a newer normbench" in done.err
    assert "upgrade normbench" in done.err


def test_a_place_that_cannot_be_written_is_named(cli, made, tmp_path, blank):
    (tmp_path / "taken").write_text("a file")
    done = cli("report", "tiny", "--out", "taken/page.html")
    assert done.code == 4
    assert "taken" in done.err
    assert "--out" in done.err
    assert "--results" not in done.err
    done = cli("report", "tiny", "--format", "svg", "--out", "taken")
    assert done.code == 4
    assert "choose another place with --out" in done.err


# --- from Python ---


def test_load_takes_a_folder_or_a_name(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for found in (
        nb.load("results/tiny"),
        nb.load(tmp_path / "results" / "tiny"),
        nb.load("tiny"),
        nb.load("tiny", results="results"),
    ):
        assert found.convergence.equals(made.convergence)
    monkeypatch.chdir(tmp_path / "results" / "tiny")
    assert nb.load(".").name == "tiny"


def test_load_refuses_what_compare_refuses(tmp_path, digits):
    with pytest.raises(StoreError, match="no experiment 'tiny'"):
        nb.load(tmp_path / "results" / "tiny")
    play(tmp_path / "results", experiment(), digits, lambda _: fails("no memory"))
    with pytest.raises(StoreError, match="no memory"):
        nb.load(tmp_path / "results" / "tiny")


# --- in the browser ---


def test_open_hands_the_page_to_the_browser(cli, made, tmp_path, monkeypatch, blank):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    done = cli("report", "tiny", "--open")
    assert (done.code, done.err) == (0, "")
    assert opened == [(tmp_path / "results/tiny/report.html").as_uri()]


def test_without_a_browser_it_says_where_the_page_is(cli, made, monkeypatch, blank):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    done = cli("report", "tiny", "--open")
    assert done.code == 0
    assert "no browser could be started; open results/tiny/report.html" in done.err


def test_pictures_are_not_opened(cli, made):
    done = cli("report", "tiny", "--format", "png", "--open")
    assert done.code == 2
    assert "--open goes with a page" in done.err
