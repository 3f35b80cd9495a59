"""Which combinations of data, model and norm make sense."""

from __future__ import annotations

from normbench.config.components import (
    DataConfig,
    FolderConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)

# (height, width, channels) of the datasets whose images all have one known shape.
_SHAPES: dict[str, tuple[int, int, int]] = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "kmnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "cifar100": (32, 32, 3),
}


def image_shape(data: DataConfig) -> tuple[int, int, int] | None:
    """(height, width, channels) of the images; None where only the files can tell."""
    if isinstance(data, FolderConfig):
        return data.image_size, data.image_size, data.channels
    return _SHAPES.get(data.dataset)


def model_problem(data: DataConfig, model: ModelConfig) -> str | None:
    """Why this network cannot work on these images; None when it can."""
    shape = image_shape(data)
    if shape is None:
        return None
    try:
        model.network().sites(model.options(), shape)
    except ValueError as error:
        return str(error)
    return None


def norm_problem(
    data: DataConfig, model: ModelConfig, normalization: NormalizationConfig, norm: NormConfig
) -> str | None:
    """Why this norm makes no sense somewhere in this network; None when it does."""
    shape = image_shape(data)
    if shape is None or model_problem(data, model):
        return None
    method = norm.method(normalization)
    sites = dict.fromkeys(model.network().sites(model.options(), shape))
    reasons = (method.problem(site, data.batch_size) for site in sites)
    return next((reason for reason in reasons if reason), None)
