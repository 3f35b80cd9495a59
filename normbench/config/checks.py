"""Which combinations of data, model and norm make sense."""

from __future__ import annotations

from normbench.config.components import (
    DataConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)
from normbench.errors import ConfigError
from normbench.models.assemble import anatomy, problem_of


def image_shape(data: DataConfig) -> tuple[int, int, int] | None:
    """(height, width, channels) of the images; None where only the files can tell."""
    return data.source().shape()


def model_problem(
    data: DataConfig, model: ModelConfig, shape: tuple[int, int, int] | None = None
) -> str | None:
    """Why this network cannot work on these images; None when it can.

    shape: of an image, where the files have told.
    """
    shape = shape or image_shape(data)
    if shape is None:
        return None
    try:
        anatomy(model.blueprint(), shape)
    except ConfigError as error:
        problem = error.problems[0]
        sized = f"{shape[0]}x{shape[1]}" in problem.message or "data.resize" in problem.hint
        remedy = " (data.resize makes the images of another size)" if sized else ""
        return problem.message + remedy
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
