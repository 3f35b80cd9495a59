"""The sections of a config about training: optimizer, budget, target, probes, runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from normbench.config.errors import config_error, config_errors, describe
from normbench.config.schema import Section, TaggedUnion
from normbench.errors import suggest
from normbench.registry import UnknownName, plain_name

MOST_EPOCHS = 10**6
MOST_STEPS = 10**9  # far beyond what anybody trains, and a count that every machine can hold


class OptimizerConfig(Section):
    """How weights are updated, the same for every norm."""

    kind: str = Field("sgd", description="sgd, adam, adamw, lion or muon")
    lr: float = Field(gt=0, examples=[0.05], description="learning rate, after warmup")
    weight_decay: float = Field(
        0.0, ge=0, description="0 is none; decoupled for adamw, lion and muon"
    )
    decay_norms: bool = Field(
        False, description="whether it pulls on what norms learn as well, and not on weights alone"
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="the learning rate after warmup: kept, or lowered to 0 at the end"
    )
    warmup_steps: int = Field(0, ge=0, description="steps of linear growth to lr")
    reference_batch_size: int | None = Field(
        None, ge=1, description="lr is for this batch size and grows in proportion; null: it is not"
    )
    clip_norm: float | None = Field(
        None, gt=0, description="largest norm of the whole gradient; null: no clipping"
    )

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return OPTIMIZER.elsewhere(cls, cls.model_fields["kind"].default)


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    kind: str = Field("sgd", description="always sgd")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last update kept")
    nesterov: bool = Field(False, description="look ahead along the momentum")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise config_errors([(("nesterov",), config_error("needs a momentum above 0"))])
        return self


Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamConfig(OptimizerConfig):
    """Adam: Kingma & Ba 2015, arXiv:1412.6980."""

    kind: str = Field("adam", description="always adam")
    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999), strict=False, description="decay of the mean and of the mean square"
    )
    eps: float = Field(1e-8, gt=0, description="added to the root of the mean square")


class AdamWConfig(AdamConfig):
    """AdamW, weight decay decoupled: Loshchilov & Hutter 2019, arXiv:1711.05101."""

    kind: str = Field("adamw", description="always adamw")


class LionConfig(OptimizerConfig):
    """Lion, the sign of a momentum: Chen et al. 2023, arXiv:2302.06675."""

    kind: str = Field("lion", description="always lion")
    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.99), strict=False, description="share of the momentum in an update; its decay"
    )


class MuonConfig(OptimizerConfig):
    """Muon on the matrices of hidden layers, AdamW on the rest: Jordan et al. 2024; Liu et al.
    2025, arXiv:2502.16982."""

    kind: str = Field("muon", description="always muon")
    momentum: float = Field(0.95, ge=0, lt=1, description="of the matrices' gradients")
    nesterov: bool = Field(True, description="look ahead along the momentum")
    match: Literal["adamw", "none"] = Field(
        "adamw",
        description="adamw: updates of the size of AdamW's, so that one lr serves both; none: as "
        "first published, with lr for matrices and adamw_lr for the rest",
    )
    adamw_lr: float | None = Field(None, gt=0, description="lr of AdamW's part; null: lr")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), strict=False, description="of AdamW's part")
    eps: float = Field(1e-8, gt=0, description="of AdamW's part")

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        import torch

        if not hasattr(torch.optim, "Muon"):
            message = f"muon needs PyTorch 2.9 or later, and this is {torch.__version__}"
            raise config_errors([(("kind",), config_error(message, "take  kind: adamw"))])
        return self


_OPTIMIZERS: dict[str, type[OptimizerConfig]] = {
    "sgd": SgdConfig,
    "adam": AdamConfig,
    "adamw": AdamWConfig,
    "lion": LionConfig,
    "muon": MuonConfig,
}


def _optimizer(name: str) -> str:
    known = plain_name(name)
    if known not in _OPTIMIZERS:
        raise UnknownName(f"unknown optimizer {name!r}", suggest(name, _OPTIMIZERS))
    return known


OPTIMIZER: TaggedUnion[OptimizerConfig] = TaggedUnion(
    "optimizer", "kind", lambda: list(_OPTIMIZERS), _optimizer, _OPTIMIZERS.__getitem__
)


class TrainingConfig(Section):
    """The budget, how often it is evaluated, and in what precision."""

    epochs: float | None = Field(
        None, gt=0, le=MOST_EPOCHS, description="passes over the training set; or steps"
    )
    steps: int | None = Field(None, gt=0, le=MOST_STEPS, description="updates; or epochs")
    evaluate_every: int | None = Field(
        None, ge=1, description="steps between evaluations; 100 if nothing is said"
    )
    evaluations: int | None = Field(
        None, ge=1, description="this many over the budget, evenly spaced; or evaluate_every"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is autocast")
    eval_batch_size: int = Field(1000, ge=1, description="images a batch in evaluation")

    @model_validator(mode="before")
    @classmethod
    def _some_cadence(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not (
            value.get("evaluate_every") or value.get("evaluations")
        ):
            return {"evaluate_every": 100, **{k: v for k, v in value.items() if v is not None}}
        return value

    @model_validator(mode="after")
    def _one_cadence(self) -> Self:
        if self.evaluate_every is not None and self.evaluations is not None:
            message = "evaluate_every and evaluations are both given; the cadence is one of them"
            raise config_errors([(("evaluations",), config_error(message, "remove one", "key"))])
        return self

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.epochs is None and self.steps is None:
            raise config_error("needs a budget", "for example  epochs: 5  or  steps: 1000")
        if self.epochs is not None and self.steps is not None:
            message = "epochs and steps are both given; the budget is one of them"
            raise config_errors([(("steps",), config_error(message, "remove one", "key"))])
        return self


def _as_list(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise config_error("needs at least one target, got an empty list")
    return value if isinstance(value, list | tuple) else [value]


Accuracy = Annotated[float, Field(gt=0, le=1)]


class FixedTarget(Section):
    """Targets that stand beforehand."""

    val_accuracy: Annotated[tuple[Accuracy, ...], BeforeValidator(_as_list)] = Field(
        strict=False, examples=[0.97], description="above 0 to 1, one or a list"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.val_accuracy)) < len(self.val_accuracy):
            raise config_errors([(("val_accuracy",), config_error("the same target stands twice"))])
        return self


class PilotTarget(Section):
    """The median final validation accuracy of one norm, measured on seeds of its own."""

    norm: str = Field(alias="from", examples=["batch"], description="the label of one of the norms")
    pilot_seeds: int = Field(
        3, ge=1, le=1000, description="how many; they follow the largest reporting seed"
    )


def target(value: Any) -> FixedTarget | PilotTarget:
    """``{val_accuracy: ...}`` or ``{from: ..., pilot_seeds: ...}``."""
    if isinstance(value, FixedTarget | PilotTarget):
        return value
    if not isinstance(value, Mapping):
        hint = "for example  target: {val_accuracy: 0.97}"
        raise config_error(f"must be a section of keys, got {describe(value)}", hint)
    if "val_accuracy" in value and ("from" in value or "pilot_seeds" in value):
        key = "from" if "from" in value else "pilot_seeds"
        message = "val_accuracy fixes the target already"
        raise config_errors([((key,), config_error(message, "remove one of the two", "key"))])
    pilot = "from" in value or "pilot_seeds" in value
    return (PilotTarget if pilot else FixedTarget).model_validate(value)


class VerdictConfig(Section):
    """The one metric that carries the verdicts, fixed before anything is trained."""

    metric: Literal["auc", "steps_to_target", "val_accuracy", "test_accuracy"] = Field(
        "auc", description="what better and worse are about; auc: area under the validation curve"
    )
    similar_within: float = Field(
        0.01,
        gt=0,
        description="smaller differences do not matter; 0.01 is one percentage point (or 1 % of "
        "the area); of steps_to_target a share of the steps, 0.10 if nothing is said",
    )

    @model_validator(mode="before")
    @classmethod
    def _own_margin(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("similar_within") is None:
            own = 0.10 if value.get("metric") == "steps_to_target" else 0.01
            return {**value, "similar_within": own}
        return value

    @field_validator("similar_within")
    @classmethod
    def _a_share(cls, value: float) -> float:
        if value >= 1:
            message = f"must be a number below 1, got {value:g}"
            raise config_error(message, "one percentage point is 0.01")
        return value


class ProbesConfig(Section):
    """When gradients and activations are measured. Measuring changes no weight."""

    steps: Literal["log", "none"] | None = Field(
        None, description="log: steps 0 to 10, then logarithmically spaced; none: never"
    )
    every: int | None = Field(None, ge=1, description="every so many steps, instead")

    @model_validator(mode="before")
    @classmethod
    def _log_by_default(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("steps") is None and not value.get("every"):
            return {**value, "steps": "log"}
        return value

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.steps is not None and self.every is not None:
            message = "steps and every are both given; the schedule is one of them"
            raise config_errors([(("every",), config_error(message, "remove one", "key"))])
        return self


class ReportConfig(Section):
    """What the page of the results shows besides. It changes no run."""

    misclassified: int = Field(
        0, ge=0, le=100, description="test images of each norm that come out wrong, as pictures"
    )


def _device(name: str) -> str:
    kind, colon, index = name.partition(":")
    if name == "cpu" or (kind == "cuda" and (not colon or (index.isascii() and index.isdigit()))):
        return name
    raise config_error(f"unknown device {name!r}", "known: cpu, cuda, cuda:0, cuda:1, ...")


class RuntimeConfig(Section):
    """What a single run computes on; part of what makes its numbers reproducible."""

    threads: int = Field(1, ge=1, le=1024, description="CPU threads a run")
    device: Annotated[str, AfterValidator(_device)] = Field(
        "cpu", description="cpu, cuda or cuda:N"
    )
    stack: int = Field(
        1, ge=1, le=1024, description="seeds of one norm that one process trains at once, by vmap"
    )
    compile: bool = Field(
        False, description="compile the training step: faster steps after a slow start"
    )
    cpus: float | None = Field(
        None, gt=0, description="cores a run reserves on a cluster; null: as many as threads"
    )
    gpus: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of a GPU a run reserves on a cluster; null: all of one on cuda",
    )

    @model_validator(mode="after")
    def _gpus_are_for_cuda(self) -> Self:
        if self.gpus is not None and self.device == "cpu":
            hint = "add  device: cuda  or remove gpus"
            raise config_errors(
                [(("gpus",), config_error("the run computes on the cpu", hint, "key"))]
            )
        return self

    @property
    def resources(self) -> tuple[float, float]:
        """(cores, GPUs) that a run reserves on a cluster."""
        gpus = 0.0 if self.device == "cpu" else 1.0
        return self.cpus or float(self.threads), self.gpus or gpus


RESERVED = ("cpus", "gpus")
"""Keys of ``RuntimeConfig`` that say where a run finds room, not what it computes."""
