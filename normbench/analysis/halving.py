"""The search for a norm's own best value by successive halving (Jamieson & Talwalkar 2016,
arXiv:1502.07943).

Every value is tried on a few seeds, the better half of them on more, and so on. What grows from
rung to rung is the number of seeds, not the length of a run, so that every run is an ordinary one
at the whole budget under the schedule of the config, and pairs with every other run of its seed.
Each norm has its own search, over the same grid and at the same number of runs.

The search ends with ``LEFT`` values and not with one, for the last choice is the one that a few
seeds get wrong: two neighbours on a grid differ by little. Both go into the comparison of the
norms, which leaves a norm in as long as either of them may be best. Measured with invented
accuracies, four norms, seven values, neighbours 0.3 to 1.5 standard deviations apart: see
``tests/analysis/test_halving.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from normbench.analysis.groups import norm_codes, require, sweep_points
from normbench.analysis.sequential import ENDED_STATES, FEWEST_PAIRS
from normbench.analysis.tuning import best_first, sensitivity
from normbench.constants import HALVING_LEFT as LEFT
from normbench.constants import Rung, rungs

GRIDS = (7, 5, 3)
"""Numbers of values, the first that can be afforded."""

TUNE_SEEDS, FEWEST_TUNE_SEEDS = 6, 4
"""A norm as good as the others goes where its best value is not among the two that are left; where
it is, in 1 % of races. With four seeds seven values miss it in 14 % of searches (neighbours 0.6
standard deviations apart), and it went in 5.5 % of experiments of two norms; with six in 3.6 %."""

FIRST, MOST, STEP = 8, 32, 4
"""Seeds of the race at its first look, at its last at most, and between two."""


@dataclass(frozen=True)
class Search:
    """Where the search of one norm stands at one sweep point.

    values: those still in, the best first by the last complete rung, before it in the order of the
    grid. seeds: how many tuning seeds each of them should have. ended: whether they are the ones
    that are left; without any outcome then none.
    """

    values: tuple[float, ...]
    seeds: int
    ended: bool


def runs_of_a_norm(steps: Sequence[Rung]) -> int:
    """The runs that one norm's search takes, the same for every norm."""
    before = [0, *(rung.seeds for rung in steps)]
    return sum(rung.values * (rung.seeds - had) for rung, had in zip(steps, before, strict=False))


def searches(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    keys: Sequence[str],
    *,
    grid: Sequence[float],
    seeds: Sequence[int],
    metric: str,
    target: float,
) -> dict[tuple[str, tuple[object, ...]], Search]:
    """(norm, values of the sweep keys) -> where its search stands, replayed from the outcomes.

    outcome: rows of ``convergence.outcomes`` for the primary ``target`` over the tuning runs, with
    the value of each in ``tuned``. grid: the values, as the config lists them; seeds: the tuning
    seeds in their order; metric: the one that is judged. A rung is complete when every value that
    is still in has ended on each of its seeds; a run that failed is missing for good, and a value
    without any outcome goes first. The same outcomes give the same searches, whatever other runs
    there are.
    """
    require(outcome, ["norm", "seed", "tuned", "state"], "outcomes")
    code, points = sweep_points(outcome, keys)
    norm_code = norm_codes(outcome, norms)
    standing = {}
    for at, values in enumerate(points.to_numpy(dtype=object).tolist() if keys else [[]]):
        for index, norm in enumerate(norms):
            own = outcome[(norm_code == index) & ((code == at) if keys else True)]
            standing[norm, tuple(values)] = _search(own, norm, grid, seeds, metric, target)
    return standing


def _search(
    own: pd.DataFrame,
    norm: str,
    grid: Sequence[float],
    seeds: Sequence[int],
    metric: str,
    target: float,
) -> Search:
    """The search of one norm at one sweep point, from its outcomes."""
    left = list(grid)
    for rung in rungs(len(grid), len(seeds)):
        here = own[own["seed"].isin(seeds[: rung.seeds]) & own["tuned"].isin(left)]
        ended = here[here["state"].isin(ENDED_STATES)]
        if len(ended) < len(left) * rung.seeds:
            return Search(tuple(left), rung.seeds, ended=False)
        table = sensitivity(ended, [], [norm], target=target)
        ranked = best_first(table, metric)["tuned"].tolist()
        if not ranked:
            return Search((), rung.seeds, ended=True)
        most = max(-(-len(left) // 2), LEFT)
        left = ranked[:most]
    return Search(tuple(left), rung.seeds, ended=True)


@dataclass(frozen=True)
class Design:
    """A whole search and race, fixed before the first run.

    values, tune_seeds: of the grid; 0 and 0 where a budget affords no search. start, to, step:
    seeds of the race, at the first look, at the last, and between two; ``to`` is ``start`` where
    there is one look alone.
    """

    values: int
    tune_seeds: int
    start: int
    to: int
    step: int = STEP

    @property
    def contenders(self) -> int:
        """How many contenders of a norm race."""
        return min(self.values, LEFT) if self.tune_seeds else 1

    @property
    def runs(self) -> tuple[int, int]:
        """The runs a norm takes up to the first look, and if its contenders stay to the end."""
        search = runs_of_a_norm(rungs(self.values, self.tune_seeds)) if self.tune_seeds else 0
        return search + self.contenders * self.start, search + self.contenders * self.to


def design(runs: int, norms: int, grid: int | None = None) -> Design | None:
    """The best design that so many runs afford; None where they afford no comparison.

    The richest search that leaves enough for a first look; then as long a race as there are runs
    for if half of the contenders go at that look, as they do where most differ clearly. More of
    them use the runs up sooner, and a race that ends early has spent less of its alpha, never more.
    Where all of them could not come to a second look, there is one, which has all of alpha.

    norms: how many are compared. grid: the number of values, where the grid is given.
    """
    for values, tune_seeds, start in _searches(grid):
        once = Design(values, tune_seeds, start, start)
        spare = (runs // norms - once.runs[0]) // once.contenders
        if 0 <= spare < STEP:
            return replace(once, start=start + spare, to=start + spare)
        if spare >= STEP:
            return replace(once, to=min(start + 2 * spare // STEP * STEP, MOST))
    return None


def _searches(grid: int | None) -> Iterator[tuple[int, int, int]]:
    """(values, tuning seeds, seeds of the first look), the richest first; at last no search."""
    grids = GRIDS if grid is None else (grid,)
    for values in grids:
        yield values, TUNE_SEEDS, FIRST
    for start in (FIRST, FEWEST_PAIRS):
        yield grids[-1], FEWEST_TUNE_SEEDS, start
    for start in (FIRST, FEWEST_PAIRS):
        yield 0, 0, start
