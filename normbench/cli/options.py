"""The options that verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli import completion
from normbench.constants import RESULTS as RESULTS

CONFIG_HELP = "A YAML file, or the name of a bundled config (see `normbench list configs`)."


class Format(StrEnum):
    """How tables are printed."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"


Config = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time
    typer.Argument(
        help=f"{CONFIG_HELP} Without one: the bundled digits experiment, which needs no download.",
        show_default=False,
        autocompletion=completion.configs,
    ),
]
NeededConfig = Annotated[
    str, typer.Argument(metavar="CONFIG", help=CONFIG_HELP, autocompletion=completion.configs)
]
Experiments = Annotated[
    list[str],
    typer.Argument(
        metavar="EXPERIMENT",
        help="By name or folder; several stand side by side. Without: the last one trained.",
        show_default=False,
        autocompletion=completion.experiments,
    ),
]
Experiment = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(
        metavar="EXPERIMENT",
        help="By name or folder. Without: the last one trained.",
        show_default=False,
        autocompletion=completion.experiments,
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the config, such as model.depth=40. Repeatable.",
        show_default=False,
        autocompletion=completion.keys,
    ),
]
Sweep = Annotated[
    list[str],
    typer.Option(
        "--sweep",
        metavar="KEY=V,V,...",
        help="Train at every value of a key, such as optimizer.lr=0.01,0.1. Repeatable.",
        show_default=False,
        autocompletion=completion.sweep_keys,
    ),
]
Results = Annotated[
    Path,
    typer.Option(
        "--results", metavar="DIR", help="Where the results are; without it looked for upward."
    ),
]
DataDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where the datasets are. Else NORMBENCH_DATA_DIR, else the user cache.",
        show_default=False,
    ),
]
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Runs at a time. Default: as many as fill the cores.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Full = Annotated[
    bool, typer.Option("--full", help="Every table: all metrics, p-values, gradients, censoring.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only results.")]
TableFormat = Annotated[Format, typer.Option("--format", help="How to print the tables.")]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="local|ray",
        help="Processes of this machine, or a Ray cluster.",
        autocompletion=completion.executors,
    ),
]
RayAddress = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The Ray cluster; auto is the one that runs on this machine. Else RAY_ADDRESS, else "
        "one is started for this command.",
        show_default=False,
    ),
]
