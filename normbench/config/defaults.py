"""What a config means that leaves things out: short forms, and values that suit data and network.

The values come from the bundled configs, so that they stand in one place and are those that were
tried: data and budget from the config nearest to the dataset, the network and its optimizer from
the one nearest to the model.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normbench.bundled import bundled
from normbench.components import short
from normbench.config.components import DATA, MODEL, NORM
from normbench.config.names import experiment_name
from normbench.config.training import OPTIMIZER
from normbench.config.yaml12 import parse
from normbench.data.catalog import DATASETS, recognized
from normbench.models import MODELS
from normbench.models.foreign import of_library
from normbench.registry import UnknownName

Tree = dict[str, Any]

SHORT = {"data": "dataset", "model": "kind", "optimizer": "kind"}
"""Sections that may be a single word, and the key it stands for."""

NORMS_FOR_ANY = ("none", "batch", "layer", "rms", "group")
"""What is compared in a network that no bundled config has."""

_RATES = {"sgd": 0.05, "adam": 0.001, "adamw": 0.001}
"""Learning rates of optimizers that the bundled config of a model does not use."""


def complete(tree: Mapping[str, Any], name: str = "", base: Path | None = None) -> Tree:
    """``tree`` with short forms written out, and what is missing filled in.

    name: what the experiment is called if the tree does not say; else after dataset and model.
    base: the folder that the path of the user's own data counts from; None: the current one.
    Mistakes stay as they are, for the schema to find. Norms are never filled in.
    """
    tree = {
        key: {SHORT[key]: value} if key in SHORT and isinstance(value, str) else value
        for key, value in tree.items()
    }
    if isinstance(tree.get("model"), Mapping):
        tree["model"] = _of_library(tree["model"])
    if isinstance(tree.get("data"), Mapping):
        tree["data"] = _located(tree["data"], base or Path.cwd())
    if isinstance(tree.get("norms"), str):
        tree["norms"] = [tree["norms"]]
    # Beside a mistake in the kind the rest is filled in all the same: what is not there is no
    # second mistake.
    dataset = _kind(tree, "data", "digits")
    model = _kind(tree, "model", "mlp" if _small(dataset or "digits") else "cnn")
    suited = sizes(dataset or "digits", model or "mlp")
    if dataset is not None:
        tree["data"] = _filled(tree.get("data"), suited["data"])
    if model is not None:
        own = tree.get("model") or {}
        # Who gives a key knows the others: then only those without a default are filled in.
        needed = MODEL.required(model) if own.keys() - {"kind"} else suited["model"].keys()
        tree["model"] = _filled(own, {k: v for k, v in suited["model"].items() if k in needed})
        tree["model"].setdefault("kind", model)
    tree["training"] = _training(tree.get("training"), suited["training"])
    tree["optimizer"] = _optimizer(tree.get("optimizer"), suited["optimizer"], tree["training"])
    if tree.get("target") is None:
        tree["target"] = suited.get("target") or _pilot(tree)
    tree.setdefault("seeds", suited["seeds"])
    called = _called(tree["data"]) if dataset is not None else ""
    network = tree["model"].get("name") if model is not None else None
    suited_name = f"{called or dataset}-{network or short(model or '')}".replace("_", "-")
    tree.setdefault("name", name or experiment_name(suited_name))
    return tree


def _of_library(model: Mapping[str, Any]) -> Tree:
    """The section with ``torchvision:resnet18`` as the kind torchvision and the name resnet18."""
    kind = model.get("kind")
    known = of_library(kind) if isinstance(kind, str) else None
    return {**model, "kind": known[0], "name": known[1]} if known else dict(model)


def _located(data: Mapping[str, Any], base: Path) -> Tree:
    """The section with its dataset named and its path absolute.

    A dataset that is not registered may be the path of one's own: a file, a folder, a reference.
    """
    located = dict(data)
    word, path = located.get("dataset"), located.get("path")
    if isinstance(word, str) and DATA.known(word) not in DATA.names():
        path = path or word
    elif word is not None:
        path = None
    if isinstance(path, str) and (kind := recognized(path, base)):
        located |= {"dataset": kind, "path": path}
    kind = located.get("dataset")
    if isinstance(kind, str) and DATA.known(kind) in DATA.names():
        return DATASETS[kind].anchored(located, base)
    return located


def _called(data: Mapping[str, Any]) -> str:
    """After what the user's own data are called on disk; empty for any other dataset."""
    path = data.get("path")
    if not isinstance(path, str) or not DATASETS[data["dataset"]].own:
        return ""
    return experiment_name(Path(path.partition(":")[0]).stem)


