"""normbench probe: what passes through the network, without a training run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Optional

import typer

from normbench.cli import options

NAME = "probe"


class Gradient(StrEnum):
    """What is sent backward."""

    loss = "loss"
    independent = "independent"


def command(
    config: options.Config = None,
    set_: options.Set = [],  # noqa: B006
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=1000, help="Networks to measure under each norm.")
    ] = 3,
    steps: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it at run time
        typer.Option(
            "--steps",
            min=1,
            metavar="N",
            help="Train N steps and measure again.",
            show_default=False,
        ),
    ] = None,
    landscape: Annotated[
        bool,
        typer.Option(
            "--landscape",
            help="Also the loss around the weights, at four points of --steps (60 if not given).",
        ),
    ] = False,
    gradient: Annotated[
        Optional[Gradient],  # noqa: UP045
        typer.Option(
            "--gradient",
            help="Sent backward at initialization: the loss's, or numbers drawn independently for "
            "each example, as theory takes them (the default without --steps).",
            show_default=False,
        ),
    ] = None,
    theory: Annotated[
        bool, typer.Option("--theory", help="What theory says of every norm, measuring nothing.")
    ] = False,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
    quiet: options.Quiet = False,
) -> None:
    """Measure how signals and gradients pass through the network, at initialization.

    Growth per layer toward the input, beside theory, and what it means. Nothing is stored.
    """
    from normbench import api
    from normbench.cli.output import print_json
    from normbench.cli.tables import print_sections
    from normbench.progress.live import Display
    from normbench.report.propagation import as_dict, sections

    if theory and (steps is not None or landscape or gradient is not None):
        message = "measures nothing: take it without --steps, --landscape and --gradient"
        raise typer.BadParameter(message, param_hint="--theory")
    told: dict[str, Any] = {"data_dir": data_dir}
    with Display(quiet=quiet) as display:
        told |= {"progress": display.loading, "note": display.note}
        if theory:
            propagation = api.theory(config, overrides=set_, seeds=seeds, **told)
        else:
            propagation = api.probe(
                config,
                overrides=set_,
                seeds=seeds,
                steps=steps,
                landscape=landscape,
                gradient=None if gradient is None else gradient.value,
                **told,
            )
    if json:
        print_json(as_dict(propagation))
    else:
        print_sections(sections(propagation), form)
