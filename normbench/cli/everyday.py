"""The keys that everybody changes, as options of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from normbench.cli import completion

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

Data = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time
    typer.Option(
        "--data",
        metavar="DATASET",
        help="A name of `normbench list datasets`.",
        show_default=False,
        autocompletion=completion.datasets,
    ),
]
Model = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A name of `normbench list models`.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
Norms = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--norms",
        metavar="NAME,NAME,...",
        help="Names of `normbench list norms`.",
        show_default=False,
        autocompletion=completion.norm_list,
    ),
]
Seeds = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--seeds", metavar="N|auto", help="How many, or a list.", show_default=False),
]
Epochs = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--epochs", help="Passes over the training set.", show_default=False),
]
Rate = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--lr", metavar="RATE", help="The learning rate.", show_default=False),
]

NORMS = "norms=none,batch,layer,rms"
"""What is compared where neither a config nor an option names norms."""


def experiment(
    config: str | None,
    *,
    data: str | None,
    model: str | None,
    norms: str | None,
    seeds: str | None,
    epochs: float | None,
    lr: float | None,
    overrides: Sequence[str],
    sweeps: Sequence[str],
) -> ExperimentConfig:
    """The experiment of a config with the everyday options, which give way to ``overrides``.

    A dataset or model takes its whole section with it, since the sizes of another would not fit.
    Named without a config it stands for itself, and all else is what suits it. Raises ConfigError.
    """
    from normbench.api import load_config
    from normbench.config import load

    texts = [f"{key}={word}" for key, word in (("data", data), ("model", model)) if word]
    bare = config is None and bool(texts)
    if norms:
        texts.append(f"norms=[{norms.strip('[]')}]")
    elif bare and not any(text.startswith("norms=") for text in overrides):
        texts.append(NORMS)
    if seeds:
        texts.append(f"seeds={seeds}")
    if epochs is not None:
        texts += [f"training.epochs={epochs:g}", "training.steps=null"]
    if lr is not None:
        texts.append(f"optimizer.lr={lr:g}")
    texts += overrides
    if bare:
        return load("", texts, sweeps)
    return load_config(config, overrides=texts, sweeps=sweeps)
