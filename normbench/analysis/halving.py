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

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from normbench.analysis.groups import norm_codes, require, sweep_points
from normbench.analysis.sequential import ENDED_STATES
from normbench.analysis.tuning import best_first, sensitivity
from normbench.conventions import HALVING_LEFT as LEFT
from normbench.conventions import Rung, rungs


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
    place = norm_codes(outcome, norms)
    found = {}
    for at, values in enumerate(points.to_numpy(dtype=object).tolist() if keys else [[]]):
        for index, norm in enumerate(norms):
            own = outcome[(place == index) & ((code == at) if keys else True)]
            found[norm, tuple(values)] = _search(own, norm, grid, seeds, metric, target)
    return found


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
