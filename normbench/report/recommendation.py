"""What a recommendation says besides its experiment's answer: what was afforded, what is open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.analysis.halving import FEWEST_PAIRS, FEWEST_TUNE_SEEDS, GRIDS, Design
from normbench.analysis.rule import UNDECIDED
from normbench.plain import shown
from normbench.report.answer import answer, to_dict
from normbench.report.setup_facts import as_yaml
from normbench.report.wording import counted, joined, quoted
from normbench.results.experiment import ExperimentResult
from normbench.store.files import reported, write_atomically

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.execution.recommend import Purse

CONFIG = "recommend.yaml"


@dataclass(frozen=True)
class Recommendation:
    """Which norm to use, and how far the budget went.

    comparison: the experiment, whose answer it is. budget, spent: in words. open: what more budget
    would decide, a sentence each. config: the YAML that reproduces the comparison, and path: where
    it stands.
    """

    comparison: ExperimentResult
    budget: str
    spent: str
    open: tuple[str, ...]
    config: str
    path: Path

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer, the first one which norm to use; empty before the norms were compared."""
        return answer(self.comparison).sentences if compared(self.comparison) else ()

    @property
    def after(self) -> tuple[str, ...]:
        """What stands below the answer: what is open, what was spent, what reproduces it."""
        again = f"`normbench train {self.path}` reproduces this comparison."
        return (*self.open, f"Spent: {self.spent} of {self.budget}. {again}")

    def to_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        comparison = self.comparison
        tables = (
            to_dict(comparison, answer(comparison))
            if compared(comparison)
            else {"experiment": comparison.name}
        )
        more = {"budget": self.budget, "spent": self.spent, "open": list(self.open)}
        return {**tables, "recommendation": {**more, "config": str(self.path)}}

    def __repr__(self) -> str:
        from normbench.report import brief

        parts = [brief.as_text(self.comparison)] if compared(self.comparison) else []
        return "\n".join([*parts, *self.after])

    def _repr_html_(self) -> str:
        from html import escape

        from normbench.report import brief

        first = brief.as_html(self.comparison) if compared(self.comparison) else ""
        return first + "".join(f"<p>{escape(shown(text))}</p>" for text in self.after)


def compared(comparison: ExperimentResult) -> bool:
    """Whether any run has ended that the answer could rest on."""
    return bool(comparison.reported.results.runs["state"].isin(("finished", "diverged")).any())


def plan_text(experiment: ExperimentConfig, purse: Purse) -> str:
    """What is going to be done within the budget, in a sentence or two."""
    tune = experiment.tune
    race = f"{len(experiment.first_seeds)} to {len(experiment.seed_list)} seeds"
    if len(experiment.first_seeds) == len(experiment.seed_list):
        race = f"{len(experiment.seed_list)} seeds"
    if tune is None:
        how = f"no search, every norm at the config's own learning rate under {race}"
    else:
        values = ", ".join(f"{value:g}" for value in tune.values)
        how = f"each norm's own best {tune.key} of {values} by halving, then a race under {race}"
    return f"within {purse.budget.text}: {how}"


def of(comparison: ExperimentResult, purse: Purse) -> Recommendation:
    """The recommendation that an experiment has come to; writes its config into its folder."""
    text, _ = as_yaml(comparison)
    path = comparison.results.path / CONFIG
    head = f"# What `normbench recommend` compared within {purse.budget.text}.\n\n"
    with reported(path, "write"):
        write_atomically(path, head + text)
    return Recommendation(
        comparison,
        _amount(purse, purse.budget.amount),
        _amount(purse, purse.spent),
        tuple(_open(comparison, purse)),
        text,
        path,
    )


def _open(comparison: ExperimentResult, purse: Purse) -> list[str]:
    sentences = []
    if purse.refused:
        where = "the next look" if compared(comparison) else "the first comparison"
        sentences.append(
            f"The budget does not reach {where}, which takes {counted(purse.refused, 'run')} more"
            f"{_price(purse, purse.refused)}: the same command with a larger --budget goes on."
        )
    if not compared(comparison):
        return sentences
    best = comparison.judged.best_set
    leader = best.iloc[0]["norm"]
    unsure = best[best["verdict"].str.startswith(UNDECIDED) & best["more_seeds"].notna()]
    for row in unsure.to_dict("records"):
        number = int(row["more_seeds"])
        sentences.append(
            f"To tell {quoted(row['norm'])} from {quoted(leader)} takes about "
            f"{counted(number, 'seed')} more{_price(purse, 2 * number)}, if they differ by what "
            "was measured."
        )
    if len(unsure) and not purse.refused:
        sentences.append(
            "The seeds that were fixed beforehand are used up; more of them are another "
            "experiment: a larger --budget with --set name=..."
        )
    if comparison.tuned_key is None:
        norms = len(comparison.reported.norms)
        least = norms * Design(GRIDS[-1], FEWEST_TUNE_SEEDS, FEWEST_PAIRS, FEWEST_PAIRS).runs[0]
        sentences.append(
            "No learning rates were searched, so this holds at the rate of the config: a search "
            f"takes {least} runs or more{_price(purse, least)}."
        )
    else:
        ends = comparison.choices[comparison.choices["at_edge"] != ""]
        if len(ends):
            names = joined([quoted(str(norm)) for norm in ends["norm"]])
            sentences.append(
                f"A grid that goes on beyond its ends could find a better {comparison.tuned_key} "
                f"for {names}: list one under tune in the config."
            )
    return sentences or ["Nothing is open that more budget would decide."]


def _price(purse: Purse, runs: int) -> str:
    """What so many runs cost beside their number; empty where runs are what is counted."""
    cost = runs * purse.each
    if purse.budget.runs or math.isnan(cost):
        return ""
    return f" (about {_amount(purse, cost)})"


def _amount(purse: Purse, amount: float) -> str:
    if purse.budget.runs:
        return counted(int(amount), "run")
    return f"{amount / 60:.1f} core-minutes" if amount >= 60 else f"{amount:.0f} core-seconds"
