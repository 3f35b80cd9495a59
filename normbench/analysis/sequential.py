"""Seeds in steps: looks fixed beforehand, and what each of them decides.

Every look is an ordinary comparison at its own alpha, and the alphas sum to that of the experiment,
so whatever the looks do to one another, the best norm is eliminated at any of them in at most 5 %
of experiments, and so with a false ``similar`` (Bonferroni; alpha spending: Lan & DeMets 1983,
Biometrika 70:659). Measured over 2,000 experiments each: ``tests/analysis/test_sequential.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.equality import equality, smallest_p
from normbench.analysis.groups import OUTCOME_STATES, failed_to_learn, norm_codes
from normbench.analysis.intervals import shift, shift_interval, student_interval
from normbench.analysis.power import look_seeds
from normbench.analysis.rule import METRICS, Metric, VerdictRule

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ENDED_STATES = (*OUTCOME_STATES, "failed")
"""A failed run has no outcome and gets none by waiting: the race goes on without that seed."""

FEWEST_PAIRS = 6
"""Below, Student's interval covers too little wherever the differences are not normal."""


@dataclass(frozen=True)
class Looks:
    """A design fixed beforehand.

    seeds: how many seeds a norm that still races has at each look, ascending.
    alpha: what each look may spend; they sum to at most the experiment's alpha.
    """

    seeds: tuple[int, ...]
    alpha: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seeds or len(self.seeds) != len(self.alpha):
            raise ValueError("every look has its seeds and its alpha")
        if any(b <= a for a, b in zip(self.seeds, self.seeds[1:], strict=False)):
            raise ValueError(f"looks must have more seeds each: {self.seeds}")


@dataclass(frozen=True)
class Race:
    """Where a sequential comparison stands at one sweep point.

    look: index of the last look whose data are complete; -1 before the first.
    racing: norms that still may be best, in the order given.
    need: norm -> seeds it should have before the next look, or has for good.
    ended: "" while it goes on, else "one left", "similar" or "at the last look".
    """

    look: int
    racing: tuple[str, ...]
    need: dict[str, int]
    ended: str


def sequential(start: int, to: int, step: int, alpha: float = 0.05) -> Looks:
    """Looks after ``start`` seeds, then after every ``step`` more, the last one at ``to``.

    The first look gets a fifth of alpha, for most norms differ clearly and go there; the last three
    tenths, since it has the most to say; those between share the rest. With two norms and 8 seeds
    the smallest p is 0.0078, which a first look at 0.01 can reach and an even share of seven looks
    (0.0071) could not.
    """
    if not (start >= 1 and step >= 1 and to >= start):
        raise ValueError(f"cannot look from {start} to {to} seeds in steps of {step}")
    seeds = look_seeds(start, to, step)
    if len(seeds) == 1:
        return fixed(to, alpha)
    if len(seeds) == 2:
        return Looks(seeds, (0.4 * alpha, 0.6 * alpha))
    between = [0.5 * alpha / (len(seeds) - 2)] * (len(seeds) - 2)
    return Looks(seeds, (0.2 * alpha, *between, 0.3 * alpha))


def fixed(seeds: int, alpha: float = 0.05) -> Looks:
    """One look."""
    return Looks((seeds,), (alpha,))


@dataclass
class RacedRuns:
    """The runs of one sweep point. All arrays are [S, k]: seeds in their order, norms.

    scores: higher is better; NaN without an outcome, -inf for a miss. known: the run has ended.
    lost: it failed to learn (``groups.failed_to_learn``).
    """

    scores: Floats
    known: Flags
    lost: Flags


@dataclass
class Gap:
    """A norm less the leader, higher is better: difference, interval, or why there is none."""

    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    interval: str = "no pairs"
    pairs: int = 0
    informative: int = 0
    sd: float = np.nan

    def within(self, margin: float) -> bool:
        """Whether the interval lies inside the margin; False without one."""
        return self.interval == "simultaneous" and -margin <= self.low and self.high <= margin


