"""The experiments behind the statements, each as the overrides that make it from the config.

A study is exactly what ``normbench train CONFIG --set ...`` would run: its config is loaded from
the same texts, so the command that a row names reproduces its numbers.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from normbench.config import FixedTarget, SgdConfig
from normbench.config.checks import norm_problem
from normbench.errors import ConfigError
from normbench.models import MODELS

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

CORE = ("none", "batch", "layer", "rms")
"""The kinds that the statements speak of; every study has those it needs."""

QUICK_STEPS = 200
QUICK_SEEDS = 10  # with which a family of 25 comparisons can come out different
QUICK_EVERY = 25
QUICK_EPOCHS = 4.0  # of the study of batch sizes, where every run sees as many images
DEEP_STEPS, OTHER_STEPS = 150, 80
QUICK_CAPS = {"flat": {"depth": 12, "width": 64}, "image": {"depth": 9, "width": 16, "stages": 3}}
QUICK_OTHER: dict[str, dict[str, Any]] = {
    "cnn": {"kind": "cnn", "depth": 4, "stages": 2, "width": 8},
    "mlp": {"kind": "mlp", "depth": 12, "width": 64},
}
RATES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The grid of learning rates, as multiples of the config's own."""
DEEP_RATES, OTHER_RATES = (0.3, 1.0, 3.0, 10.0), (1.0, 3.0, 10.0)
TUNE_SEEDS = 3
INITS = ("torch_default", "he_normal")
"""What every trained statement about a plain network is seen under, beside the config's own."""
DEEPER = (2, 4)

ONLY_THE_FIRST = 1_000_000
"""Probes so many steps apart: only step 0 is looked into."""

Load = Callable[[Sequence[str]], "ExperimentConfig"]


class StudyInputs(Protocol):
    """What a study is made from: the user's config, and what all studies share of it.

    original: the config as the user gave it; settings: the overrides that every study begins with;
    quick: whether they make it small.
    """

    original: ExperimentConfig
    settings: list[str]
    quick: bool

    @property
    def config(self) -> ExperimentConfig:
        """The setting that every study starts from."""

    @property
    def seeds(self) -> list[int]:
        """The reporting seeds."""

    @property
    def examples(self) -> int:
        """Images in the training split."""

    def override(self, texts: Sequence[str]) -> ExperimentConfig:
        """The config with these overrides. Raises ConfigError."""


@dataclass(frozen=True)
class Origin:
    """What the reproducing command needs besides the overrides. config: as the user named it."""

    config: str | None
    overrides: Sequence[str] = ()
    options: Sequence[str] = ()

    def command(self, verb: str, *words: str) -> str:
        """``normbench VERB CONFIG ...``, quoted for a shell."""
        head = ["normbench", verb, *([self.config] if self.config else [])]
        return shlex.join([*head, *self._sets(self.overrides), *words, *self.options])

    def train(self, overrides: Sequence[str], name: str) -> str:
        """The two commands that train a study and print its tables."""
        compare = shlex.join(["normbench", "compare", name, *self._results()])
        return f"{self.command('train', *self._sets(overrides))} && {compare}"

    def _sets(self, overrides: Sequence[str]) -> list[str]:
        return [word for text in overrides for word in ("--set", text)]

    def _results(self) -> Sequence[str]:
        if "--results" not in self.options:
            return []
        at = list(self.options).index("--results")
        return self.options[at : at + 2]


def label_of(config: ExperimentConfig, kind: str) -> str:
    """The label of the config's first norm of a kind."""
    return next(norm.label for norm in config.norms if norm.kind == kind)


