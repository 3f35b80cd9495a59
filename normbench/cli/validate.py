"""normbench validate: is this config right?"""

from __future__ import annotations

import typer

from normbench.cli import options

NAME = "validate"


def command(
    config: options.NeededConfig,
    set_: options.Set = [],  # noqa: B006 - typer's way to say none
    sweep: options.Sweep = [],  # noqa: B006
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a config and report all its mistakes at once, without training anything."""
    from normbench.api import load_config
    from normbench.cli.output import print_json
    from normbench.plan import expand
    from normbench.report.design import finds

    experiment = load_config(config, overrides=set_, sweeps=sweep)
    runs = len(expand(experiment))
    if json:
        found = {"config": config, "experiment": experiment.name, "runs": runs}
        print_json({**found, "norms": experiment.labels, "seeds": experiment.seed_list})
    elif not quiet:
        typer.echo(f"{config}: valid, {runs} runs ({', '.join(experiment.labels)})")
        if told := finds(experiment):
            typer.echo(f"note: {told}", err=True)
