"""What a method declares of itself, and what its paper fixes for its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Statistics = Literal["batch", "example", "none"]


@dataclass(frozen=True)
class Traits:
    """What is known of a method. None or empty is unknown: then nothing is said of it.

    statistics: what the mean square that it divides by is taken over, "none" where it divides by
    none; centered: whether a mean is subtracted first; plain: whether it does nothing besides but
    an affine, so that what follows from those two alone holds; over: what statistics are over, in
    words, where these do not say it; batch_dependent: whether in training an example's output
    depends on the others'; formula: in one line; year, paper: of the source; eps: where it stands,
    inside or outside of the root, as a bound, or nowhere; parameters: how
    many, in words, where its layers do not tell; state: what it keeps beside parameters;
    gradient: how the backward pass is another than the derivative of the forward pass; convention:
    which variance, the sense of momentum, what of rates, decay and bounds the paper fixes;
    reference: the authors' code, and how this differs from it.
    """

    statistics: Statistics | None = None
    centered: bool | None = None
    plain: bool = True
    over: str = ""
    batch_dependent: bool | None = None
    formula: str = ""
    year: int | None = None
    paper: str = ""
    eps: Literal["inside", "outside", "clamped", "none"] | None = None
    parameters: str = ""
    state: str = "none"
    train_differs: bool | None = None
    gradient: str = ""
    convention: str = ""
    reference: str = ""

    @property
    def mixes_examples(self) -> bool:
        """Whether in training an example's output may depend on the others of its batch."""
        return self.statistics == "batch" or (
            self.batch_dependent is not False and (self.batch_dependent or self.statistics is None)
        )


@dataclass(frozen=True)
class Rule:
    """What the paper fixes for a parameter of a norm.

    rate: factor on the learning rate; low, high: bounds after every update; decay: whether weight
    decay pulls on it, whatever the config says of norms (None: as that says).
    """

    rate: float = 1.0
    low: float | None = None
    high: float | None = None
    decay: bool | None = None

    @property
    def text(self) -> str:
        """The same in words; empty where nothing is fixed."""
        parts = [f"{self.rate:g} times the learning rate"] if self.rate != 1 else []
        parts += [f"at least {self.low:g}"] if self.low is not None else []
        parts += [f"at most {self.high:g}"] if self.high is not None else []
        if self.decay is not None:
            parts.append("weight decay" if self.decay else "no weight decay")
        return ", ".join(parts)
