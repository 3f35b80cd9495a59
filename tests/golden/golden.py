"""Golden runs: short runs whose results are stored, so that a change that should move no number
proves that it moves none.

``results/`` holds one JSON file a case: the machine class that made it, the backbone's hash, the
journal without clock readings (batch-order hashes among it), and a hash of the final weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny import SHORT_EPOCHS, only, record, run_config, state, trained

from normbench.data import Dataset
from normbench.errors import ConfigError
from normbench.norms import NORMS
from normbench.training import events
from normbench.training.loop import train_together

RESULTS = Path(__file__).parent / "results"

STEPS = 6
BUDGET = (
    *SHORT_EPOCHS,
    f"training={{steps: {STEPS}, evaluate_every: 3}}",
    "optimizer.lr=0.02",
    "probes={every: 2}",
)
MODELS = {
    "mlp": ("model={kind: mlp, depth: 3, width: 16}",),
    # Of its many activations one lies so near to ReLU's kink that rounding decides on which side.
    "cnn": ("model={kind: cnn, depth: 4, stages: 2, width: 8, activation: gelu}",),
}
PRECISIONS = {"fp32": (), "bf16": ("training.precision=bf16",)}
# One of everything that could carry state from step to step, or that differs by parameter. Adam
# divides by its gradients' size: with the usual eps, and under batch norm, where a bias has a
# gradient of rounding errors alone, it would make whole steps of rounding errors.
EVERYTHING = (
    "data.augment={crop: 1, flip: true}",
    "optimizer={kind: adamw, lr: 0.01, weight_decay: 0.1, eps: 1e-3, schedule: cosine, "
    "warmup_steps: 2, clip_norm: 0.5}",
    "model.init=orthogonal",
    "model.bias=false",
)
SEEDS_IN_A_STACK = 2
STOPPED_AT = 4

# Two values a group, the default in so small a network, would be chaotic: they normalize to +-1.
OPTIONS = {"group": "{kind: group, groups: 2}"}
# Norms that are another computation under other options.
VARIANTS = {"layer-c": "{kind: layer, axes: c}", "rms-c": "{kind: rms, axes: c}"}

TOLERANCE = {"fp32": 1e-6, "bf16": 2e-2}
"""Largest difference, relative or absolute, on a machine class other than the one that made a case.

bf16 keeps 8 bits: where another kernel adds up in another order, an activation moves by 1/256.
"""
LEFT_OUT = ("val_accuracy", "test_accuracy", "dead_units")
"""Shares of counts: on another machine class one example on the edge moves them by 1/n, whatever
the tolerance. There they may differ by ``ONE_OR_TWO``."""
ONE_OR_TWO = 0.05


@dataclass(frozen=True)
class Case:
    """One golden run: what changes the tiny experiment, its norm, and how it is trained."""

    overrides: tuple[str, ...]
    norm: str
    precision: str
    stacked: bool = False
    resumed: bool = False


KINDS = ("batch", "group", "instance", "layer", "none", "original", "rms")
"""Methods that every result so far was made with."""


def _cases() -> Iterator[tuple[str, Case]]:
    norms = {name: OPTIONS.get(name, name) for name in KINDS}
    for model, network in MODELS.items():
        for name, norm in {**norms, **(VARIANTS if model == "cnn" else {})}.items():
            for precision, bits in PRECISIONS.items():
                case = Case((*BUDGET, *network, *bits), norm, precision)
                if _fits(case):
                    yield f"{model}-{name}-{precision}", case
        everything = (*BUDGET, *network, *EVERYTHING)
        yield f"{model}-everything", Case(everything, "batch", "fp32")
        for precision, bits in PRECISIONS.items():
            case = Case((*BUDGET, *network, *bits), "batch", precision, stacked=True)
            yield f"{model}-stack-{precision}", case
        yield f"{model}-resumed", Case(everything, "batch", "fp32", resumed=True)


def _fits(case: Case) -> bool:
    """Whether the norm makes sense in so small a network."""
    try:
        run_config(*case.overrides, norm=case.norm)
    except ConfigError:
        return False
    return True


CASES = dict(_cases())

METHODS = "methods"
"""The result of every other method, all in one file: the last losses of three updates."""
HOSTS = (
    MODELS["mlp"],
    MODELS["cnn"],
    ("model={kind: residual_mlp, depth: 2, width: 16}",),
    ("model={kind: vit, depth: 2, width: 16, heads: 2}",),
)
"""The networks that a method is tried in: it stands in the first that admits it."""


def method_cases() -> dict[str, Case]:
    """One short run of every method that has no other golden result."""
    budget = (*SHORT_EPOCHS, "training={steps: 3, evaluate_every: 3}", "optimizer.lr=0.01")
    found = {}
    for name in sorted(set(NORMS.names()) - set(KINDS)):
        fitting = (Case((*budget, *host, "probes.steps=none"), name, "fp32") for host in HOSTS)
        found[name] = next(filter(_fits, fitting))
    return found


def run_methods(digits: Dataset) -> dict[str, Any]:
    """What the file of all other methods holds, less the machine class."""
    return {
        "runs": {name: _brief(name, run(case, digits)) for name, case in method_cases().items()}
    }


def _brief(name: str, told: dict[str, Any]) -> dict[str, Any]:
    (one,) = told["runs"]
    last = [line for line in one["journal"] if line["event"] == "Evaluated"][-1]
    numbers = {key: last[key] for key in ("train_loss", "val_loss")}
    rules = {parameter: rule.text for parameter, rule in NORMS[name].rules.items()}
    declared = {"revision": NORMS[name].revision, "rules": rules}
    return {key: one[key] for key in ("backbone_sha256", "weights_sha256")} | numbers | declared


def unrevised(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Methods whose numbers or rules are others, and whose revision is not: their runs of before
    would be taken for those that would be made now."""
    same_machine = old["machine"] == new["machine"]
    numbers = ("train_loss", "val_loss") if same_machine else ()
    return [
        name
        for name, before in old["runs"].items()
        if (now := new["runs"].get(name)) is not None
        and "revision" in before
        and any(now[key] != before[key] for key in (*numbers, "rules"))
        and now["revision"] == before["revision"]
    ]


