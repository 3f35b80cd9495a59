"""Seeds, and values for a key: what ``seeds``, ``sweep`` and ``tune`` are made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PlainValidator, field_validator, model_validator

from normbench.config.components import MODEL, AugmentConfig, DataConfig, NormalizationConfig
from normbench.config.errors import Path, config_error, config_errors, describe
from normbench.config.schema import Section
from normbench.config.training import OPTIMIZER, TrainingConfig
from normbench.errors import suggest

MAX_POINTS = 1000
MAX_SEEDS = 100_000
MAX_SEED = 2**63 - 1
MAX_LOOKS = 20

FEWEST_TUNE_SEEDS = 3
"""One or two seeds choose a value by luck about as much as by merit."""

_FIXED = (
    *("name", "norms", "baseline", "target", "verdict", "seeds", "sweep", "tune", "probes"),
    "report",
    "runtime",
)

SweepPoint = dict[str, Any]
"""One combination of a sweep: dotted key -> value."""


class SequentialSeeds(Section):
    """Seeds in steps: after each look, norms that cannot be the best get no more of them."""

    start: int = Field(8, alias="from", ge=2, le=MAX_SEEDS, description="seeds at the first look")
    to: int = Field(32, ge=2, le=MAX_SEEDS, description="seeds at the last look")
    step: int = Field(4, ge=1, le=MAX_SEEDS, description="seeds more at each look in between")

    @model_validator(mode="after")
    def _some_looks(self) -> Self:
        if self.to <= self.start:
            message = f"must be more than the {self.start} seeds of the first look, got {self.to}"
            raise config_errors(
                [(("to",), config_error(message, f"or write  seeds: {self.start}"))]
            )
        if -(-(self.to - self.start) // self.step) >= MAX_LOOKS:
            message = f"more than {MAX_LOOKS} looks; each takes a share of the 5 %"
            raise config_errors([(("step",), config_error(message, "take a larger step"))])
        return self


def _seeds(value: Any) -> int | tuple[int, ...] | SequentialSeeds:
    if isinstance(value, SequentialSeeds):
        return value
    if value == "auto":
        return SequentialSeeds()
    if isinstance(value, Mapping):
        return SequentialSeeds.model_validate(value)
    if isinstance(value, str):
        message = f"must be a number of seeds, a list of them or auto, got {describe(value)}"
        raise config_error(message, "auto is  {from: 8, to: 32, step: 4}")
    return _fixed_seeds(value)


def _fixed_seeds(value: Any) -> int | tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_SEEDS:
            message = f"must be 1 to {MAX_SEEDS:,} seeds, or a list of seeds, got {describe(value)}"
            raise config_error(message)
        return value
    if not isinstance(value, list | tuple):
        raise config_error(f"must be a whole number or a list of seeds, got {describe(value)}")
    if not value:
        raise config_error("needs at least one seed, got an empty list")
    wrong = []
    seen: set[int] = set()
    for index, seed in enumerate(value):
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
            message = f"a seed must be a whole number of 0 or more, got {describe(seed)}"
            wrong.append(((index,), config_error(message)))
        elif seed in seen:
            wrong.append(((index,), config_error(f"the seed {seed} stands twice")))
        else:
            seen.add(seed)
    if wrong:
        raise config_errors(wrong)
    return tuple(value)


FixedSeeds = Annotated[int | tuple[int, ...], PlainValidator(_fixed_seeds)]
"""A number n of seeds, or the seeds themselves."""

Seeds = Annotated[int | tuple[int, ...] | SequentialSeeds, PlainValidator(_seeds)]
"""The same, or how seeds are added look by look."""


def expand(seeds: int | tuple[int, ...] | SequentialSeeds, after: int = -1) -> list[int]:
    """The seeds themselves; a number n stands for the n that follow ``after``.

    Of seeds in steps all that may come to be trained, 0 to ``to`` - 1.
    """
    if isinstance(seeds, SequentialSeeds):
        return list(range(seeds.to))
    return list(range(after + 1, after + 1 + seeds)) if isinstance(seeds, int) else list(seeds)


def _values(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise config_error(
            f"must be a list of values, got {describe(value)}", "for example  [10, 20]"
        )
    if not value:
        raise config_error("needs at least one value, got an empty list")
    if len(value) > MAX_POINTS:
        raise config_error(f"{len(value):,} values; the most is {MAX_POINTS:,}")
    twice = [
        ((index,), config_error(f"the value {item} stands twice"))
        for index, item in enumerate(value)
        if item in value[:index]
    ]
    if twice:
        raise config_errors(twice)
    return tuple(value)


Values = Annotated[tuple[Any, ...], PlainValidator(_values)]
"""A list of distinct values; whether the key takes them is checked point by point."""


class TuneConfig(Section):
    """A grid for one key, normally ``optimizer.lr``; the choice is made on seeds of its own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Values]

    seeds: FixedSeeds = Field(
        3, description="tuning seeds: a list, or how many that follow the largest reporting seed"
    )
    search: Literal["grid", "halving"] = Field(
        "grid",
        description="grid: every value on every tuning seed; halving: half of the values go after "
        "half of the seeds, the best two race, and nothing is trained at the shared value",
    )

    @field_validator("seeds")
    @classmethod
    def _enough_seeds(cls, seeds: int | tuple[int, ...]) -> int | tuple[int, ...]:
        count = len(expand(seeds))
        if count < FEWEST_TUNE_SEEDS:
            message = f"needs {FEWEST_TUNE_SEEDS} tuning seeds or more, got {count}"
            raise config_error(
                message, "on fewer, chance chooses the value as much as the norm does"
            )
        return seeds

    @model_validator(mode="after")
    def _one_key(self) -> TuneConfig:
        keys = list(self.__pydantic_extra__)
        if not keys:
            hint = "for example  optimizer.lr: [0.01, 0.03, 0.1, 0.3]"
            raise config_error("needs a key and its grid", hint)
        check_keys(keys)
        if len(keys) > 1:
            message = "a second key; one is tuned at a time"
            raise config_errors([((key,), config_error(message, at="key")) for key in keys[1:]])
        for index, value in enumerate(self.values):
            if isinstance(value, bool) or not isinstance(value, int | float):
                message = f"must be a number, got {describe(value)}"
                hint = "a grid has an order, an edge and a largest value; use sweep for the rest"
                raise config_errors([((keys[0], index), config_error(message, hint))])
        return self

    @property
    def key(self) -> str:
        """The tuned key."""
        return next(iter(self.__pydantic_extra__))

    @property
    def values(self) -> tuple[Any, ...]:
        """The grid, the same for every norm."""
        return self.__pydantic_extra__[self.key]


