"""normbench cost: what the norm layers themselves take."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli import completion, options

if TYPE_CHECKING:
    from normbench.measure.layer_cost import CostRow

NAME = "cost"


class Dtype(StrEnum):
    """The number formats that can be measured."""

    fp32 = "fp32"
    bf16 = "bf16"


def command(
    shape: Annotated[
        list[str],
        typer.Option(
            "--shape",
            metavar="NxF|NxCxHxW",
            help="Examples x features, or x channels x height x width. Repeatable. "
            "Default: 128x256 and 128x32x16x16.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    norm: Annotated[
        list[str],
        typer.Option(
            "--norm",
            metavar="NAME",
            help="A norm of `normbench list norms`. Repeatable. Default: all.",
            show_default=False,
            autocompletion=completion.norms,
        ),
    ] = [],  # noqa: B006
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Number format.")] = Dtype.fp32,
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Leave torch.compile out; it takes long.")
    ] = False,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
    quiet: options.Quiet = False,
) -> None:
    """Measure what norm layers cost: time, memory, bytes and operations.

    PyTorch's own LayerNorm and RMSNorm stand beside them. Run nothing else meanwhile.
    """
    from normbench.api import COST_SHAPES, cost
    from normbench.cli.output import print_json
    from normbench.cli.tables import print_sections
    from normbench.report.columns import seconds
    from normbench.report.cost import flat, sections, shape_text

    def watch(row: CostRow) -> None:
        if not quiet:
            what = f"both {seconds(row.both.seconds)}" if row.both else f"skipped: {row.skipped}"
            typer.echo(f"{shape_text(row.shape)} {row.norm}, {row.mode}: {what}", err=True)

    measured = cost(
        shape or COST_SHAPES,
        norms=norm or None,
        threads=threads,
        device=device,
        dtype=dtype.value,
        compiled=not no_compile,
        watch=watch,
    )
    if json:
        print_json({"cost": [flat(row) for row in measured.rows]})
    else:
        print_sections(sections(measured.rows), form)
