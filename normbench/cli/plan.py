"""normbench plan: how many seeds does it take?"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normbench.cli import options

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

NAME = "plan"

_EFFECT = re.compile(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(pp|%|sd|steps?|)\Z")
_EXAMPLES = "for example  0.5pp  or  0.02  (of an accuracy or the area),  50steps  or  1sd"


def command(
    config: options.NeededConfig,
    effect: Annotated[
        str,
        typer.Option(
            "--effect",
            metavar="0.5pp|0.02|50steps|1sd",
            help="The difference from the baseline that should not be missed: in the metric that "
            "is judged, or in standard deviations of the paired difference.",
        ),
    ] = "1sd",
    set_: options.Set = [],  # noqa: B006
    sweep: options.Sweep = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """Tell how many seeds find a difference of a given size in 80 % of experiments.

    A size in the metric's own unit needs the spread over seeds, which the runs tell that there are
    of this experiment: three seeds give a first idea.
    """
    from normbench.analysis.power import needed_seeds
    from normbench.api import load_config
    from normbench.cli.output import print_json
    from normbench.report.design import family, in_unit

    experiment = load_config(config, overrides=set_, sweeps=sweep)
    size, unit = parse_effect(effect, experiment.verdict.metric)
    comparisons = family(experiment)
    if not comparisons:
        typer.echo("there is one norm only, so nothing is compared", err=True)
        raise typer.Exit(2)
    rows = _rows(experiment, size, unit, results, comparisons)
    seeds = max((row["seeds"] for row in rows if row["seeds"]), default=None)
    if json:
        out: dict[str, Any] = {"experiment": experiment.name, "metric": experiment.verdict.metric}
        out |= {"effect": size, "unit": unit, "power": 0.8, "comparisons": comparisons}
        print_json({**out, "seeds": seeds, "rows": rows})
        return
    shown = f"{size:g} sd" if unit == "sd" else in_unit(size, experiment.verdict.metric)
    floor = f"the floor for {comparisons} comparisons is {needed_seeds(comparisons)}"
    if seeds is None:
        typer.echo(f"no runs of {experiment.name} tell yet how much differences vary over seeds")
        typer.echo("with a few, 3 seeds at least, this says how many are needed; until then:")
        for sd in (2.0, 1.5, 1.0, 0.5):
            typer.echo(f"  {_seeds(sd, comparisons):4} seeds find {sd:g} sd ({floor})")
        return
    typer.echo(
        f"{experiment.name}: {seeds} seeds find a difference of {shown} from "
        f"{experiment.baseline} in 80 % of experiments, for every norm"
    )
    for row in rows:
        if row["norm"] is not None:
            where = "".join(f", {key} {row[key]}" for key in experiment.sweep)
            known = f"sd {row['sd']:.3g} over {row['pairs']} seeds" if row["sd"] else "sd not known"
            need = f"{row['seeds']} seeds" if row["seeds"] else "?"
            typer.echo(f"  {row['norm']}{where}: {need} ({known})")
    typer.echo(f"  ({floor})")


def parse_effect(text: str, metric: str) -> tuple[float, str]:
    """The size and whether it is in "sd" or in the metric's "unit". Raises ConfigError."""
    from normbench.errors import ConfigError, Problem

    match = _EFFECT.match(text.strip().lower())
    steps = metric == "steps_to_target"
    problem, size = "", float(match[1]) if match else 0.0
    match = match if math.isfinite(size) else None
    word = match[2] if match else ""
    if not match:
        problem = f"{text!r} is not the size of a difference"
    elif not size:
        problem = "no number of seeds finds a difference of nothing"
    elif word in ("pp", "%") and steps:
        problem = f"{text!r} is no number of steps, and {metric} is judged"
    elif word.startswith("step") and not steps:
        problem = f"{text!r} are steps, and {metric} is judged"
    elif not steps and word == "" and size >= 1:
        problem = f"{metric} lies between 0 and 1, and so do its differences"
    if problem:
        raise ConfigError([Problem("effect", problem, _EXAMPLES)])
    if word in ("pp", "%"):
        size /= 100
    return size, "sd" if word == "sd" else "unit"


def _rows(
    experiment: ExperimentConfig, size: float, unit: str, results: Any, comparisons: int
) -> list[dict[str, Any]]:
    """A row a sweep point and norm; one without a norm where only the sd counts."""
    from normbench.analysis.spread import paired_sd
    from normbench.execution.experiment import so_far
    from normbench.results.records import records
    from normbench.store import ExperimentStore

    if unit == "sd":
        return [{"norm": None, "pairs": None, "sd": None, "seeds": _seeds(size, comparisons)}]
    earlier = so_far(experiment, ExperimentStore(results, experiment.name))
    if earlier is None:
        return []
    tables = earlier.judged
    table = paired_sd(
        tables.primary, tables.norms, tables.baseline, tables.results.keys, tables.rule.metric
    )
    return [
        {**row, "seeds": _seeds(size / row["sd"], comparisons) if row["sd"] else None}
        for row in records(table)
    ]


def _seeds(effect_sd: float, comparisons: int) -> int | None:
    from normbench.analysis.power import seeds_for

    try:
        return seeds_for(effect_sd, comparisons)
    except OverflowError:
        return None
