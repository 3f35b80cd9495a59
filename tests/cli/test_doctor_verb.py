"""normbench doctor as a verb: its exit code, its JSON, what it prints."""

from __future__ import annotations

import json

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench import doctor


@pytest.fixture
def told(monkeypatch):
    """A doctor that finds just this."""

    def set_(*levels: str) -> None:
        def check(places):
            for level in levels:
                yield level, f"a {level}", "" if level == "ok" else f"do this about the {level}"

        monkeypatch.setattr(doctor, "CHECKS", {"something": check})

    return set_


@pytest.mark.parametrize(
    ("levels", "code"), [(("ok",), 0), (("ok", "note"), 0), (("ok", "problem"), 1)]
)
def test_only_a_problem_makes_it_fail(cli, told, levels, code):
    told(*levels)
    done = cli("doctor")
    assert (done.code, done.err) == (code, "")
    for level in levels:
        assert f"a {level}" in done.out
    assert ("→ do this about" in done.out) is (levels != ("ok",))
    assert json.loads(cli("doctor", "--json").out)["well"] is (code == 0)


def test_quiet_tells_only_what_is_not_well(cli, told):
    told("ok", "note")
    assert "a ok" not in cli("doctor", "-q").out
    assert "a note" in cli("doctor", "-q").out


@pytest.mark.parametrize("width", ["40", "80"])
def test_no_line_is_wider_than_the_terminal(cli, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    done = cli("doctor")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= int(width)


def test_an_experiment_is_held_against_what_was_written_and_mended(cli, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    done = cli("doctor", "tiny")
    assert (done.code, done.err) == (0, "")
    assert "4 of 4 ended runs are sealed" in " ".join(done.out.split())
    next(tmp_path.glob("results/tiny/*/metrics.jsonl")).write_bytes(b"")
    found = json.loads(cli("doctor", "tiny", "--json").out)
    assert not found["well"]
    assert "metrics.jsonl is damaged" in found["findings"][0]["text"]
    done = cli("doctor", "tiny", "--repair")
    assert done.code == 0
    assert "set aside" in done.out
    assert cli("doctor", "tiny").code == 0
    assert cli("doctor", "--repair").code == 2
    assert cli("doctor", "nowhere").code == 4


def test_signs_in_the_name_of_a_folder_that_steer_a_terminal_are_escaped(cli, tmp_path, digits):
    play(tmp_path, experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    stray = tmp_path / "tiny" / "red\x1b[31m\u202e"
    stray.mkdir()
    (stray / "DONE").write_text("")
    done = cli("doctor", "tiny", "--results", str(tmp_path))
    assert done.code == 1
    assert "\\x1b[31m\\u202e" in "".join(done.out.split())
    assert not {"\x1b", "\u202e"} & set(done.out)
