"""What determines the numbers of one run, and the run's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field, WrapValidator

from normbench.components import relocated
from normbench.config.components import (
    DATA,
    MODEL,
    NORM,
    DataConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)
from normbench.config.errors import config_error, describe
from normbench.config.grid import MAX_SEED
from normbench.config.schema import Section
from normbench.config.training import (
    OPTIMIZER,
    RESERVED,
    OptimizerConfig,
    ProbesConfig,
    RuntimeConfig,
    TrainingConfig,
)
from normbench.registry import UnknownName


def _norm(value: Any) -> NormConfig:
    """A name, or a section with its options."""
    if isinstance(value, str):
        try:
            value = {"kind": NORM.canonical(value)}
        except UnknownName as error:
            raise config_error(error.message, error.hint) from None
    elif not isinstance(value, dict | NormConfig):
        raise config_error(
            f"must be the name of a norm or {{kind: name, ...}}, got {describe(value)}",
            "the norm without normalization is written none" if value is None else "",
        )
    return NORM.validate(value)


# Each validates to the class of its kind; the base is what the rest of the code sees.
Data = Annotated[DataConfig, WrapValidator(lambda value, _: DATA.validate(value, "digits"))]
Model = Annotated[ModelConfig, WrapValidator(lambda value, _: MODEL.validate(value))]
Norm = Annotated[NormConfig, WrapValidator(lambda value, _: _norm(value))]
Optimizer = Annotated[
    OptimizerConfig, WrapValidator(lambda value, _: OPTIMIZER.validate(value, "sgd"))
]


_EVAL_BATCH_SIZE = TrainingConfig.model_fields["eval_batch_size"].default


_LATER: dict[str, tuple[type[Section], tuple[str, ...]]] = {
    "norm": (NormConfig, ("strict", "weights", "eval")),
    "normalization": (NormalizationConfig, ("eval",)),
    "optimizer": (OptimizerConfig, ("decay_norms",)),
}
"""Keys of sections that hash to nothing at their defaults: earlier runs were made without them."""


def _less_later(section: str, values: dict[str, Any]) -> None:
    model, keys = _LATER[section]
    for key in keys:
        if values[key] == model.model_fields[key].default:
            del values[key]


class RunConfig(Section):
    """One run: one norm, one seed, one sweep point. It reloads from what ``resolved`` gives."""

    data: Data = Field(description="images, splits and batches")
    model: Model = Field(description="the network but for its norm")
    normalization: NormalizationConfig = Field(description="the policy of every norm")
    norm: Norm = Field(description="the norm of this run")
    optimizer: Optimizer = Field(description="how weights are updated")
    training: TrainingConfig = Field(description="the budget")
    probes: ProbesConfig = Field(description="when signals are measured")
    runtime: RuntimeConfig = Field(description="threads, device, resources")
    seed: int = Field(ge=0, le=MAX_SEED, description="split, weights, batch order, augmentation")

    @property
    def label(self) -> str:
        """The norm's label, as in every table."""
        return self.norm.label

    @property
    def lane(self) -> int:
        """The run's place in a stack: its last bits depend on it, so the config settles it."""
        return self.seed % self.runtime.stack

    def resolved(self) -> dict[str, Any]:
        """Plain JSON-able values, every default written out."""
        return self.model_dump(mode="json", by_alias=True, serialize_as_any=True)

    def identity(self) -> str:
        """SHA-256 (hex) of everything that can change the run's numbers.

        So without the norm's label, what the run reserves on a cluster, how many images a batch
        in evaluation has (its sums differ by rounding alone, and training does not see them), and
        where the user's own images lie: the fingerprint in the manifest tells what is in them.
        """
        return self._hash(())

    def earlier_identity(self) -> str:
        """The identity that earlier versions gave this run, from every key as it is written."""
        return self._hash((), as_written=True)

    def context(self) -> str:
        """SHA-256 (hex) of the same without norm and seed: equal for runs that can be compared."""
        return self._hash(("norm", "seed"))

    def method_sha256(self) -> str:
        """SHA-256 (hex) of the norm's kind and options: what stays of it under another label."""
        norm = self.norm.model_dump(mode="json", exclude={"name"}, serialize_as_any=True)
        self._norm_as_hashed(norm)
        return hashlib.sha256(json.dumps(norm, sort_keys=True).encode()).hexdigest()

    def _norm_as_hashed(self, norm: dict[str, Any]) -> None:
        _less_later("norm", norm)
        if self.norm.revision:  # another method than the one that runs of before had
            norm["revision"] = self.norm.revision

    def _hash(self, without: Collection[str], *, as_written: bool = False) -> str:
        values = self.resolved()
        del values["norm"]["name"]
        for section in (values["model"], values["norm"]):
            # Where a file lies changes nothing; what is in it, its hash tells.
            section["kind"] = relocated(section["kind"])
            if section["source"] is None:  # as before there were any
                del section["source"]
        for name in ("normalization", "optimizer"):
            _less_later(name, values[name])  # likewise
        self._norm_as_hashed(values["norm"])
        if not as_written:
            # A value in its place, not nothing: so other configs hash to what they always did.
            values["training"]["eval_batch_size"] = _EVAL_BATCH_SIZE
            values["data"] = self.data.identity()
        elif values["data"].get("resize") is None:
            values["data"].pop("resize", None)  # which those versions did not know
        for key in RESERVED:
            del values["runtime"][key]
        kept = {key: value for key, value in values.items() if key not in without}
        canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()
