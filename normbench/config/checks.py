"""Which combinations of data, model and norm make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic_core import PydanticCustomError

from normbench.config.components import (
    DataConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)
from normbench.config.errors import Path, config_error
from normbench.config.training import MuonConfig, OptimizerConfig, RuntimeConfig
from normbench.errors import ConfigError, Problem
from normbench.models.assemble import anatomy, layer_problem, problem_of, step_problem
from normbench.models.network import NO_MATRIX


def image_shape(data: DataConfig) -> tuple[int, int, int] | None:
    """(height, width, channels) of the images; None where only the files can tell."""
    return data.source().shape()


def model_problem(
    data: DataConfig,
    model: ModelConfig,
    shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
) -> Problem | None:
    """Why this network cannot work on these images, with its author's frames; None when it can.

    shape: of an image, num_classes: both where the files have told.
    """
    shape = shape or image_shape(data)
    if shape is None:
        return None
    try:
        anatomy(model.blueprint(), shape, num_classes)
    except ConfigError as error:
        problem = error.problems[0]
        if f"{shape[0]}x{shape[1]}" in problem.message and not problem.hint:
            remedy = " (data.resize makes the images of another size)"
            return replace(problem, message=problem.message + remedy)
        return problem
    return None


def norm_problem(
    data: DataConfig, model: ModelConfig, normalization: NormalizationConfig, norm: NormConfig
) -> str | None:
    """Why this norm makes no sense somewhere in this network; None when it does."""
    fault = norm_fault(data, model, normalization, norm)
    return fault.message if fault else None


def norm_fault(
    data: DataConfig,
    model: ModelConfig,
    normalization: NormalizationConfig,
    norm: NormConfig,
    shape: tuple[int, int, int] | None = None,
) -> Problem | None:
    """The same, with the frames of a layer that the user wrote. shape: as of ``model_problem``.

    At ``model`` where the network has no norm that any other could stand for, else at ``norms``.
    """
    shape = shape or image_shape(data)
    if shape is None or model_problem(data, model, shape):
        return None
    blueprint, method = model.blueprint(), norm.method(normalization)
    known = anatomy(blueprint, shape)
    if reason := problem_of(blueprint, known, method, data.batch_size):
        return Problem("norms" if known.slots or not method.replaces else "model", reason)
    return layer_problem(known, method)


def exchange_problem(
    data: DataConfig,
    model: ModelConfig,
    normalization: NormalizationConfig,
    norms: Sequence[NormConfig],
) -> tuple[Path, PydanticCustomError] | None:
    """Why none of these norms can stand in this network, where that lies in the network."""
    shape = image_shape(data)
    if shape is None or model_problem(data, model) or anatomy(model.blueprint(), shape).slots:
        return None
    faults = [norm_fault(data, model, normalization, norm) for norm in norms]
    said = [fault.message for fault in faults if fault and fault.path == "model"]
    return (("model",), config_error(said[0])) if said else None


def optimizer_problem(
    data: DataConfig, model: ModelConfig, optimizer: OptimizerConfig
) -> tuple[Path, PydanticCustomError] | None:
    """The key of the optimizer that cannot train this network, and why."""
    if not isinstance(optimizer, MuonConfig):
        return None
    shape = image_shape(data)
    if shape is None or model_problem(data, model):
        return None
    if anatomy(model.blueprint(), shape).matrices:
        return None
    return ("optimizer", "kind"), config_error(NO_MATRIX, "take  kind: adamw")


def runtime_problems(
    data: DataConfig,
    model: ModelConfig,
    normalization: NormalizationConfig,
    norms: Sequence[NormConfig],
    runtime: RuntimeConfig,
) -> list[tuple[Path, PydanticCustomError]]:
    """Keys of runtime with which this network cannot be trained under one of the norms, and why."""
    shape = image_shape(data)
    if shape is None or not (runtime.stack > 1 or runtime.compile) or model_problem(data, model):
        return []
    draws = anatomy(model.blueprint(), shape).draws
    wrong: dict[Path, PydanticCustomError] = {}
    for norm in norms:
        method = norm.method(normalization)
        problem = step_problem(draws, method, stacked=runtime.stack > 1, compiled=runtime.compile)
        if problem:
            key, reason = problem
            hint = "set  stack: 1" if key == "stack" else "set  compile: false"
            wrong.setdefault(("runtime", key), config_error(f"{norm.label}: {reason}", hint))
    return list(wrong.items())