def quick_settings(
    config: ExperimentConfig, given: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Overrides that bring a config to the size of the digits, and notes of what they change.

    given: keys that the user set, which stay as they are.
    """
    overrides: list[str] = []
    notes: list[str] = []
    batch_size = min(config.data.batch_size, 64)
    if config.data.dataset != "digits":
        overrides.append(f"data={{dataset: digits, validation: 300, batch_size: {batch_size}}}")
        notes.append(f"on the digits in place of {config.data.dataset}")
    elif batch_size < config.data.batch_size and "data.batch_size" not in given:
        overrides.append(f"data.batch_size={batch_size}")
        notes.append(f"batch size {batch_size} in place of {config.data.batch_size}")
    own_target = any(key.split(".")[0] == "target" for key in given)
    if not own_target and (
        config.data.dataset != "digits" or not isinstance(config.target, FixedTarget)
    ):
        overrides.append("target={val_accuracy: 0.9}")
    for key, cap in QUICK_CAPS[MODELS[config.model.kind].layout].items():
        own = getattr(config.model, key, None)
        if own is not None and own > cap and f"model.{key}" not in given:
            overrides.append(f"model.{key}={cap}")
            notes.append(f"{key} {cap} in place of {own}")
    if not {"training.steps", "training.epochs"} & set(given):
        steps = min(config.training.steps or QUICK_STEPS, QUICK_STEPS)
        notes.append(f"{steps} steps a run")
        overrides += _exclusive("training.steps", steps, "training.epochs", config.training.epochs)
        if config.optimizer.warmup_steps > steps // 10:
            overrides.append(f"optimizer.warmup_steps={steps // 10}")
    if not {"training.evaluate_every", "training.evaluations"} & set(given):
        other = config.training.evaluations
        overrides += _exclusive(
            "training.evaluate_every", QUICK_EVERY, "training.evaluations", other
        )
    return overrides, notes


def _exclusive(key: str, value: Any, other: str, other_value: Any) -> list[str]:
    """``key=value``, and the key that excludes it emptied if it is set."""
    return [f"{key}={_flow(value)}", *([] if other_value is None else [f"{other}=null"])]


def shared_settings(
    load: Load, settings: Sequence[str], *, quick: bool, given: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """``settings`` and what every study adds: no sweep, probes on, enough seeds if quick.

    Returns the overrides and notes. Raises ConfigError.
    """
    own = load([])
    overrides = list(settings)
    if own.sweep:
        overrides.append("sweep={}")
    if own.tune is not None:
        overrides.append("tune=null")
    overrides.append(f"probes={{every: {ONLY_THE_FIRST}}}")
    extra = [norm for norm in own.norms if norm.kind not in CORE]
    notes = []
    if quick:  # a smaller network may not take every norm of the config
        small = load([*overrides, f"norms={_flow(CORE)}", "baseline=none"])
        for norm in list(extra):
            if problem := norm_problem(small.data, small.model, small.normalization, norm):
                extra.remove(norm)
                notes.append(f"without {norm.label}: {problem}")
    norms: list[Any] = []
    for kind in CORE:
        norms += [norm for norm in own.norms if norm.kind == kind] or [kind]
    norms += extra
    overrides.append(f"norms={_flow(map(_norm, norms))}")
    overrides.append(f"baseline={_flow(_first(own, 'none'))}")
    if quick and "seeds" not in given:
        overrides.append(f"seeds={QUICK_SEEDS}")
    elif len(own.first_seeds) < len(own.seed_list):
        # A statement's family is fixed beforehand: no norm may end earlier than another.
        fixed = max(len(own.first_seeds), QUICK_SEEDS)
        overrides.append(f"seeds={fixed}")
        notes.append(f"{fixed} seeds for every norm")
    if quick and "runtime.stack" not in given:
        overrides.append(f"runtime.stack={QUICK_SEEDS}")
    return overrides, notes


def inits(config: ExperimentConfig) -> list[str]:
    """The config's own initialization and the usual ones; empty where the model has none to set."""
    own = getattr(config.model, "init", None)
    return [] if own is None else [own, *(name for name in INITS if name != own)]


def base(inputs: StudyInputs) -> list[str]:
    """The config's own setting under every initialization, at the shared and own best rates."""
    config = inputs.config
    overrides = _only(config, CORE, "none") if inputs.quick else []
    overrides.append(_tune(inputs, RATES, max(TUNE_SEEDS, len(inputs.seeds))))
    if known := inits(config):
        overrides.append(f"sweep={{model.init: {_flow(known)}}}")
    return overrides


def depth(inputs: StudyInputs) -> list[str] | None:
    """Two and four times as deep, as far as the model allows; None where it has no depth."""
    config = inputs.config
    own = getattr(config.model, "depth", None)
    if own is None:
        return None
    depths = []
    for factor in DEEPER:
        try:
            inputs.override([*inputs.settings, f"model.depth={own * factor}"])
        except ConfigError:
            continue
        depths.append(own * factor)
    if not depths:
        return None
    sweep: dict[str, Any] = {"model.depth": depths}
    if not inputs.quick and (known := inits(config)):  # in small at the config's own alone
        sweep["model.init"] = known
    return [
        *_only(config, ("batch", "layer"), "layer"),
        _tune(inputs, DEEP_RATES, TUNE_SEEDS),
        f"sweep={_flow(sweep)}",
        *_shorter(inputs, DEEP_STEPS),
    ]


def _shorter(inputs: StudyInputs, steps: int) -> list[str]:
    """In small, fewer steps than the base study."""
    own = inputs.config.training.steps
    return [f"training.steps={steps}"] if inputs.quick and own and own > steps else []


def batch_size(inputs: StudyInputs) -> list[str] | None:
    """Every power of two below the config's batch size; all runs see equally many images.

    None where there is no smaller batch that batch norm could take.
    """
    config, sizes = inputs.config, _sizes(inputs)
    if not sizes:
        return None
    own, training = config.data.batch_size, config.training
    epochs = training.epochs
    if epochs is None:
        assert training.steps is not None
        epochs = float(f"{training.steps * own / inputs.examples:.3g}")
    if inputs.quick:
        epochs = min(epochs, QUICK_EPOCHS)
    overrides = [
        *_only(config, ("batch", "layer"), "layer"),
        *_exclusive("training.epochs", epochs, "training.steps", training.steps),
        *_exclusive("training.evaluations", 10, "training.evaluate_every", training.evaluate_every),
        f"sweep={{data.batch_size: {_flow(sizes)}}}",
    ]
    # Half the batch at half the rate makes the same progress an epoch (Goyal et al. 2017,
    # arXiv:1706.02677), so that what is left is the norm's; for Adam there is no such rule.
    if isinstance(config.optimizer, SgdConfig) and config.optimizer.reference_batch_size is None:
        overrides.append(f"optimizer.reference_batch_size={own}")
    return overrides


def batch_size_updates(inputs: StudyInputs) -> list[str] | None:
    """The same sizes with as many updates as the config's own size has, at the config's rate."""
    config, sizes = inputs.config, _sizes(inputs)
    if not sizes:
        return None
    training = config.training
    steps = training.steps
    if steps is None:
        assert training.epochs is not None
        steps = max(1, round(training.epochs * (inputs.examples // config.data.batch_size)))
    return [
        *_only(config, ("batch", "layer"), "layer"),
        *_exclusive("training.steps", steps, "training.epochs", training.epochs),
        *_exclusive("training.evaluations", 10, "training.evaluate_every", training.evaluate_every),
        f"sweep={{data.batch_size: {_flow(sizes)}}}",
    ]


def _sizes(inputs: StudyInputs) -> list[int]:
    """Powers of two below the config's batch size, and that size; empty without a smaller one."""
    own = inputs.config.data.batch_size
    # In small the size 2 is left out where others remain: it takes as long as all of them.
    first = 2 if inputs.quick and own > 4 else 1
    sizes = [2**k for k in range(first, own.bit_length()) if 2**k < own]
    return [*sizes, own] if sizes else []


def other_model(inputs: StudyInputs) -> list[str] | None:
    """The same question to a small network of another kind; only in small, since nobody asked for
    it in full."""
    if not inputs.quick:
        return None
    config = inputs.config
    model = config.model
    other = QUICK_OTHER["mlp" if MODELS[model.kind].layout == "image" else "cnn"]
    shared = ("activation", "init", "bias", "placement")
    common = {key: getattr(model, key) for key in shared if hasattr(model, key)}
    return [
        *_only(config, ("batch", "layer", "rms"), "layer"),
        _tune(inputs, OTHER_RATES, TUNE_SEEDS),
        f"model={_flow({**other, **common})}",
        *_shorter(inputs, OTHER_STEPS),
    ]


STUDIES: dict[str, Callable[[StudyInputs], list[str] | None]] = {
    "base": base,
    "depth": depth,
    "batch-size": batch_size,
    "batch-size-updates": batch_size_updates,
    "other-model": other_model,
}
"""The experiments by name, each as the overrides that make it; in the order they are trained."""


def _tune(inputs: StudyInputs, rates: Sequence[float], seeds: int) -> str:
    """The grid of rates, as multiples of the config's own, or the config's own grid."""
    original = inputs.original.tune
    seeds = max(seeds, inputs.config.runtime.stack)  # a stack's empty places cost as much
    if not inputs.quick and original is not None and original.key == "optimizer.lr":
        grid = list(original.values)
    else:
        lr = inputs.config.optimizer.lr
        grid = [float(f"{lr * factor:.3g}") for factor in rates]
    return f"tune={{optimizer.lr: {_flow(grid)}, seeds: {seeds}}}"


def name_of(config: ExperimentConfig, suffix: str, *, quick: bool) -> str:
    """Where a study's results go: ``<name>-claims[-quick][-suffix]``."""
    words = [config.name[:40], "claims", *(["quick"] if quick else []), suffix]
    return "-".join(word for word in words if word)


def _only(config: ExperimentConfig, kinds: Iterable[str], baseline: str) -> list[str]:
    """The first norm of each kind, and no other."""
    chosen = [next(norm for norm in config.norms if norm.kind == kind) for kind in kinds]
    label = label_of(config, baseline)
    return [f"norms={_flow(map(_norm, chosen))}", f"baseline={_flow(label)}"]


def _first(config: ExperimentConfig, kind: str) -> str:
    return next((norm.label for norm in config.norms if norm.kind == kind), kind)


def _norm(norm: Any) -> Any:
    """The shortest that stands for a norm: its kind, or its keys."""
    if isinstance(norm, str):
        return norm
    if norm.name is None and norm.label == norm.kind:
        return norm.kind
    return norm.model_dump(mode="json", exclude_defaults=True) | {"kind": norm.kind}


def _flow(value: Any) -> str:
    """A value in YAML's flow style, words without quotes where they need none."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        plain = value.replace("_", "").isalnum() and value[0].isalpha()
        reserved = value.lower() in ("null", "true", "false")
        return value if plain and not reserved else json.dumps(value)
    if isinstance(value, Iterable):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value)
