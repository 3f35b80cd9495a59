"""Which combinations of data, model and norm make sense."""

from __future__ import annotations

from normbench.config.components import (
    DataConfig,
    FolderConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)
from normbench.errors import ConfigError
from normbench.models.assemble import anatomy, problem_of

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
        anatomy(model.blueprint(), shape)
    except ConfigError as error:
        return error.problems[0].message
    return None


def norm_problem(
    data: DataConfig, model: ModelConfig, normalization: NormalizationConfig, norm: NormConfig
) -> str | None:
    """Why this norm makes no sense somewhere in this network; None when it does."""
    shape = image_shape(data)
    if shape is None or model_problem(data, model):
        return None
    blueprint, method = model.blueprint(), norm.method(normalization)
    return problem_of(blueprint, anatomy(blueprint, shape), method, data.batch_size)