@dataclass
class Standing:
    """What the looks so far have decided at one point; norms are positions.

    decided: norm -> look at which it was eliminated; p_value [k]: of the model confidence set, NaN
    for a norm without an outcome; order: norms from the leader to the first eliminated; family:
    pairs of norms compared at each look.
    """

    look: int = -1
    racing: list[int] = field(default_factory=list)
    decided: dict[int, int] = field(default_factory=dict)
    p_value: Floats = field(default_factory=lambda: np.empty(0))
    order: list[int] = field(default_factory=list)
    family: list[int] = field(default_factory=list)
    gaps: dict[int, Gap] = field(default_factory=dict)
    ended: str = ""


def replay(runs: RacedRuns, rule: VerdictRule, looks: Looks, points: int = 1) -> Standing:
    """Repeat every look whose runs have ended, each at its alpha over the number of ``points``."""
    metric = METRICS[rule.metric]
    count = runs.scores.shape[1]
    standing = Standing(racing=list(range(count)), p_value=np.full(count, np.nan))
    out: list[int] = []  # the first eliminated first
    for look, (seeds, share) in enumerate(zip(looks.seeds, looks.alpha, strict=True)):
        if seeds > len(runs.scores) or not runs.known[:seeds, standing.racing].all():
            break
        scores = runs.scores[:seeds]
        racing = [norm for norm in standing.racing if not np.isnan(scores[:, norm]).all()]
        standing.look = look
        standing.family.append(max(len(racing) * (len(racing) - 1) // 2, 1))
        rest, ranking = _eliminate(scores, racing, metric, share / points, standing, look, out)
        standing.racing = rest
        standing.order = [*ranking, *reversed(out)]
        if not rest:
            break
        alpha = share / points / standing.family[-1]
        standing.gaps = {
            norm: gap(runs, norm, ranking[0], seeds, metric, alpha) for norm in ranking[1:]
        }
        margin = margin_of(rule, scores[:, ranking[0]])
        if len(rest) == 1:
            standing.ended = "one left"
        elif all(difference.within(margin) for difference in standing.gaps.values()):
            standing.ended = "similar"
        elif look == len(looks.seeds) - 1:
            standing.ended = "at the last look"
        if standing.ended:
            break
    return standing


def _eliminate(
    scores: Floats,
    racing: list[int],
    metric: Metric,
    alpha: float,
    standing: Standing,
    look: int,
    out: list[int],
) -> tuple[list[int], list[int]]:
    """One look: the norms that are left, and those from the leader down.

    Goes on after the last elimination to rank the rest and to give them their p-values, which are
    the largest so far: a norm is in the set at every level below its own.
    """
    left, rest, ranking = list(racing), list(racing), []
    running, deciding = 0.0, True
    while len(left) > 1:
        common = ~np.isnan(scores[:, left]).any(axis=1)
        if not common.any():
            # No seed of all: the one with the fewest outcomes stands aside, undecided.
            worst, p = min(left, key=lambda norm: (~np.isnan(scores[:, norm])).sum()), 1.0
        else:
            tested = equality(scores[common][:, left], ranked=metric.ranked, alpha=alpha)
            worst, p = left[tested.worst], tested.p_value
        running = max(running, p)
        standing.p_value[worst] = running
        deciding = deciding and running <= alpha
        left.remove(worst)
        if deciding:
            rest.remove(worst)
            standing.decided[worst] = look
            out.append(worst)
        else:
            ranking.append(worst)
    for norm in left:
        standing.p_value[norm] = 1.0
    return rest, [*left, *reversed(ranking)]


def gap(runs: RacedRuns, norm: int, leader: int, seeds: int, metric: Metric, alpha: float) -> Gap:
    """A norm less the leader over the seeds that both have, with its interval at ``alpha``."""
    own, best = runs.scores[:seeds, norm], runs.scores[:seeds, leader]
    both = ~np.isnan(own) & ~np.isnan(best)
    own, best = own[both], best[both]
    with np.errstate(invalid="ignore"):
        d = np.where(own == best, 0.0, own - best)
    measured = Gap(pairs=len(d), informative=int((d != 0).sum()))
    if not len(d):
        return measured
    measured.difference = float(shift(d[None])[0] if metric.ranked else d.mean())
    if len(d) > 1 and np.isfinite(d).all():
        measured.sd = float(d.std(ddof=1))
    lost = runs.lost[:seeds][both][:, [norm, leader]]
    mixed = lost.any() and len({tuple(way) for way in lost.tolist()}) > 1
    if len(d) < FEWEST_PAIRS:
        measured.interval = f"needs {FEWEST_PAIRS} pairs"
    elif not measured.informative:
        measured.interval = "no pair differs"
    elif (d == d[0]).all() or measured.sd <= 1e-12 * np.abs(d).max():
        measured.interval = "all pairs differ by the same amount"
    elif mixed and not metric.ranked:
        number = int(lost.any(axis=1).sum())
        measured.interval = f"{number} of {len(d)} pairs hold a run that failed to learn"
    else:
        interval = shift_interval if metric.ranked else student_interval
        low, high = (float(end[0]) for end in interval(d[None], alpha))
        if low == high or (np.isinf(low) and np.isinf(high)):
            measured.interval = "too many ties or misses"
        else:
            measured.low, measured.high, measured.interval = low, high, "simultaneous"
    return measured


def margin_of(rule: VerdictRule, leader: Floats) -> float:
    """What counts as similar to the leader, in the metric's unit; in steps a share of its median.

    leader: its scores, where higher is better. NaN where its median run missed.
    """
    if not METRICS[rule.metric].ranked:
        return rule.similar_within
    median = -float(np.median(leader[~np.isnan(leader)]))
    return rule.similar_within * median if np.isfinite(median) else np.nan


def needed_for(norms: int, alpha: float) -> int:
    """The fewest seeds at which ``norms`` norms can be told apart at ``alpha``."""
    seeds = 1
    while smallest_p(seeds, norms) > alpha:
        seeds += 1
    return seeds


def raced_runs(
    outcome: pd.DataFrame, norms: Sequence[str], metric: Metric, order: Sequence[int]
) -> RacedRuns:
    """The runs of one sweep point and target, laid out by seed and norm."""
    norm = norm_codes(outcome, norms)
    seed = pd.Index(list(order)).get_indexer(pd.Index(outcome["seed"]))
    kept = (norm >= 0) & (seed >= 0)
    norm, seed, rows = norm[kept], seed[kept], outcome[kept]
    if len(set(zip(seed.tolist(), norm.tolist(), strict=True))) < len(rows):
        raise ValueError("a norm has two runs with one seed at one point")
    shape = (len(order), len(norms))
    scores, known, lost = np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool)
    values = rows[metric.name].to_numpy(dtype=float, na_value=np.nan)
    scores[seed, norm] = values if metric.higher_is_better else -values
    known[seed, norm] = rows["state"].isin(ENDED_STATES) if "state" in rows else True
    lost[seed, norm] = failed_to_learn(rows)
    return RacedRuns(scores, known, lost)


def race(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    rule: VerdictRule,
    looks: Looks,
    order: Sequence[int],
    points: int = 1,
) -> Race:
    """Replay the looks over the outcomes of one sweep point and target.

    order: the seeds in the order in which they are trained. points: sweep points of the experiment,
    over which the alpha of every look is shared. A look is complete when every norm that races has
    ended (finished, diverged or failed) at each of its seeds; a failed run is missing for good, and
    a norm without any outcome at a look leaves the race. The same outcomes give the same race.
    """
    names = list(norms)
    order = list(order)[: looks.seeds[-1]]
    standing = replay(raced_runs(outcome, names, METRICS[rule.metric], order), rule, looks, points)
    last = standing.look
    need = {}
    for index, name in enumerate(names):
        if index in standing.racing and not standing.ended:
            need[name] = looks.seeds[last + 1]
        else:
            need[name] = looks.seeds[standing.decided.get(index, last)]
    racing = tuple(names[index] for index in sorted(standing.racing))
    return Race(last, racing, need, standing.ended)
