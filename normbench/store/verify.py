"""Holds an experiment against what was written: every file, and every run against its like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from normbench.store.experiment import ExperimentStore
from normbench.store.rebuild import Resolve, rebuild


@dataclass(frozen=True)
class Fault:
    """What is wrong. run: the folder that is damaged; "" where no single one is."""

    text: str
    remedy: str
    run: str = ""


AGAIN = "`normbench train` with its config trains it again; --repair sets it aside at once"
REWRITE = "`normbench train` with its config writes it anew"
REBUILD = f"{REWRITE}; --repair makes one from the runs, without what judges them"


def verify(store: ExperimentStore) -> Iterator[Fault]:
    """Everything that is not as it should be. Raises StoreError where nothing can be read.

    Damaged files, runs that are in two folders, and runs of one seed and setting whose backbones or
    batches differ.
    """
    if store.known_plan() is None:
        if not store.folders():
            store.check_named()
        yield Fault(f"the record and its copy in {store.path} are damaged or gone", REBUILD)
    elif (fault := store.plan_and_fault()[1]) or (fault := store.copy_fault()):
        yield Fault(fault, REWRITE)
    manifests: dict[str, dict[str, Any]] = {}
    for folder in store.folders():
        run = store.run(folder)
        if damage := run.fault():
            yield Fault(str(damage).partition("\n")[0], AGAIN, folder)
        elif manifest := run.known_manifest():
            manifests[folder] = manifest
            if not run.ended:
                _, faults = run.good_checkpoint()
                for text in faults:
                    yield Fault(f"{text}: the run goes on from an earlier state", AGAIN)
    yield from _twice(manifests)
    yield from _unequal(manifests)


def _twice(manifests: dict[str, dict[str, Any]]) -> Iterator[Fault]:
    folders_of = defaultdict(list)
    for folder, manifest in manifests.items():
        folders_of[manifest.get("id", folder)].append(folder)
    for folders in folders_of.values():
        if len(folders) > 1:
            text = f"one run stands in {len(folders)} folders: {', '.join(folders)}"
            yield Fault(text, "remove all but one with `normbench rm EXPERIMENT/RUN`")


def _unequal(manifests: dict[str, dict[str, Any]]) -> Iterator[Fault]:
    """Runs that differ in their norm alone begin with one backbone and see the same batches."""
    for key, word, alike in (
        ("backbone_sha256", "backbones", ("context", "seed")),
        ("batch_order_sha256", "batches", ("context", "seed", "epochs_started")),
    ):
        groups: dict[tuple[Any, ...], dict[Any, str]] = defaultdict(dict)
        for folder, manifest in manifests.items():
            if (value := manifest.get(key)) is not None:
                groups[tuple(manifest.get(name) for name in alike)].setdefault(value, folder)
        for values in groups.values():
            if len(values) > 1:
                first, other, *_ = values.values()
                text = f"the {word} of {other} are not those of {first}"
                yield Fault(text, "start over with `normbench train --fresh`, from one version")


def repair(store: ExperimentStore, resolve: Resolve | None = None) -> Iterator[str]:
    """Set damaged runs aside and write a damaged record anew from its copy; what was done.

    resolve: to make the record from the runs where its copy is lost too. Nothing is deleted. Raises
    StoreError, also while the experiment is in use.
    """
    if not store.folders():
        store.check_named()
    store.lock()
    try:
        for fault in list(verify(store)):
            if fault.run:
                yield f"{fault.run} is set aside in {store.set_aside(fault.run)}"
        if resolve is not None and store.known_plan() is None:
            count = rebuild(store, resolve)
            yield f"the record of {store.name} is made anew from {count} runs"
        if store.rewrite_plan():
            yield f"the record of {store.name} and its copy are the same again"
    finally:
        store.unlock()