def sweepable() -> set[str]:
    """The dotted keys that ``sweep`` and ``tune`` may name, of all kinds together."""
    sections: dict[str, Iterable[str]] = {
        # One experiment has one dataset, which is prepared once for all its runs.
        "data": DataConfig.model_fields.keys() - {"augment", "dataset"},
        "data.augment": AugmentConfig.model_fields,
        "model": MODEL.keys(),
        "normalization": NormalizationConfig.model_fields,
        "optimizer": OPTIMIZER.keys(),
        "training": TrainingConfig.model_fields,
    }
    return {f"{section}.{key}" for section, keys in sections.items() for key in keys}


def check_keys(keys: Iterable[str]) -> None:
    """Raise a mistake for every key that cannot be swept."""
    known = sweepable()
    wrong: list[tuple[Path, Any]] = []
    for key in keys:
        if key in known:
            continue
        if key.split(".")[0] in _FIXED:
            message = f"{key!r} cannot be varied here"
            hint = "the sections that can are data, model, normalization, optimizer and training"
        elif section := sorted(k for k in known if k.startswith(f"{key}.")):
            message, hint = (
                f"{key!r} is a section; name a key in it",
                f"known: {', '.join(section)}",
            )
        else:
            message, hint = f"unknown key {key!r}", _nearest(key, known)
        wrong.append(((key,), config_error(message, hint, "key")))
    if wrong:
        raise config_errors(wrong)


def _nearest(key: str, known: set[str]) -> str:
    section = key.partition(".")[0]
    return suggest(key, {k for k in known if k.startswith(f"{section}.")} or known)


def combinations(sweep: Mapping[str, Sequence[Any]]) -> list[SweepPoint]:
    """Every combination, the last key varying fastest; one empty point without a sweep."""
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def check_size(sweep: Mapping[str, Sequence[Any]]) -> None:
    """Raise a mistake where a sweep has more points than anyone waits for."""
    count = math.prod(len(values) for values in sweep.values())
    if count > MAX_POINTS:
        raise config_error(f"{count:,} combinations; the most is {MAX_POINTS:,}")
