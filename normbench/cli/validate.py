"""normbench validate: is this config right?"""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import options

NAME = "validate"


def command(
    config: Annotated[str, typer.Argument(help="A YAML file or the name of a bundled config.")],
    set_: options.Set = [],  # noqa: B006 - typer's way to say none
) -> None:
    """Check a config and report all its mistakes at once, without training anything."""
    from normbench.api import load_config
    from normbench.plan import expand

    experiment = load_config(config, overrides=set_)
    runs = len(expand(experiment))
    typer.echo(f"{config}: valid, {runs} runs ({', '.join(experiment.labels)})")
