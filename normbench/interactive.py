"""What a script or a notebook gets: the façade, and someone who looks on while it works.

``api`` is silent and leaves it to its caller to look at what failed, as the command line does.
Here a bar is shown where somebody sees it, and nothing fails without a word.
"""

from __future__ import annotations

import functools
import signal
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from normbench import api, recommending
from normbench.errors import RunsFailed
from normbench.report import brief
from normbench.report.answer import answer, to_dict
from normbench.results import load as reading
from normbench.results.experiment import ExperimentResult

if TYPE_CHECKING:
    import pandas as pd

    from normbench.execution import Outcome
    from normbench.progress.bar import NotebookBar
    from normbench.progress.live import Display
    from normbench.report.recommendation import Recommendation

P = ParamSpec("P")

SHOWN_REASONS = 5


class RunsFailedWarning(UserWarning):
    """Some runs of an experiment have no result."""


class Result(ExperimentResult):
    """What ``train``, ``compare`` and ``load`` give a script or a notebook.

    The tables of ``ExperimentResult``; printed or shown, its sentences and first tables.
    """

    @property
    def table(self) -> pd.DataFrame:
        """The first table as the terminal prints it: texts, a row a norm."""
        return brief.table(self)

    def to_dict(self, *, all_pairs: bool = False) -> dict[str, Any]:
        """The object that ``--json`` prints, with ``verdict``: see ``report.answer``."""
        return to_dict(self, answer(self), all_pairs=all_pairs)

    def __repr__(self) -> str:
        return brief.as_text(self)

    def _repr_html_(self) -> str:
        return brief.as_html(self)


def train_visibly(train: Callable[P, ExperimentResult]) -> Callable[P, Result]:
    """``api.train`` for a caller who sees what it does and hears what went wrong.

    Without a ``watch`` of the caller's a bar is shown in a notebook or a terminal, and nothing
    elsewhere; the runs that failed are warned of, or, if no run has a result, raised as RunsFailed.
    Interrupted, it stops in good order and then raises what the signal means: KeyboardInterrupt, or
    SystemExit for SIGTERM.
    """

    @functools.wraps(train)
    def visibly(*args: P.args, **kwargs: P.kwargs) -> Result:
        if kwargs.get("watch") is not None:
            result = train(*args, **kwargs)
            return Result(result.results, result.outcome)
        with onlooker() as shown:
            callbacks: dict[str, Any] = {"progress": shown.loading, "note": shown.note}
            more: Any = {**callbacks, **kwargs, "watch": shown}
            result = train(*args, **more)
        assert result.outcome is not None
        tell(result.name, result.outcome)
        return Result(result.results, result.outcome)

    return visibly


def tell(name: str, outcome: Outcome) -> None:
    """Say what went wrong: see ``train_visibly``."""
    if outcome.stopped:
        if outcome.signal == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        raise KeyboardInterrupt(f"{name!r} stopped in good order; the same call continues it")
    if not outcome.failed:
        return
    ended = outcome.finished + outcome.diverged + outcome.skipped
    lines = [f"{run.folder}: {reason}" for run, reason in outcome.failed[:SHOWN_REASONS]]
    if len(outcome.failed) > SHOWN_REASONS:
        lines.append(f"and {len(outcome.failed) - SHOWN_REASONS} more")
    text = f"{len(outcome.failed)} of {ended + len(outcome.failed)} runs of {name!r} failed"
    message = "\n    ".join([text, *lines])
    if not ended:
        raise RunsFailed(message)
    warnings.warn(message, RunsFailedWarning, stacklevel=3)


def onlooker() -> Display | NotebookBar:
    """A bar in the notebook's cell or in the terminal; outside of both it shows only notes."""
    if in_notebook():
        from normbench.progress.bar import NotebookBar

        return NotebookBar()
    from normbench.progress.live import Display

    return Display(quiet=not sys.stderr.isatty())


def in_notebook() -> bool:
    """Whether what is displayed appears in a notebook's cell: IPython alone is a terminal."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython(), "kernel") if ipython else False


@functools.wraps(reading.compare)
def compare(*args: Any, **kwargs: Any) -> Result:
    """See ``normbench.results.load.compare``."""
    return Result(reading.compare(*args, **kwargs).results)


@functools.wraps(reading.load)
def load(*args: Any, **kwargs: Any) -> Result:
    """See ``normbench.results.load.load``."""
    return Result(reading.load(*args, **kwargs).results)


@functools.wraps(recommending.recommend)
def recommend(*args: Any, **kwargs: Any) -> Recommendation:
    """See ``normbench.recommending.recommend``; it is seen and heard as ``train_visibly`` says."""
    if kwargs.get("watch") is not None:
        return recommending.recommend(*args, **kwargs)
    with onlooker() as shown:
        callbacks: dict[str, Any] = {"progress": shown.loading, "note": shown.note}
        callbacks["say"] = lambda _, what: shown.note(what)
        recommendation = recommending.recommend(*args, **{**callbacks, **kwargs, "watch": shown})
    assert recommendation.comparison.outcome is not None
    tell(recommendation.comparison.name, recommendation.comparison.outcome)
    return recommendation


train = train_visibly(api.train)
