"""What is seen while runs train: bars in a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from normbench.charts.palette import NormStyle, norm_styles
from normbench.execution import Observer
from normbench.plan import PlannedRun
from normbench.progress.eta import Eta
from normbench.report.columns import seconds, sparkline
from normbench.report.tables import console
from normbench.training import events

PLAIN_SECONDS = 5.0
LONG_SECONDS = 3.0  # what ends sooner needs no estimate
SPARK_WIDTH = 8
NARROW, WIDE = 60, 100  # columns: below without bars, from there on with long ones


class _Name(ProgressColumn):
    """What a bar is of, a run in the colour of its norm."""

    def render(self, task: Task) -> Text:
        return Text(task.description, style=task.fields.get("style", ""))


class Display(Observer):
    """One bar a running run, with its loss and accuracy, and one for the whole with time left.

    Where stderr is no terminal that moves its cursor: a line when a run ends, and one every few
    seconds in between. quiet: nothing at all but notes. norms: the labels of the experiment, of
    which not all may be left to train, so that colours are those of its tables. Use as a context.
    """

    def __init__(self, *, quiet: bool = False, norms: Sequence[str] = ()):
        self.quiet = quiet
        self.norms = norms
        self.console = console(stderr=True)
        self.plain = not self.console.is_terminal or self.console.is_dumb_terminal
        self.eta = Eta()
        self._losses: dict[str, list[float]] = {}
        self._texts: dict[str, str] = {}
        self._tasks: dict[str, Any] = {}
        self._styles: dict[str, NormStyle] = {}
        self._diverged: set[str] = set()
        self._total: Any = None
        self._loading: dict[str, Any] = {}
        self._last_line = time.monotonic()
        self._last_text = ""
        self._estimated = False
        self._progress = self._bars()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not (self.quiet or self.plain):
            self._live = Live(
                _Inset(self._progress), console=self.console, transient=True, refresh_per_second=8
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    # -- before training ----------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A sentence the user should see, whatever else is shown."""
        self.console.print(text, style="yellow", markup=False)

    def head(self, text: str) -> None:
        """What is about to be trained; nothing when quiet."""
        if not self.quiet:
            self._print(text)

    def loading(self, done: int, total: int | None, label: str) -> None:
        """Progress of a download or of decoding images."""
        if self.quiet:
            return
        if self.plain:
            if label not in self._loading or done == total:
                self._loading[label] = True
                share = f" {done / total:.0%}" if total else ""
                self._print(f"{label}{share}")
            return
        if label not in self._loading:
            self._loading[label] = self._progress.add_task(label, total=total, tail="")
        self._progress.update(self._loading[label], completed=done)
        if total is not None and done >= total:
            self._progress.update(self._loading[label], visible=False)

    # -- Observer -----------------------------------------------------------------------------

    def planned(self, runs: Sequence[PlannedRun], steps: Sequence[int], skipped: int) -> None:
        """See ``Observer``."""
        self.eta.plan(runs, steps)
        self._styles |= norm_styles([*self.norms, *(run.norm for run in runs)])
        if self.quiet:
            return
        if skipped:
            self._print(f"{skipped} runs were done before, {len(runs)} to train")
        if not self.plain:
            if self._total is not None:
                self._progress.remove_task(self._total)
            self._total = self._progress.add_task(f"{len(runs)} runs", total=1.0, tail="")

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        """See ``Observer``."""
        self.eta.on_event(run, event)
        if self.quiet:
            return
        name = f"{run.norm} s{run.seed}"
        if run.sweep_point or run.tuned:
            values = {**run.sweep_point, **(run.tuned or {})}
            name += " " + " ".join(f"{k.rsplit('.', 1)[-1]}={v}" for k, v in values.items())
        match event:
            case events.Started():
                self._losses[run.folder] = []
                self._diverged.discard(run.folder)
                if not self.plain:
                    if run.folder in self._tasks:  # its node died, and it starts again
                        self._progress.remove_task(self._tasks[run.folder])
                    self._tasks[run.folder] = self._progress.add_task(
                        name,
                        total=event.steps,
                        completed=event.step,
                        tail="",
                        style=self._styles[run.norm].terminal,
                    )
            case events.Evaluated() | events.Progress():
                self._trained(run, name, event)
            case events.Finished() | events.Stopped() | events.Failed() | events.Diverged():
                self._ended(run, name, event)
        self._tell_estimate()
        self.on_idle()

    def on_idle(self) -> None:
        """See ``Observer``."""
        if self.quiet:
            return
        if self.plain:
            running = "; ".join(self._texts.values())
            quiet_for = time.monotonic() - self._last_line
            news = running != self._last_text
            if running and quiet_for > (PLAIN_SECONDS if news else 6 * PLAIN_SECONDS):
                self._last_text = running
                self._print(f"{self.eta.share:4.0%} {self._left()}  {running}")
        elif self._total is not None:
            tail = f"{self.eta.ended} done  {self._left()}"
            self._progress.update(self._total, completed=self.eta.share, tail=tail)

    def looked(self, findings: Sequence[str]) -> None:
        """See ``Observer``."""
        if not self.quiet:
            for finding in findings:
                self._print(finding)

    def _tell_estimate(self) -> None:
        """Once, as soon as enough was seen to say how long it takes."""
        left = None if self._estimated else self.eta.seconds_left()
        if left is not None:
            self._estimated = True
            if left >= LONG_SECONDS:
                self._print(f"about {seconds(left)} for {self.eta.runs} runs")

    # -- inside -------------------------------------------------------------------------------

    def _trained(self, run: PlannedRun, name: str, event: Any) -> None:
        losses = self._losses.setdefault(run.folder, [])
        loss = event.loss if isinstance(event, events.Progress) else event.train_loss
        if loss is not None:
            losses.append(loss)
        tail = f"{sparkline(losses[-60:], SPARK_WIDTH):>{SPARK_WIDTH}}" if losses else ""
        if loss is not None and self.console.width >= NARROW:
            tail += f" loss {loss:.3f}"
        if isinstance(event, events.Evaluated):
            self._texts[run.folder] = f"{name} {100 * event.val_accuracy:.1f}%"
        accuracy = self._texts.get(run.folder, "").removeprefix(name)
        if not self.plain and run.folder in self._tasks:
            self._progress.update(
                self._tasks[run.folder], completed=event.step, tail=f"{tail} val{accuracy}"
            )

    def _ended(self, run: PlannedRun, name: str, event: events.Event) -> None:
        if isinstance(event, events.Diverged):
            self._print(f"{name}: diverged at step {event.step}")
            self._diverged.add(run.folder)
            return
        diverged = run.folder in self._diverged
        if self.plain and isinstance(event, events.Finished) and not diverged:
            self._print(f"{self._texts.get(run.folder, name)}  finished, step {event.step}")
        if isinstance(event, events.Failed):
            self._print(f"{name}: failed: {event.reason}")
        self._texts.pop(run.folder, None)
        self._losses.pop(run.folder, None)
        if run.folder in self._tasks:
            self._progress.remove_task(self._tasks.pop(run.folder))

    def _left(self) -> str:
        left = self.eta.seconds_left()
        if left is None:
            return ""
        return f"{seconds(left)} left" if left >= 1 else "finishing"

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(text, markup=False, overflow="ignore", crop=False, soft_wrap=True)

    def _bars(self) -> Progress:
        width = self.console.width
        bar = BarColumn(bar_width=None if width >= WIDE else 12)
        whole = Column(no_wrap=True)
        columns: list[ProgressColumn] = [
            _Name(table_column=whole.copy()),
            *([bar] if width >= NARROW else []),
            TextColumn("{task.percentage:>3.0f}%", table_column=whole.copy()),
            TextColumn("{task.fields[tail]}", markup=False, table_column=whole.copy()),
        ]
        return Progress(*columns, console=self.console, expand=width >= WIDE)


class _Inset:
    """Leaves the terminal's last columns free: a ^C that is echoed behind a full line would wrap,
    and the lines could not be cleared.
    """

    def __init__(self, progress: Progress):
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Constrain(self.progress, max(1, options.max_width - 3))
