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
    from normbench.analysis.power import needed_seeds
    from normbench.api import load_config
    from normbench.cli.output import print_json
    from normbench.plan import expand

    experiment = load_config(config, overrides=set_, sweeps=sweep)
    runs = len(expand(experiment))
    if json:
        found = {"config": config, "experiment": experiment.name, "runs": runs}
        print_json({**found, "norms": experiment.labels, "seeds": experiment.seed_list})
    elif not quiet:
        typer.echo(f"{config}: valid, {runs} runs ({', '.join(experiment.labels)})")
        seeds, against = len(experiment.seed_list), len(experiment.labels) - 1
        if against and seeds < (needed := needed_seeds(against)):
            note = f"note: {seeds} seeds can give no verdict on {against} norms; {needed} can"
            typer.echo(note, err=True)
