"""Which combinations of data, model and norm make sense."""

from __future__ import annotations

from normbench.config.components import (
    DataConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)


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
        model.network().sites(model.options(), shape)
    except ValueError as error:
        return f"{error} (data.resize makes the images of another size)"
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
