"""A word after a second of silence, in a terminal and nowhere else, gone with the first output."""

from __future__ import annotations

import io
import sys

import pytest

from normbench.cli import silence
from normbench.cli.silence import WORD, Silence


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminals(monkeypatch) -> tuple[Terminal, Terminal]:
    """stdout and stderr. Not a fixture: pytest gives each phase of a test streams of its own."""
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(silence, "SECONDS", 3600)
    return out, err


def test_the_word_is_erased_before_anything_else_is_written(monkeypatch):
    out, err = terminals(monkeypatch)
    with Silence([]) as waiting:
        waiting._break()
        assert err.getvalue() == WORD
        print("answer")
        assert err.getvalue() == WORD + "\r\x1b[K"
        waiting._break()
    assert out.getvalue() == "answer\n"
    assert err.getvalue() == WORD + "\r\x1b[K"


def test_it_is_erased_when_nothing_else_was_to_be_said(monkeypatch):
    streams = terminals(monkeypatch)
    with Silence([]) as waiting:
        waiting._break()
    assert streams[1].getvalue().endswith("\x1b[K")


def test_who_has_spoken_is_not_silent(monkeypatch):
    streams = terminals(monkeypatch)
    with Silence([]) as waiting:
        print("note", file=sys.stderr)
        waiting._break()
    assert streams[1].getvalue() == "note\n"


@pytest.mark.parametrize("arguments", [["train", "-q"], ["train", "--quiet"]])
def test_who_asked_for_quiet_hears_nothing(monkeypatch, arguments):
    streams = terminals(monkeypatch)
    with Silence(arguments) as waiting:
        waiting._break()
    assert streams[1].getvalue() == ""


@pytest.mark.parametrize("reason", ["pipe", "dumb"])
def test_a_pipe_and_a_terminal_without_cursor_hear_nothing(monkeypatch, reason):
    streams = terminals(monkeypatch)
    if reason == "pipe":
        monkeypatch.setattr(streams[1], "isatty", lambda: False)
    else:
        monkeypatch.setenv("TERM", "dumb")
    with Silence([]) as waiting:
        waiting._break()
    assert streams[1].getvalue() == ""


def test_afterwards_the_streams_are_what_they_were(monkeypatch):
    terminals(monkeypatch)
    with Silence([]):
        assert "write" in vars(sys.stdout)
    assert "write" not in vars(sys.stdout)
    assert "write" not in vars(sys.stderr)
