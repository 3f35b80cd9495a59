"""What a notebook shows while runs train: one bar that stays up to date in its cell."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any, Self

from normbench.execution import Observer
from normbench.plan import PlannedRun
from normbench.progress.eta import Eta
from normbench.report.columns import seconds
from normbench.training import events

REFRESH_SECONDS = 0.25


class NotebookBar(Observer):
    """Share done, runs done and time left, as HTML with a text for those who show none.

    Needs IPython and nothing else: no widgets, nothing that is loaded. Use as a context.
    """

    def __init__(self) -> None:
        self.eta = Eta()
        self._handle: Any = None
        self._runs = self._done = self._failed = 0
        self._doing = ""
        self._shown = -REFRESH_SECONDS
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:
            failed = f", {self._failed} failed" if self._failed else ""
            spent = seconds(time.monotonic() - self._started)
            text = f"{self._done} of {self._runs} runs trained{failed} in {spent}"
            self._update(f"<small>{html.escape(text)}</small>", text)

    def note(self, text: str) -> None:
        """A sentence the user should see, whatever else is shown."""
        from IPython.display import display

        display({"text/plain": text}, raw=True)

    def loading(self, done: int, total: int | None, label: str) -> None:
        """Progress of a download or of decoding images."""
        share = f" {done / total:.0%}" if total else ""
        self._doing = f"{label}{share}"
        self._show(done / total if total else 0.0)

    # -- Observer -----------------------------------------------------------------------------

    def planned(self, runs: Sequence[PlannedRun], steps: Sequence[int], skipped: int) -> None:
        """See ``Observer``."""
        self.eta.plan(runs, steps)
        self._runs += len(runs)
        self._doing = ""
        if runs:
            self._show(0.0)

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        """See ``Observer``."""
        self.eta.on_event(run, event)
        if isinstance(event, events.Evaluated):
            self._doing = f"{run.norm} s{run.seed} {100 * event.val_accuracy:.1f}%"
        elif isinstance(event, events.Finished):
            self._done += 1
        elif isinstance(event, events.Failed):
            self._failed += 1
        self.on_idle()

    def on_idle(self) -> None:
        """See ``Observer``."""
        self._show(self.eta.share)

    # -- inside -------------------------------------------------------------------------------

    def _show(self, share: float) -> None:
        now = time.monotonic()
        if now - self._shown < REFRESH_SECONDS:
            return
        self._shown = now
        left = self.eta.seconds_left() if self._runs else None
        words = [f"{self._done} of {self._runs} runs"] if self._runs else []
        words += [f"{seconds(left)} left"] if left is not None and left >= 1 else []
        words += [self._doing] if self._doing else []
        text = ", ".join(words)
        bar = f'<progress value="{share:.3f}" max="1" style="width:20em"></progress>'
        self._update(f"{bar} {html.escape(text)}", f"{share:4.0%} {text}")

    def _update(self, markup: str, text: str) -> None:
        from IPython.display import display

        content = {"text/html": markup, "text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
