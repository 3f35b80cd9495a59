"""A page about one run: its config, what happened, its curve, its timings, its environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from normbench.constants import SCHEMA
from normbench.report.columns import Column, count, number, percent, seconds, sparkline
from normbench.report.tables import rich_table
from normbench.store.record import RunRecord

MOST_ROWS = 12  # of a long curve, evenly spaced
CURVE_WIDTH = 30
_CLOCKS = ("train_seconds", "evaluate_seconds", "probe_seconds", "wall_seconds")
_CURVE = [
    Column("step", lambda row: count(row["step"])),
    Column("epoch", lambda row: number(row["epoch"])),
    Column("val %", lambda row: percent(row["val_accuracy"])),
    Column("val loss", lambda row: number(row["val_loss"])),
    Column("train loss", lambda row: number(row["train_loss"])),
    Column("trained for", lambda row: seconds(row["train_seconds"]), weight=1),
]


def page(record: RunRecord, width: int) -> Iterator[RenderableType]:
    """The parts of the page in reading order, for a terminal ``width`` characters wide."""
    manifest = record.manifest
    yield Text(f"{record.experiment}/{record.run}: {manifest['state']}", style="bold")
    parts = {
        "config": _config(record),
        "events": _events(record),
        "timings": _timings(record),
        "environment": _environment(record),
    }
    for heading, lines in parts.items():
        yield Text(f"\n{heading}", style="bold")
        yield Padding(Text("\n".join(lines)), (0, 0, 0, 2), expand=False)
    yield Text()
    evaluations = pd.DataFrame(record.of("eval"), dtype=object)
    if len(evaluations):
        curve = evaluations[[column for column in evaluations if column != "event"]].astype(float)
        yield from _curve(curve, width)
    else:
        yield Text("no evaluation yet")
    if manifest.get("details"):
        yield Text("traceback", style="bold")
        yield Padding(Text(manifest["details"].rstrip()), (0, 0, 0, 2), expand=False)


def as_dict(record: RunRecord) -> dict[str, Any]:
    """The same, for ``--json``."""
    manifest = record.manifest
    return {
        "schema": SCHEMA,
        "experiment": record.experiment,
        "run": record.run,
        "state": manifest["state"],
        "norm": manifest["norm"],
        "seed": manifest["seed"],
        "config": record.config,
        "differs": {
            key: {"run": own, "experiment": whole} for key, (own, whole) in record.differs.items()
        },
        "events": _happened(record),
        "timings": {clock: manifest.get(clock) for clock in _CLOCKS},
        "environment": {
            "device": manifest.get("device"),
            "threads": manifest.get("threads"),
            **manifest.get("environment", {}),
        },
        "evaluations": [_without(event, "event") for event in record.of("eval")],
        "test": next((_without(event, "event") for event in record.of("test")), None),
    }


def _config(record: RunRecord) -> list[str]:
    lines = [
        f"{key}: {yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)}"
        for key, value in record.config.items()
    ]
    lines = [line.replace("\n...", "").rstrip() for line in lines]
    if record.differs:
        shown = [f"{key} {own} (there {whole})" for key, (own, whole) in record.differs.items()]
        lines.append(f"differs from the experiment's config in {', '.join(shown)}")
    else:
        lines.append(f"all {record.shared} keys as in the experiment's config, but norm and seed")
    return lines


def _happened(record: RunRecord) -> list[dict[str, Any]]:
    """What became of the run, in order; steps count updates."""
    manifest = record.manifest
    events: list[dict[str, Any]] = []
    if "steps" in manifest:
        events.append({"event": "started", "steps": manifest["steps"]})
    if epochs := record.of("epoch"):
        events.append({"event": "epochs", "begun": len(epochs), "step": epochs[-1]["step"]})
    if manifest.get("checkpoint_step") is not None:
        events.append({"event": "checkpoint", "step": manifest["checkpoint_step"]})
    events += [{"event": "diverged", "step": event["step"]} for event in record.of("diverged")]
    events += [_without(event, "test_loss") for event in record.of("test")]
    if manifest["state"] == "failed":
        events.append(
            {
                "event": "failed",
                "reason": manifest.get("reason"),
                "details": manifest.get("details"),
            }
        )
    # A divergence is told with its step already; that the run then ended adds nothing.
    elif manifest["state"] != "running" and not record.of(manifest["state"]):
        events.append({"event": manifest["state"], "step": manifest.get("steps_done")})
    return events


def _events(record: RunRecord) -> list[str]:
    words = {
        "started": lambda e: f"started, for {e['steps']} steps",
        "epochs": lambda e: f"epoch {e['begun']} began at step {e['step']}",
        "checkpoint": lambda e: f"last checkpoint at step {e['step']}",
        "diverged": lambda e: f"diverged at step {e['step']}: the training loss was not finite",
        "test": _tested,
        "failed": lambda e: f"failed: {e['reason']}",
        "finished": lambda e: f"finished after {e['step']} steps",
        "interrupted": lambda e: f"interrupted after {e['step']} steps; `train` continues it",
    }
    lines = [words[event["event"]](event) for event in _happened(record)]
    return lines or ["none yet"]


def _tested(event: Mapping[str, Any]) -> str:
    text = f"test accuracy {percent(event['test_accuracy'])}% after step {event['step']}"
    if event.get("val_accuracy_precise") is None:
        return text
    precise = percent(event["val_accuracy_precise"])
    return f"{text}; validation accuracy {precise}% with recomputed statistics"


def _timings(record: RunRecord) -> list[str]:
    manifest = record.manifest
    lines = [
        f"{clock.removesuffix('_seconds')} {seconds(manifest[clock])}"
        for clock in _CLOCKS
        if manifest.get(clock) is not None
    ]
    if manifest.get("train_seconds") and manifest.get("steps_done"):
        lines[0] += f" ({seconds(manifest['train_seconds'] / manifest['steps_done'])} a step)"
    return [", ".join(lines) or "written when the run ends"]


def _environment(record: RunRecord) -> list[str]:
    manifest = record.manifest
    known = manifest.get("environment", {})
    packages = known.get("packages", {})
    threads = manifest.get("threads")
    return [
        f"device {manifest.get('device')}, {threads} {'thread' if threads == 1 else 'threads'}",
        f"{known.get('processor')}, {known.get('cores')} cores, {known.get('system')}",
        f"normbench {known.get('normbench')}, python {known.get('python')}",
        ", ".join(f"{name} {version}" for name, version in packages.items()),
    ]


def _curve(curve: pd.DataFrame, width: int) -> Iterator[RenderableType]:
    last = curve.iloc[-1]
    accuracy = sparkline(curve["val_accuracy"], CURVE_WIDTH, log=False, low=0, high=1)
    yield Text(f"val accuracy  {accuracy}  {percent(last['val_accuracy'])}%")
    losses = curve["train_loss"].dropna()
    if len(losses):
        line = f"{sparkline(losses, CURVE_WIDTH)}  {number(losses.iloc[-1])}"
        yield Text(f"train loss    {line}")
    indices = np.linspace(0, len(curve) - 1, min(len(curve), MOST_ROWS)).round().astype(int)
    note = f"{len(indices)} of {len(curve)} evaluations; --json has all"
    rows = curve.iloc[indices]
    yield rich_table("", rows, _CURVE, width, note if len(indices) < len(curve) else "")


def _without(event: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != key}
