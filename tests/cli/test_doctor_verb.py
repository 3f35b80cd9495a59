"""normbench doctor as a verb: its exit code, its JSON, what it prints."""

from __future__ import annotations

import json

import pytest

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
