"""A stored test accuracy, computed once more from the weights that a run kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import numpy as np
import torch

from normbench.config import RunConfig
from normbench.data import Dataset
from normbench.data.prepared import at_hand
from normbench.errors import ConfigError, DataError
from normbench.store import ExperimentStore
from normbench.store.record import read_config
from normbench.training.run import Run

SAMPLE = 3
"""Runs of an experiment that are looked at, spread evenly over their names."""

ALLOWED = 0.005
"""Share of examples that rounding may turn elsewhere, such as on another processor."""


@dataclass(frozen=True)
class Recomputed:
    """stored: what the journal says; again: what the weights give; both shares of the test part."""

    folder: str
    stored: float
    again: float

    @property
    def same(self) -> bool:
        """Whether they differ by no more than rounding explains."""
        return abs(self.stored - self.again) <= ALLOWED


def recompute(
    store: ExperimentStore, dataset: Dataset, folders: list[str], most: int = SAMPLE
) -> Iterator[Recomputed]:
    """Evaluate a sample of runs once more, on the CPU.

    folders: sound runs to choose from; one that keeps no weights, has no test accuracy or was
    trained on other data is left out. Raises StoreError.
    """
    kept = [folder for folder in folders if _stored(store, dataset, folder) is not None]
    for folder in kept[:: max(1, -(-len(kept) // most))]:
        stored, state = _stored(store, dataset, folder), store.run(folder).checkpoint()
        if stored is not None and state is not None:
            yield Recomputed(folder, stored, _accuracy(store, dataset, folder, state))


def _stored(store: ExperimentStore, dataset: Dataset, folder: str) -> float | None:
    """The test accuracy of a run that has weights to check it by."""
    run = store.run(folder)
    manifest = run.known_manifest()
    if not (run.ended and run.has_checkpoint) or manifest.get("state") != "finished":
        return None
    if manifest["data"]["fingerprint"] != dataset.fingerprint:
        return None
    tests = [event for event in run.sealed_events("metrics") if event["event"] == "test"]
    return float(tests[-1]["test_accuracy"]) if tests else None


def _accuracy(store: ExperimentStore, dataset: Dataset, folder: str, state: bytes) -> float:
    tree = read_config(store.run(folder).path)
    tree["runtime"] |= {"device": "cpu", "stack": 1, "compile": False}
    run = Run(RunConfig.model_validate(tree), dataset)
    checkpoint = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
    run.network.load_state_dict(checkpoint["network"])
    return run.evaluate(run.test_data, np.arange(len(run.test_data)))[1]


def sample_told(
    store: ExperimentStore, data_dir: Path | None = None
) -> Iterator[tuple[Literal["ok", "note", "problem"], str, str]]:
    """What a sample shows, in sentences: (how it stands, text, remedy).

    Nothing is downloaded: without the data at hand that is told. Raises StoreError.
    """
    folders = [folder for folder in store.folders() if store.run(folder).done]
    if not folders:
        return
    try:
        data = RunConfig.model_validate(read_config(store.run(folders[0]).path)).data
        dataset = at_hand(data.dataset, data_dir=data_dir, options=data.options())
        sample = [] if dataset is None else list(recompute(store, dataset, folders))
    except UnpicklingError:
        yield "note", "no accuracy could be computed again: a checkpoint holds no weights", ""
        return
    except (ConfigError, DataError, ValueError, LookupError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        yield "note", f"no accuracy could be computed again: {reason}", ""
        return
    if dataset is None:
        yield "note", f"no accuracy was computed again: {data.dataset} is not at hand", ""
    for one in sample:
        if not one.same:
            text = (
                f"{one.folder}: its weights give a test accuracy of {one.again:.4f}, "
                f"not the {one.stored:.4f} on record"
            )
            yield "problem", text, "train it again: `normbench rm EXPERIMENT/RUN`, then `train`"
    good = sum(one.same for one in sample)
    if good:
        yield "ok", f"the test accuracies of {good} runs, computed again, are those on record", ""