def sizes(dataset: str, model: str) -> Tree:
    """A config's tree for a dataset and a kind of model, without name; a target where one bundled
    config has both.
    """
    data = max(_plain(), key=lambda tree: (*_near(tree, dataset), tree["model"]["kind"] == model))
    network = max(
        _plain(), key=lambda tree: (tree["model"]["kind"] == model, *_near(tree, dataset))
    )
    known = DATA.member(dataset).model_fields
    tree: Tree = {"data": {k: v for k, v in data["data"].items() if k in known}}
    tree["data"]["dataset"] = dataset
    if DATASETS[dataset].own and data["data"]["dataset"] != dataset:
        tree["data"].pop("augment", None)  # nobody has said that a mirrored image is one as well
    if network["model"]["kind"] == model:
        shared = ("model", "normalization", "norms", "baseline", "optimizer")
        tree |= {key: network[key] for key in shared if key in network}
    else:  # a model that no bundled config has
        tree |= {key: data[key] for key in ("baseline", "optimizer") if key in data}
        tree["norms"] = [*(["original"] if MODELS[model].open else []), *NORMS_FOR_ANY]
        tree["model"] = {"kind": model}
    if data["data"]["dataset"] == dataset and data["model"]["kind"] == model:
        tree["target"] = data["target"]
    return copy.deepcopy(tree | {key: data[key] for key in ("training", "seeds")})


def _kind(tree: Tree, section: str, default: str) -> str | None:
    """The registered kind of a section; None where it is a mistake."""
    value = tree.get(section, {})
    if not isinstance(value, Mapping):
        return None
    word = value.get(SHORT[section], default)
    canonical = DATA.canonical if section == "data" else MODEL.canonical
    try:
        return canonical(word) if isinstance(word, str) else None
    except UnknownName:
        return None


def _filled(own: Any, suited: Mapping[str, Any]) -> Tree:
    """A section with the keys it lacks; a path is for the user to give."""
    return {**{key: value for key, value in suited.items() if key != "path"}, **(own or {})}


def _optimizer(own: Any, suited: Mapping[str, Any], training: Any) -> Any:
    """A whole optimizer, or the learning rate that one of this kind starts from."""
    if own is None:
        steps = training.get("steps") if isinstance(training, Mapping) else None
        if isinstance(steps, int) and steps <= 2 * suited.get("warmup_steps", 0):
            return {**suited, "warmup_steps": steps // 10}
        return dict(suited)
    if not isinstance(own, Mapping) or own.get("lr") is not None:
        return own
    kind = own.get("kind", "sgd")
    try:
        kind = OPTIMIZER.canonical(kind)
    except (UnknownName, AttributeError):
        return own
    rate = suited["lr"] if kind == suited["kind"] else _RATES.get(kind)
    return own if rate is None else {"lr": rate, **own}


def _training(own: Any, suited: Mapping[str, Any]) -> Any:
    """A budget where none is given, and a cadence that goes with the budget that is."""
    if own is None:
        return dict(suited)
    if not isinstance(own, Mapping):
        return own
    budget = {key for key in ("epochs", "steps") if own.get(key) is not None}
    cadence = {key for key in ("evaluate_every", "evaluations") if own.get(key) is not None}
    filled = dict(own)
    if not budget:
        filled |= {key: suited[key] for key in ("epochs", "steps") if suited.get(key) is not None}
    if not cadence:
        filled["evaluations"] = EVALUATIONS
    return filled


EVALUATIONS = 20
"""Evaluations over a budget of which nothing else is said."""


def _pilot(tree: Mapping[str, Any]) -> Any:
    """Nobody has measured what this pair reaches, so a norm tells on seeds of its own."""
    norms = tree.get("norms")
    words = [norm for norm in norms if isinstance(norm, str)] if isinstance(norms, list) else []
    told = [word for word in words if NORM.known(word) != "none"]
    return {"from": told[0]} if told else {"val_accuracy": 0.9}


@functools.cache
def _plain() -> tuple[Tree, ...]:
    """The trees of the bundled configs that neither sweep nor tune."""
    trees = [parse(path.read_text(encoding="utf-8"), path.name).tree for path in bundled()]
    return tuple(tree for tree in trees if not tree.keys() & {"sweep", "tune"})


def _near(tree: Mapping[str, Any], dataset: str) -> tuple[bool, bool, float]:
    """Whether a config is for this very dataset, for one's own images as well, of a near size."""
    here = tree["data"]["dataset"]
    size = -abs(math.log(_pixels(here) / _pixels(dataset)))
    return here == dataset, DATASETS[here].own == DATASETS[dataset].own, size


def _small(dataset: str) -> bool:
    """Grey images, for which an MLP will do."""
    shape = DATASETS[dataset].native_shape
    return shape is not None and shape[2] == 1


@functools.cache
def _pixels(dataset: str) -> int:
    return math.prod(DATASETS[dataset].native_shape or (32, 32, 3))