def run(case: Case, digits: Dataset) -> dict[str, Any]:
    """Train the case: what ``results/`` holds of it, less the machine class."""
    if case.stacked:
        stack = f"runtime.stack={SEEDS_IN_A_STACK}"
        configs = [
            run_config(stack, *case.overrides, norm=case.norm, seed=seed)
            for seed in range(SEEDS_IN_A_STACK)
        ]
        told: list[list[events.Event]] = [[] for _ in configs]
        for index, event in train_together(configs, digits, resume=[None] * len(configs)):
            told[index].append(event)
        return {"runs": [_told(found) for found in told]}
    config = run_config(*case.overrides, norm=case.norm)
    if not case.resumed:
        return {"runs": [_told(trained(config, digits))]}
    before = trained(config, digits, stop_at=STOPPED_AT)
    saved = only(before, events.Checkpointed)[-1]
    return {"runs": [_told([*before, *trained(config, digits, resume=saved.state)])]}


def _told(found: list[events.Event]) -> dict[str, Any]:
    final = state(found)["network"]
    digest = hashlib.sha256()
    for name, tensor in final.items():
        digest.update(name.encode() + b"\0")
        digest.update(tensor.contiguous().numpy().tobytes())
    return {
        "backbone_sha256": only(found, events.Started)[0].backbone_sha256,
        "weights_sha256": digest.hexdigest(),
        # Through JSON, as a stored result comes back.
        "journal": json.loads(
            json.dumps([{"event": kind, **what} for kind, what in record(found)])
        ),
    }


def machine_class() -> dict[str, Any]:
    """What the last bits depend on beyond the code: processor, kernels, versions, threads."""
    info: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    except OSError:
        info["model name"] = platform.processor()
    features = [f for f in info.get("flags", "").split() if f.startswith(("avx", "amx", "fma"))]
    limits = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
    return {
        "processor": " ".join(
            info.get(key, "") for key in ("model name", "cpu family", "model")
        ).strip(),
        "features": " ".join(sorted(features)),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "limits": {name: os.environ[name] for name in limits if name in os.environ},
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def stored(name: str) -> dict[str, Any] | None:
    """The golden result of a case; None where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(place, old, new) of everything that is not the same to the last bit.

    What only ``new`` has, such as another probe, is no difference: the old numbers stand.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key not in new:
                yield f"{where}.{key}", value, None
            else:
                yield from differences(value, new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{where}[{place}]")
    elif old != new and not (_number(old) and _number(new) and math.isnan(old) and math.isnan(new)):
        yield where, old, new


def size(old: Any, new: Any) -> float:
    """How far two values lie apart, relative or absolute, whichever is less; inf if no numbers."""
    if not (_number(old) and _number(new)):
        return math.inf
    apart = abs(old - new)
    return apart / max(1.0, abs(old)) if math.isfinite(apart) else math.inf


def beyond(case: Case, moved: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Those differences that another machine class does not explain."""
    return [(where, old, new) for where, old, new in moved if not _explained(case, where, old, new)]


def _explained(case: Case, where: str, old: Any, new: Any) -> bool:
    if where.endswith("weights_sha256"):
        return True
    share = any(name in where for name in LEFT_OUT)
    return size(old, new) <= (ONE_OR_TWO if share else TOLERANCE[case.precision])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
