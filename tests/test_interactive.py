"""A script or a notebook sees what happens and hears what went wrong."""

from __future__ import annotations

import dataclasses
import signal
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tiny import experiment

import normbench
from normbench import interactive
from normbench.api import train
from normbench.errors import RunsFailed
from normbench.execution import Outcome
from normbench.interactive import Result, RunsFailedWarning, tell
from normbench.plan import expand
from normbench.progress.bar import NotebookBar
from normbench.training import events


@pytest.fixture(scope="module")
def root(tmp_path_factory, digits) -> Path:
    root = tmp_path_factory.mktemp("results")
    train(experiment(), results=root, jobs=1)
    return root


@pytest.fixture
def result(root) -> Result:
    return normbench.load("tiny", results=root)


def failed(count: int, **others) -> Outcome:
    run = expand(experiment())[0]
    return Outcome(failed=[(run, f"reason {n}") for n in range(count)], **others)


def test_what_went_well_is_not_worth_a_word(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(normbench.train(experiment(), results=root), Result)


def test_some_failed_runs_are_warned_of_with_their_reasons():
    with pytest.warns(RunsFailedWarning, match=r"7 of 10 runs of 'tiny' failed\n    none-") as told:
        tell("tiny", failed(7, finished=3))
    (message,) = [str(warning.message) for warning in told]
    assert message.count("reason") == 5
    assert message.endswith("and 2 more")


def test_when_no_run_has_a_result_that_is_an_error():
    with pytest.raises(RunsFailed, match=r"2 of 2 runs of 'tiny' failed\n    none-.*: reason 0"):
        tell("tiny", failed(2))


@pytest.mark.parametrize(
    ("number", "meaning"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_after_an_orderly_stop_the_signal_does_what_it_means(number, meaning):
    with pytest.raises(meaning):
        tell("tiny", Outcome(stopped=True, signal=number))


def test_printed_it_is_the_sentences_and_tables_within_eighty_columns(result):
    lines = repr(result).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("batch leads with AUC 0.285, but 2 seeds are too few")
    assert "tiny" in lines
    assert "tiny: paired comparison with none" in lines


def test_shown_it_is_plain_html_that_loads_nothing(result):
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

    shown = result._repr_html_()
    assert shown.startswith("<p><b>batch leads with AUC 0.285, but 2 seeds are too few")
    Tags().feed(shown)
    assert tags.count("table") == 2
    assert not {*tags} & {"script", "link", "img", "style", "iframe"}


def test_its_table_holds_the_texts_of_the_terminal(result):
    table = result.table
    assert list(table.index) == ["batch", "none"]  # the leader first
    assert all(text in repr(result) for text in table["AUC"])


def test_without_any_result_it_still_shows_itself(root):
    found = normbench.load("tiny", results=root)
    runs = found.results.runs.assign(state="failed")
    none = Result(dataclasses.replace(found.results, runs=runs))
    assert repr(none) == "Experiment 'tiny' has no finished run yet."


def test_a_chart_shows_itself_as_a_picture_made_here(result):
    content, size = result.chart("curves")._repr_mimebundle_()
    assert content.keys() == {"image/png", "text/plain"}
    assert content["image/png"].startswith(b"\x89PNG")
    assert 300 < size["image/png"]["width"] < 1500
    assert "medians" in content["text/plain"]


def test_outside_of_a_notebook_and_a_terminal_nothing_is_shown(capfd, tmp_path, digits):
    assert not interactive.in_notebook()
    normbench.train(experiment("norms=[batch]", "seeds=1"), results=tmp_path, jobs=1)
    assert capfd.readouterr() == ("", "")


def test_the_notebooks_bar_tells_the_share_done_and_what_failed(monkeypatch):
    bar = NotebookBar()
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(bar, "_update", lambda markup, text: shown.append((markup, text)))
    monkeypatch.setattr(sys.modules[NotebookBar.__module__], "REFRESH_SECONDS", 0.0)
    one, other, *_ = expand(experiment())
    with bar:
        bar._handle = object()
        bar.planned([one, other], [12, 12], 0)
        bar.on_event(one, events.Started(0, 12, 100, "hash"))
        bar.on_event(one, events.Evaluated(12, 3.0, 384, 1.0, 1.0, 0.5, 0.1))
        bar.on_event(one, events.Finished(12, 0.1, 0.1, 0.1))
        assert '<progress value="0.5' in shown[-1][0]
        assert "1 of 2 runs" in shown[-1][1]
        assert "none s0 50.0%" in shown[-1][1]
        bar.on_event(other, events.Failed("broke <here>"))
    assert shown[-1][1].startswith("1 of 2 runs trained, 1 failed in")
