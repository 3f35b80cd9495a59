"""normbench show: a config with every default written out."""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import options

NAME = "show"


def command(
    config: Annotated[str, typer.Argument(help="A YAML file or the name of a bundled config.")],
    set_: options.Set = [],  # noqa: B006
    json: options.Json = False,
) -> None:
    """Show a config as normbench understands it, every default written out."""
    import yaml

    from normbench.api import load_config
    from normbench.store.files import to_json

    resolved = load_config(config, overrides=set_).resolved()
    if json:
        typer.echo(to_json(resolved))
    else:
        typer.echo(yaml.safe_dump(resolved, sort_keys=False), nl=False)
