"""A whole experiment: everything a config file says."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from normbench.config.checks import (
    exchange_problem,
    model_problem,
    norm_fault,
    optimizer_problem,
    runtime_problems,
)
from normbench.config.components import DATA, MODEL, NORM, NormalizationConfig, NormConfig
from normbench.config.errors import Path, config_error, config_errors, describe, dotted
from normbench.config.grid import (
    Seeds,
    SequentialSeeds,
    SweepPoint,
    TuneConfig,
    Values,
    check_keys,
    check_size,
    combinations,
    expand,
)
from normbench.config.names import checked_name
from normbench.config.run import Data, Model, Norm, Optimizer, RunConfig
from normbench.config.schema import Section, TaggedUnion, with_kind
from normbench.config.training import (
    OPTIMIZER,
    FixedTarget,
    PilotTarget,
    ProbesConfig,
    ReportConfig,
    RuntimeConfig,
    TrainingConfig,
    VerdictConfig,
    target,
)
from normbench.errors import ConfigError, Problem, suggest

MAX_NORMS = 200


def _checked_norm(norm: NormConfig, info: ValidationInfo) -> NormConfig:
    """The norm, if it makes sense in the network and data of the same config."""
    if {"data", "model", "normalization"} <= info.data.keys():
        wrong = norm_fault(info.data["data"], info.data["model"], info.data["normalization"], norm)
        if wrong and wrong.path == "norms":  # what lies in the network is told once
            raise config_error(wrong.message, wrong.hint)
    return norm


def _not_too_many(norms: Any) -> Any:
    """Before any of them is looked at."""
    if isinstance(norms, list | tuple) and len(norms) > MAX_NORMS:
        raise config_error(f"at most {MAX_NORMS} norms, got {len(norms):,}")
    return norms


def _label(word: str, norms: tuple[NormConfig, ...]) -> str:
    """The label that ``word`` means: a label itself, or a kind that a single norm has."""
    labels = [norm.label for norm in norms]
    if word in labels:
        return word
    of_kind = [norm.label for norm in norms if norm.kind == NORM.known(word)]
    if len(of_kind) == 1:
        return of_kind[0]
    if of_kind:
        raise config_error(
            f"{word!r} could be any of {', '.join(of_kind)}", "name one by its label"
        )
    raise config_error(f"{word!r} is none of the norms of this config", suggest(word, labels))


class ExperimentConfig(Section):
    """Networks identical but for their norm, on the same data, under the same training."""

    name: Annotated[str, AfterValidator(checked_name)] = Field(
        examples=["my-experiment"], description="the results go to results/<name>/"
    )
    data: Data = Field(default_factory=lambda: DATA.validate({}, "digits"), description="images")
    model: Model = Field(examples=["{kind: mlp, depth: 20, width: 256}"], description="network")
    normalization: NormalizationConfig = Field(
        default_factory=NormalizationConfig, description="what all norms share"
    )
    norms: Annotated[
        tuple[Annotated[Norm, AfterValidator(_checked_norm)], ...], BeforeValidator(_not_too_many)
    ] = Field(
        strict=False,
        examples=["[none, batch, layer, rms]"],
        description="the norms to compare: names, or {kind: name, option: value}",
    )
    baseline: str = Field(
        "", validate_default=True, description="the norm that the others are compared with"
    )
    optimizer: Optimizer = Field(examples=["{kind: sgd, lr: 0.05}"], description="updates")
    training: TrainingConfig = Field(
        examples=["{epochs: 5, evaluate_every: 100}"], description="the budget"
    )
    target: Annotated[FixedTarget | PilotTarget, WrapValidator(lambda value, _: target(value))] = (
        Field(examples=["{val_accuracy: 0.97}"], description="the accuracy to be reached")
    )
    verdict: VerdictConfig = Field(
        default_factory=VerdictConfig, description="the metric that is judged"
    )
    seeds: Seeds = Field(
        examples=[8],
        description="how many (0 to n-1), a list, or auto: as many as a verdict takes, 8 to 32",
    )
    sweep: dict[str, Values] = Field(
        {}, description="dotted key -> values; every combination is run"
    )
    tune: TuneConfig | None = Field(None, description="a grid searched for every norm")
    probes: ProbesConfig = Field(default_factory=ProbesConfig, description="measurements inside")
    report: ReportConfig = Field(default_factory=ReportConfig, description="the page of results")
    runtime: RuntimeConfig = Field(
        default_factory=RuntimeConfig, description="threads, device, resources"
    )

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        """Keys of the sections, for who gives one at the top."""
        sections: dict[str, list[str]] = {}
        unions: dict[str, TaggedUnion[Any]] = {"data": DATA, "model": MODEL, "optimizer": OPTIMIZER}
        for section, union in unions.items():
            for key in union.keys() - cls.model_fields.keys():
                sections.setdefault(key, []).append(f"{section}.{key}")
        for section, model in (("training", TrainingConfig), ("runtime", RuntimeConfig)):
            for key in model.model_fields:
                sections.setdefault(key, []).append(f"{section}.{key}")
        return {
            key: f"unknown key {key!r}; did you mean {' or '.join(sorted(names))}?"
            for key, names in sections.items()
        }

    # --- properties and points ---

    @property
    def seed_list(self) -> list[int]:
        """The reporting seeds; of seeds in steps all that may come to be trained."""
        return expand(self.seeds)

    @property
    def first_seeds(self) -> list[int]:
        """The reporting seeds that every norm is trained on."""
        if isinstance(self.seeds, SequentialSeeds):
            return self.seed_list[: self.seeds.start]
        return self.seed_list

    @property
    def tune_seeds(self) -> list[int]:
        """The tuning seeds, none of them a reporting seed; empty without ``tune``."""
        return expand(self.tune.seeds, max(self.seed_list)) if self.tune else []

    @property
    def pilot_seeds(self) -> list[int]:
        """The seeds the target is measured on, none a reporting seed; empty for a fixed target."""
        if isinstance(self.target, FixedTarget):
            return []
        return expand(self.target.pilot_seeds, max(self.seed_list))

    @property
    def labels(self) -> list[str]:
        """The norms' labels, in the order of the config."""
        return [norm.label for norm in self.norms]

    def sweep_points(self) -> list[SweepPoint]:
        """Every combination of the sweep, in order; one empty point without a sweep."""
        return combinations(self.sweep)

    def at(self, sweep_point: Mapping[str, Any]) -> ExperimentConfig:
        """The experiment with these keys set, without sweep and tune. Raises ConfigError.

        Where a point changes a kind, keys that the new kind does not have are left out.
        """
        try:
            return self._at(sweep_point)
        except ValidationError as error:
            raise ConfigError(
                [Problem(dotted(path), message, hint) for path, message, hint, _ in read(error)]
            ) from None

    def run(self, sweep_point: Mapping[str, Any], norm: int | str, seed: int) -> RunConfig:
        """The run of one norm (its index or label) under one seed at one sweep point."""
        if isinstance(norm, str):
            try:
                norm = self.labels.index(_label(norm, self.norms))
            except PydanticCustomError as error:
                context = error.context or {}
                raise ConfigError([Problem("norms", error.message(), context["hint"])]) from None
        here = self.at(sweep_point) if sweep_point else self
        shared = {key: getattr(here, key) for key in RunConfig.model_fields if key in _SHARED}
        return RunConfig(norm=here.norms[norm], seed=seed, **shared)

    def resolved(self) -> dict[str, Any]:
        """Plain JSON-able values, every default written out; they load to an equal experiment."""
        return self.model_dump(mode="json", by_alias=True, serialize_as_any=True)

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, in the config's own spelling, each part with its kind."""
        given = self.model_dump(
            mode="json", by_alias=True, serialize_as_any=True, exclude_defaults=True
        )
        whole = self.resolved()
        given |= {key: given.get(key, {}) for key in ("data", "model", "norms", "optimizer")}
        if given.get("seeds") == {}:  # every key of theirs has its default
            given["seeds"] = "auto"
        return {key: with_kind(given[key], whole[key]) for key in whole if key in given}

    def _at(self, sweep_point: Mapping[str, Any]) -> ExperimentConfig:
        tree = self.resolved() | {"sweep": {}, "tune": None}
        unions: dict[str, TaggedUnion[Any]] = {"data": DATA, "model": MODEL, "optimizer": OPTIMIZER}
        for section, union in unions.items():
            kind = sweep_point.get(f"{section}.{union.tag}")
            if isinstance(kind, str) and kind in union.names():
                known = union.member(kind).model_fields
                tree[section] = {k: v for k, v in tree[section].items() if k in known}
        for key, value in sweep_point.items():
            *sections, last = key.split(".")
            inner = tree
            for section in sections:
                inner = inner[section]
            inner[last] = copy.deepcopy(value)
        return ExperimentConfig.model_validate(tree)

    # --- checks across sections: each runs as soon as the sections it needs are valid ---

    @field_validator("model")
    @classmethod
    def _model_fits_data(cls, model: Any, info: ValidationInfo) -> Any:
        if "data" in info.data and (wrong := model_problem(info.data["data"], model)):
            raise config_error(wrong.message, wrong.hint)
        return model

    @field_validator("norms")
    @classmethod
    def _distinct_labels(
        cls, norms: tuple[NormConfig, ...], info: ValidationInfo
    ) -> tuple[NormConfig, ...]:
        if not norms:
            raise config_error("needs at least one norm, got an empty list")
        counts = Counter(norm.label for norm in norms)
        seen: set[str] = set()
        wrong: list[tuple[Path, PydanticCustomError]] = []
        for index, norm in enumerate(norms):
            if norm.label in seen:
                message = f"{counts[norm.label]} norms are called {norm.label!r}"
                hint = f"tell them apart with a name: {{kind: {norm.kind}, name: ...}}"
                wrong.append(((index,), config_error(message, hint)))
            seen.add(norm.label)
        shared = info.data.get("normalization", NormalizationConfig())
        for index, norm in enumerate(norms):
            same = [o.label for o in norms[:index] if o.sets(shared) == norm.sets(shared)]
            if same and norm.label not in same:
                message = f"the same norm as {same[0]!r}, under another name"
                wrong.append(((index,), config_error(message, "remove one, or change an option")))
        if wrong:
            raise config_errors(wrong)
        return norms

    @field_validator("baseline")
    @classmethod
    def _known_baseline(cls, baseline: str, info: ValidationInfo) -> str:
        norms = info.data.get("norms")
        if norms is None:
            return baseline
        if baseline:
            return _label(baseline, norms)
        labels = [norm.label for norm in norms]
        return "none" if "none" in labels else labels[0]

    @field_validator("target")
    @classmethod
    def _known_pilot(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, PilotTarget) and "norms" in info.data:
            try:
                label = _label(value.norm, info.data["norms"])
            except PydanticCustomError as error:
                raise config_errors([(("from",), error)]) from None
            return value.model_copy(update={"norm": label})
        return value

    @field_validator("seeds")
    @classmethod
    def _some_race(cls, seeds: Any, info: ValidationInfo) -> Any:
        alone = len(info.data.get("norms", (1, 2))) < 2
        if isinstance(seeds, SequentialSeeds) and alone:
            message = "seeds in steps compare norms, and there is only one"
            raise config_error(message, "add a norm, or give a number of seeds")
        return seeds

    @field_validator("sweep")
    @classmethod
    def _sweep_keys(cls, sweep: dict[str, Any]) -> dict[str, Any]:
        check_keys(sweep)
        check_size(sweep)
        return sweep

    @field_validator("tune")
    @classmethod
    def _tuning(cls, tune: TuneConfig | None, info: ValidationInfo) -> TuneConfig | None:
        if tune is None:
            return tune
        wrong: list[tuple[Path, PydanticCustomError]] = []
        if tune.key in info.data.get("sweep", {}):
            wrong.append(((tune.key,), config_error("this key is swept already", at="key")))
        if isinstance(tune.seeds, tuple) and "seeds" in info.data:
            reporting = set(expand(info.data["seeds"]))
            for index, seed in enumerate(tune.seeds):
                if seed in reporting:
                    message = f"the tuning seed {seed} is a reporting seed as well"
                    hint = "a choice made on the seeds it is reported on is biased; take others"
                    wrong.append((("seeds", index), config_error(message, hint)))
        if wrong:
            raise config_errors(wrong)
        return tune

    @model_validator(mode="after")
    def _every_point(self) -> Self:
        """Validate the whole config at every combination of ``sweep`` and ``tune``."""
        if nothing := exchange_problem(self.data, self.model, self.normalization, self.norms):
            raise config_errors([nothing])
        if impossible := runtime_problems(
            self.data, self.model, self.normalization, self.norms, self.runtime
        ):
            raise config_errors(impossible)
        if unfit := optimizer_problem(self.data, self.model, self.optimizer):
            raise config_errors([unfit])
        grid: dict[Path, tuple[Any, ...]] = {("sweep", k): v for k, v in self.sweep.items()}
        if self.tune:
            grid["tune", self.tune.key] = self.tune.values
        wrong: dict[Path, PydanticCustomError] = {}
        for sweep_point in combinations({str(path[1]): values for path, values in grid.items()}):
            if not sweep_point:
                continue
            try:
                self._at(sweep_point)
            except ValidationError as error:
                for key, one in _blame(error, sweep_point, grid):
                    wrong.setdefault(key, one)
        if wrong:
            raise config_errors(wrong.items())
        return self


