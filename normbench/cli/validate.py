"""normbench validate: is this config right?"""

from __future__ import annotations

import typer

from normbench.cli import options

NAME = "validate"


def command(
    config: options.NeededConfig,
    set_: options.Set = [],  # noqa: B006 - typer's way to say none
    sweep: options.Sweep = [],  # noqa: B006
    data_dir: options.DataDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a config and report all its mistakes at once, without training anything.

    Also against its data, where that is here; nothing is downloaded.
    """
    from normbench.api import load_config
    from normbench.cli.output import print_json
    from normbench.components import is_reference
    from normbench.data import at_hand
    from normbench.execution.fit import check_fit
    from normbench.plan import expand
    from normbench.report.design import finds, oddities

    experiment = load_config(config, overrides=set_, sweeps=sweep)
    plan = expand(experiment)
    data = experiment.data
    dataset = at_hand(data.dataset, data_dir=data_dir, options=data.options())
    if dataset is not None:
        check_fit(plan, dataset, here=False)
    kinds = [experiment.model.kind, *(norm.kind for norm in experiment.norms)]
    notes = [f"ran the code of {kind}" for kind in kinds if is_reference(kind)]
    notes += oddities(experiment, plan, dataset)
    if dataset is None:
        notes.append(
            f"{data.dataset} is not prepared yet: whether it is large enough, training will tell"
        )
    if told := finds(experiment):
        notes.append(told)
    if json:
        report = {"config": config, "experiment": experiment.name, "runs": len(plan)}
        norms = {"norms": experiment.labels, "seeds": experiment.seed_list}
        print_json({**report, **norms, "notes": notes})
    elif not quiet:
        typer.echo(f"{config}: valid, {len(plan)} runs ({', '.join(experiment.labels)})")
        for note in notes:
            typer.echo(f"note: {note}", err=True)
