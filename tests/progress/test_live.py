"""What is seen while runs train: bars in a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from scripted import diverges, fails, finishes
from tiny import experiment

from normbench.charts.palette import norm_styles
from normbench.plan import expand
from normbench.progress import live
from normbench.progress.live import Display
from normbench.training import events

CURVE = {0: 0.1, 5: 0.4, 12: 0.7}


def show(display: Display) -> None:
    """Three runs: one finishes, one diverges, one fails."""
    plan = expand(experiment("norms=[none, batch, rms]", "seeds=1"))
    told = [diverges(3, 5), finishes(CURVE), fails("it broke [red]badly[/red]")]
    with display:
        display.note("the cache is elsewhere")
        display.loading(5, 10, "downloading")
        display.loading(10, 10, "downloading")
        display.planned(plan, [12] * 3, 2)
        for run, found in zip(plan, told, strict=True):
            for event in found:
                display.on_event(run, event)
                if isinstance(event, events.Evaluated):
                    display.on_event(run, events.Progress(event.step, float("nan")))
        display.on_idle()


def test_where_there_is_no_terminal_a_line_tells_how_each_run_ended(capsys):
    show(Display())
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "\r" not in err
    lines = err.splitlines()
    assert "the cache is elsewhere" in lines
    assert any("2 runs were done before, 3 to train" in line for line in lines)
    assert [line for line in lines if line.startswith("none")] == ["none s0: diverged at step 3"]
    assert any(line.startswith("batch s0 70.0%") and "finished" in line for line in lines)
    assert "rms s0: failed: it broke [red]badly[/red]" in lines


def test_between_ends_there_is_a_line_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr(live, "PLAIN_SECONDS", -1.0)
    show(Display())
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if re.match(r" *[0-9]+% .*(none|batch|rms) s0 [0-9.]+%$", line)]
    assert len(told) >= 3
    shares = [int(line.split("%")[0]) for line in told]
    assert shares == sorted(shares)


def test_quiet_says_nothing_but_what_the_user_should_see(capsys):
    show(Display(quiet=True))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "the cache is elsewhere\n"


def test_a_look_says_who_is_out(capsys):
    finding = "look 1, out: none; batch, rms go on to 12 seeds"
    for quiet in (False, True):
        with Display(quiet=quiet) as display:
            display.looked([finding])
    assert capsys.readouterr().err == f"{finding}\n"


def test_in_a_terminal_there_are_bars(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    display = Display()
    assert not display.plain
    show(display)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b[" in err
    assert "none s0: diverged at step 3" in err
    assert "rms s0: failed: it broke [red]badly[/red]" in err


def test_a_bar_has_the_colour_of_its_norm(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLUMNS", "100")
    display = Display()
    (run,) = expand(experiment("norms=[batch]", "baseline=batch", "seeds=1"))
    with display:
        display.planned([run], [12], 0)
        display.on_event(run, events.Started(0, 12, 1, "same"))
    red, green, blue = bytes.fromhex(norm_styles(["batch"])["batch"].terminal[1:])
    assert f"38;2;{red};{green};{blue}mbatch s0" in capsys.readouterr().err


def test_a_bar_keeps_its_colour_when_other_norms_are_done(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLUMNS", "100")
    labels = ["aaa", "bbb"]
    named = "norms=[{kind: group, groups: 4, name: aaa}, {kind: group, name: bbb}]"
    plan = expand(experiment(named, "baseline=aaa", "seeds=1"))
    with Display(norms=labels) as display:
        display.planned(plan[1:], [12], 0)
        display.on_event(plan[1], events.Started(0, 12, 1, "same"))
    assert norm_styles(["bbb"])["bbb"] != norm_styles(labels)["bbb"]
    red, green, blue = bytes.fromhex(norm_styles(labels)["bbb"].terminal[1:])
    assert f"38;2;{red};{green};{blue}mbbb s0" in capsys.readouterr().err


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert Display().plain


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_bars_fit_any_terminal(capsys, monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", width)
    show(Display())
    assert capsys.readouterr().out == ""


def test_a_run_that_starts_again_after_its_node_died_keeps_one_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    (run,) = expand(experiment("norms=[batch]", "seeds=1"))
    with Display() as display:
        display.planned([run], [12], 0)
        for step in (0, 0, 5):
            display.on_event(run, events.Started(step, 12, 1234, "same"))
        assert [task.completed for task in display._progress.tasks if task.total == 12] == [5]


@pytest.mark.parametrize(("width", "loss"), [(40, False), (80, True), (120, True)])
def test_names_shares_and_accuracies_are_whole_at_any_width(monkeypatch, width, loss):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    display = Display()
    plan = expand(experiment("norms=[none, batch, rms]", "seeds=1"))
    display.planned(plan, [12] * 3, 0)
    for run in plan:
        for event in finishes(CURVE)[:-1]:
            display.on_event(run, event)
    out = Console(file=io.StringIO(), width=width, color_system=None)
    out.print(live._Inset(display._progress))
    lines = out.file.getvalue().splitlines()
    assert len(lines) == 4
    assert max(len(line.rstrip()) for line in lines) <= width - 3
    for line, run in zip(lines[1:], plan, strict=True):
        assert line.startswith(f"{run.norm} s0")
        assert "100%" in line
        assert "▁▁" in line
        assert ("loss 1.000" in line) is loss
        assert line.rstrip().endswith("val 70.0%")
