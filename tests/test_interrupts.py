"""Ctrl-C and SIGTERM: the first asks, the second kills."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from normbench.interrupts import STOPPING, Interrupts


@pytest.fixture(autouse=True)
def as_python_has_it() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt and the others end the process, whatever other tests have
    set, and whatever a shell that started them in the background told them to ignore."""
    own = dict.fromkeys(STOPPING, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_only_asks(number):
    with Interrupts(kill=lambda: pytest.fail("killed")) as interrupts:
        assert not interrupts.requested()
        signal.raise_signal(number)
        assert interrupts.requested()
        assert interrupts.signal == number


def test_what_was_told_to_ignore_a_closed_terminal_goes_on(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(kill=lambda: None) as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_kills_and_interrupts():
    killed = []
    with Interrupts(kill=lambda: killed.append(True)) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert not killed
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert killed == [True]
    assert interrupts.signal == signal.SIGTERM


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts(kill=lambda: None):
        assert signal.getsignal(signal.SIGINT) != before[0]
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_nothing_changes():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Interrupts(kill=lambda: None) as interrupts:
            seen.append((signal.getsignal(signal.SIGINT), interrupts.requested()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
