"""What a number of seeds can find, and how many a difference needs, before anything is trained.

Neither pandas nor scipy here: ``validate`` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.analysis.power import detectable_effect, look_seeds, needed_seeds, share_of_look
from normbench.report.wording import counted

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.plan import PlannedRun

POWER = 0.8

UNITS = {
    "auc": "of the area under the validation curve",
    "val_accuracy": "of validation accuracy",
    "test_accuracy": "of test accuracy",
    "steps_to_target": "steps to the target",
}


def family(experiment: ExperimentConfig) -> int:
    """How many comparisons with the baseline share the 5 %: norms times sweep points."""
    return (len(experiment.labels) - 1) * len(experiment.sweep_points())


def finds(experiment: ExperimentConfig, sd: float | None = None) -> str:
    """What the experiment's seeds can find, in a sentence; empty where nothing is compared.

    sd: of the paired difference in the judged metric, where runs tell it.
    """
    comparisons = family(experiment)
    if not comparisons:
        return ""
    first, most = len(experiment.first_seeds), len(experiment.seed_list)
    against = f"with {experiment.baseline}" if comparisons == 1 else f"({comparisons} comparisons)"
    need = needed_seeds(comparisons)
    if most < need:
        return (
            f"{counted(most, 'seed')} can give no verdict {against}, {need} can: then a "
            f"difference of {_size(experiment, need, sd)} is found in 80 % of experiments; "
            "`normbench plan` tells how many a difference needs"
        )
    alpha = 0.05 * share_of_look(most, _looks(experiment))
    seeds = counted(most, "seed") if first == most else f"{first} to {most} seeds"
    return (
        f"{seeds} find a difference of {_size(experiment, most, sd, alpha)} in 80 % of "
        f"experiments {against}; `normbench plan` tells how many a smaller one needs"
    )


def oddities(
    experiment: ExperimentConfig, plan: Sequence[PlannedRun], dataset: Dataset | None
) -> list[str]:
    """What can be trained and is hardly meant, a sentence each. dataset: where it is known.

    A budget in epochs has no length where the images are not known.
    """
    from normbench.training.budget import total_steps

    remarks = []
    if len(experiment.labels) == 1:
        remarks.append(f"{experiment.labels[0]} alone is compared with nothing: add another norm")
    if dataset is not None and (altered := experiment.data.source().altered()):
        remarks.append(altered)
    steps: dict[int, int] = {}  # cadence -> the smallest budget under it
    for config in {repr((run.sweep_point, run.tuned)): run.config for run in plan}.values():
        cadence, budget = config.training.evaluate_every, config.training.steps
        if budget is None and dataset is not None:
            budget = total_steps(config, dataset.examples(config.data.validation))
        if cadence is not None and budget is not None and cadence > budget:
            steps[cadence] = min(budget, steps.get(cadence, budget))
    remarks += [
        f"with an evaluation every {counted(cadence, 'step')} and a budget of "
        f"{counted(budget, 'step')} only the start and the end are evaluated; "
        "training.evaluations=20 fits any budget"
        for cadence, budget in steps.items()
    ]
    return remarks


def _looks(experiment: ExperimentConfig) -> tuple[int, ...]:
    """The numbers of seeds at which a norm can end; none where the seeds are fixed."""
    first, last = len(experiment.first_seeds), len(experiment.seed_list)
    step = getattr(experiment.seeds, "step", 0)
    return look_seeds(first, last, step) if step else ()


def _size(experiment: ExperimentConfig, seeds: int, sd: float | None, alpha: float = 0.05) -> str:
    """The smallest effect found with 80 % power, in sd and where that is known in the unit."""
    effect = detectable_effect(seeds, family(experiment), alpha, POWER)
    text = f"{effect:.2g} sd of the paired difference"
    if sd is None:
        return text
    return f"{in_unit(effect * sd, experiment.verdict.metric)} ({text})"


def in_unit(value: float, metric: str) -> str:
    """0.005 as 0.50 points of validation accuracy; 0.005 of the area; 50 steps to the target."""
    if metric == "steps_to_target":
        return f"{value:.3g} {UNITS[metric]}"
    if metric == "auc":
        return f"{value:.2g} {UNITS[metric]}"
    return f"{100 * value:.2g} percentage points {UNITS[metric]}"
