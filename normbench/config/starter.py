"""A first config for a dataset and a network: sizes from the bundled configs, a comment on every
key from the schema, so that neither is written down twice.
"""

from __future__ import annotations

import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from normbench.config.components import (
    DATA,
    MODEL,
    DataConfig,
    ModelConfig,
    NormalizationConfig,
)
from normbench.config.defaults import sizes
from normbench.config.experiment import ExperimentConfig
from normbench.config.loader import load
from normbench.config.schema import Section
from normbench.config.training import (
    OPTIMIZER,
    FixedTarget,
    OptimizerConfig,
    PilotTarget,
    ProbesConfig,
    RuntimeConfig,
    TrainingConfig,
)
from normbench.config.yaml12 import parse
from normbench.errors import ConfigError

COMMENT_COLUMN = 32
WIDTH = 100


@dataclass(frozen=True)
class Choice:
    """What is asked of the user. norms, seeds, target: YAML texts, ``norms`` without brackets.

    images: the path of one's own data; empty for a dataset that is found by its name.
    """

    dataset: str
    model: str
    name: str
    norms: str
    seeds: str
    target: str
    images: str = ""


def suggested(dataset: str, model: str, name: str | None = None) -> Choice:
    """Sensible answers for a dataset and a model, after the bundled configs."""
    tree = sizes(dataset, model)
    labels = [norm if isinstance(norm, str) else norm["kind"] for norm in tree["norms"]]
    if "target" in tree:
        target = _flow(tree["target"]["val_accuracy"])
    else:  # nobody has measured what this pair reaches, so a norm tells on seeds of its own
        target = "batch" if "batch" in labels else labels[0]
    return Choice(
        dataset,
        model,
        name or f"my-{dataset}-{model}",
        _flow(tree["norms"])[1:-1],
        _flow(tree["seeds"]),
        target,
        path_example(dataset),
    )


def path_example(dataset: str) -> str:
    """What the path of one's own data may look like; empty for a dataset without one."""
    field = DATA.member(dataset).model_fields.get("path")
    return str(field.examples[0]) if field is not None and field.examples else ""


def starter(choice: Choice) -> str:
    """The config as text, every key with a comment. Raises ConfigError for a choice that is wrong.

    target: an accuracy or several, or the name of the norm that sets it.
    """
    tree = sizes(choice.dataset, choice.model)
    tree["name"] = choice.name
    if choice.images:
        tree["data"] |= {"path": choice.images}
    tree["norms"] = parse(f"[{choice.norms}]", "norms").tree
    tree["seeds"] = parse(choice.seeds, "seeds").tree
    target = parse(choice.target, "target").tree
    tree["target"] = {"from" if isinstance(target, str) else "val_accuracy": target}
    labels = [norm if isinstance(norm, str) else None for norm in tree["norms"] or []]
    if tree.get("baseline") not in labels:
        tree.pop("baseline", None)
    try:
        checked = load(_text(tree, ""))
    except ConfigError as error:  # of a text that nobody has seen, so its lines mean nothing
        problems = [replace(p, line=None, column=None, source=None) for p in error.problems]
        raise ConfigError(problems) from None
    tree["baseline"] = checked.baseline
    return _text(tree, _heading(checked))


def _heading(experiment: ExperimentConfig) -> str:
    kind, dataset = experiment.model.kind, experiment.data.dataset
    return f"""\
# {kind} on {dataset} under {len(experiment.norms)} norms, begun with `normbench init`.
#
# `normbench validate FILE` tells every mistake at once, `normbench show FILE` writes out the keys
# that are not here with their defaults, `normbench train FILE` runs it.
"""


# --- text ---


def _text(tree: Mapping[str, Any], heading: str) -> str:
    sections: dict[str, type[Section]] = {
        "data": DATA.member(tree["data"]["dataset"]),
        "model": MODEL.member(tree["model"]["kind"]),
        "normalization": NormalizationConfig,
        "optimizer": OPTIMIZER.member(tree["optimizer"]["kind"]),
        "training": TrainingConfig,
        "target": PilotTarget if "from" in tree["target"] else FixedTarget,
        "probes": ProbesConfig,
        "runtime": RuntimeConfig,
    }
    lines = [heading]
    for key in [key for key in ExperimentConfig.model_fields if key in tree]:
        described = _described(ExperimentConfig, key)
        if key not in sections:
            lines += [*_line(key, tree[key], described), ""]
            continue
        lines += [*_line(key, None, described)]
        for inner, value in tree[key].items():
            lines += _line(inner, value, _described(sections[key], inner), "  ")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _line(key: str, value: Any, comment: str, indent: str = "") -> Iterator[str]:
    """``key: value   # comment``, the comment above where the line has no room for it."""
    text = f"{indent}{key}:" + ("" if value is None else f" {_flow(value)}")
    beside = f"{text:<{COMMENT_COLUMN - 2}}  # {comment}"
    if not comment:
        yield text
    elif len(beside) <= WIDTH:
        yield beside
    else:
        prefix = f"{indent}# "
        yield from textwrap.wrap(comment, WIDTH, initial_indent=prefix, subsequent_indent=prefix)
        yield text


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return dumped.removesuffix("...\n").strip()


_TAGGED: dict[str, type[Section]] = {"dataset": DataConfig, "kind": ModelConfig}


def _described(section: type[Section], key: str) -> str:
    """What the schema says of a key: its description and the words it may take."""
    field = section.model_fields.get(key)
    if field is None:  # known by another name in the file
        field = next(f for f in section.model_fields.values() if f.alias == key)
    text = field.description or ""
    if text.startswith("always "):
        if issubclass(section, OptimizerConfig):
            return ", ".join(OPTIMIZER.names())
        text = _TAGGED[key].model_fields[key].description or ""
    # The options of a component are described in its docstring: "depth: layers; width: units".
    described = re.search(rf"\b{key}: ([^;]+?)[;.]*(;|$)", section.__doc__ or "")
    if not text and described:
        text = described[1]
    words = [str(word) for word in _literals(field.annotation) if isinstance(word, str)]
    return f"{text} ({', '.join(words)})" if words and words[0] not in text else text


def _literals(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return tuple(word for part in typing.get_args(annotation) for word in _literals(part))
