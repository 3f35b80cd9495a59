"""The keys that everybody changes, as options of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli import completion

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

Completion = Callable[[str], list[str]]


def _option(flag: str, metavar: str, text: str, complete: Completion | None = None) -> Any:
    return typer.Option(
        flag, metavar=metavar, help=text, show_default=False, autocompletion=complete
    )


# Typer reads these at run time, hence Optional.
_DATA = _option(
    "--data",
    "DATASET|PATH",
    "A name of `normbench list datasets`; or your own: a folder, an npz file, file.py:function.",
    completion.datasets,
)
_MODEL = _option(
    "--model",
    "MODEL",
    "A name of `normbench list models`, torchvision:NAME or timm:NAME.",
    completion.models,
)
_NORMS = _option(
    "--norms", "NAME,NAME,...", "Names of `normbench list norms`.", completion.norm_list
)
Data = Annotated[Optional[str], _DATA]  # noqa: UP045
Model = Annotated[Optional[str], _MODEL]  # noqa: UP045
Norms = Annotated[Optional[str], _NORMS]  # noqa: UP045
Seeds = Annotated[Optional[str], _option("--seeds", "N|auto", "How many, or a list.")]  # noqa: UP045
Epochs = Annotated[Optional[float], _option("--epochs", "N", "Passes over the training set.")]  # noqa: UP045
Rate = Annotated[Optional[float], _option("--lr", "RATE", "The learning rate.")]  # noqa: UP045

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

    texts = [f"data={dumps(data)}"] if data else []  # a path may have any letter
    texts += [f"model={model}"] if model else []
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