_SHARED = set(RunConfig.model_fields) - {"norm", "seed"}


def read(error: ValidationError) -> Iterator[tuple[Path, str, str, Any]]:
    """(path, message, hint, place) of every mistake in an error of these models."""
    for line in error.errors(include_url=False, include_input=False):
        context = line.get("ctx", {})
        yield (
            tuple(line["loc"]),
            context.get("message", line["msg"]),
            context.get("hint", ""),
            context.get("at", "value"),
        )


def _blame(
    error: ValidationError, sweep_point: SweepPoint, grid: Mapping[Path, tuple[Any, ...]]
) -> Iterator[tuple[Path, PydanticCustomError]]:
    """Each mistake at a point, at the swept value that causes it or the norm it makes senseless."""
    named = ", ".join(f"{key}={_plain(value)}" for key, value in sweep_point.items())
    for path, message, hint, _ in read(error):
        if path[:1] == ("norms",):
            yield path, config_error(f"at {named}: {message}", hint)
            continue
        where = dotted(path)
        own = [g for g in grid if where == g[1] or where.startswith((f"{g[1]}.", f"{g[1]}["))]
        near = [g for g in grid if str(g[1]).split(".")[0] == path[0]]
        blamed = (own or near or list(grid))[0]
        index = grid[blamed].index(sweep_point[str(blamed[1])])
        text = message if own else f"at {named}: {where}: {message}"
        yield (*blamed, index), config_error(text, hint)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else describe(value).split(" (")[0]
