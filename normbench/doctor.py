"""Looks whether everything normbench needs is there, and says what to do where it is not.

A check is a function that yields findings; ``CHECKS`` lists them. A broken installation is what
they look for, so each imports what it needs itself.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from normbench.environment import package_version, processor
from normbench.errors import NormbenchError, StoreError

if TYPE_CHECKING:
    from normbench.store import ExperimentStore

Level = Literal["ok", "note", "problem"]

OLDEST_PYTHON = (3, 11)
LITTLE_DISK, TOO_LITTLE_DISK = 2e9, 1e8  # bytes
REINSTALL = "install again into a fresh environment, as the README's first command does"
UNSEALED_END = "without DONE"
"""What a run is called that has ended by its manifest, and is not told as done."""
ELSEWHERE = {
    "data": "make the place readable, or name another with --data-dir",
    "results": "make the place readable, or name another with --results",
    "disk": "make the places readable, or name others with --results and NORMBENCH_CACHE_DIR",
}
"""check -> the remedy where it is not the installation that keeps it from an answer."""


@dataclass(frozen=True)
class Finding:
    """level: "note" is worth knowing, "problem" stops something from working."""

    check: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Folders:
    """Where to look."""

    results: Path
    data_dir: Path | None = None


Answers = Iterator[tuple[Level, str] | tuple[Level, str, str]]
CHECKS: dict[str, Callable[[Folders], Answers]] = {}


def examine(folders: Folders) -> Iterator[Finding]:
    """The findings of every check, in order. A check that fails is a finding itself."""
    for name, check in CHECKS.items():
        try:
            for one in check(folders):
                yield Finding(name, *one)
        except Exception as error:  # what is broken here is what is looked for
            remedy = REINSTALL
            if not isinstance(error, ImportError):
                remedy = ELSEWHERE.get(name, REINSTALL)
            yield Finding(name, "problem", f"cannot be checked: {_reason(error)}", remedy)


def examine_experiment(store: ExperimentStore, *, repair: bool = False) -> Iterator[Finding]:
    """Every file of an experiment held against what was written. Raises StoreError.

    repair: what is damaged is set aside first; nothing is deleted.
    """
    from normbench.store import verify

    if repair:
        import yaml

        from normbench.config import load

        def resolve(tree: dict[str, Any]) -> dict[str, Any]:
            return load(yaml.safe_dump(tree, sort_keys=False)).resolved()

        for text in verify.repair(store, resolve):
            yield Finding("repaired", "note", text, "`normbench train` with its config trains it")
    faults = list(verify.verify(store))
    for fault in faults:
        yield Finding("results", "problem", fault.text, fault.remedy)
    for level, text, *remedy in _experiment(store):
        if level != "problem":  # those were told
            yield Finding("results", level, text, *remedy)
    if not faults:
        runs = [store.run(folder) for folder in store.folders()]
        sealed = sum(run.ended and run.seal(run.known_manifest()) is not None for run in runs)
        ended = sum(run.ended for run in runs)
        text = (
            f"{sealed} of {ended} ended runs are sealed, and every file there is what was written"
        )
        yield Finding("results", "ok", text)


def _check(function: Callable[[Folders], Answers]) -> Callable[[Folders], Answers]:
    CHECKS[function.__name__.strip("_")] = function
    return function


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _told(error: NormbenchError) -> tuple[Level, str, str]:
    """A problem with the remedy that the error itself names, on its later lines."""
    text, _, remedy = str(error).partition("\n")
    return "problem", text, remedy.strip()


# --- the installation ---


@_check
def _python(folders: Folders) -> Answers:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        yield (
            "problem",
            text,
            f"normbench needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer",
        )
    else:
        yield "ok", text


@_check
def _packages(folders: Folders) -> Answers:
    needed = [re.split(r"[^\w.-]", text)[0] for text in _requirements() if "extra ==" not in text]
    if missing := [name for name in needed if package_version(name) is None]:
        yield "problem", f"not installed: {', '.join(missing)}", REINSTALL
    elif needed:
        yield "ok", f"all {len(needed)} that normbench {package_version('normbench')} needs"
    else:
        yield "note", "normbench is not installed, only on the path", "pip install -e ."


@_check
def _torch(folders: Folders) -> Answers:
    try:
        import torch
    except Exception as error:
        yield "problem", f"cannot be imported: {_reason(error)}", REINSTALL
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    yield "ok", f"{torch.__version__}, built for {build}"


@_check
def _torchvision(folders: Folders) -> Answers:
    from normbench.vision import mismatched, torchvision

    try:
        library = torchvision()
    except Exception as error:
        yield "problem", f"cannot be imported: {_reason(error)}", REINSTALL
        return
    if mismatched():
        yield (
            "note",
            f"{library.__version__}, whose compiled part does not match this torch",
            "nothing for normbench, which does without it; elsewhere `import torchvision` may fail",
        )
    else:
        yield "ok", str(library.__version__)


@_check
def _extras(folders: Folders) -> Answers:
    for text in _requirements():
        extra = re.search(r"extra == ['\"](\w+)['\"]", text)
        if extra is None or extra[1] == "test":
            continue
        name = re.split(r"[^\w.-]", text)[0]
        version = package_version(name)
        yield "ok", f"{name} {version or f'not installed: pip install normbench[{extra[1]}]'}"


def _requirements() -> list[str]:
    try:
        return metadata.requires("normbench") or []
    except metadata.PackageNotFoundError:
        return []


# --- the machine ---


@_check
def _devices(folders: Folders) -> Answers:
    import torch

    yield "ok", f"cpu: {processor()}"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield "ok", f"cuda:{index}: {torch.cuda.get_device_name(index)}"
    elif torch.version.cuda:
        hint = "check the driver with nvidia-smi, or train on the CPU, which is the default"
        yield "note", f"torch is built for CUDA {torch.version.cuda}, but sees no GPU", hint
    elif shutil.which("nvidia-smi"):
        hint = "install the CUDA build of torch to use it"
        yield "note", "there seems to be a GPU, but torch is built for the CPU", hint


@_check
def _cores(folders: Folders) -> Answers:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    if usable < cores:
        yield "note", f"{usable} of {cores} may be used", f"train with --jobs {usable}"
    else:
        yield "ok", f"{cores}; as many runs at a time, of one thread each"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > usable:
        text = f"OMP_NUM_THREADS is {threads}, more than there are cores"
        yield "note", text, "nothing: runs take their threads from runtime.threads of the config"


@_check
def _compiler(folders: Folders) -> Answers:
    names = [name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name]
    if compiler := next((path for name in names if (path := shutil.which(name))), None):
        yield "ok", f"{compiler}, for torch.compile in `normbench cost`"
    else:
        hint = "install g++ or clang, or give `normbench cost` --no-compile"
        yield "note", "no C++ compiler, which torch.compile needs", hint


# --- data and results ---


@_check
def _data(folders: Folders) -> Answers:
    from normbench.data import DATASETS
    from normbench.data.folders import DATA_VARIABLE, is_read_only
    from normbench.data.prepared import state

    for name in DATASETS.names():
        if (located := state(name, folders.data_dir)) is None:
            continue
        word, root, missing = located
        if word != "absent":
            yield "ok", f"{name}: {word}" + (f" in {root}" if word == "found" else "")
        elif is_read_only(root):
            text = f"{name}: not in {root}, which cannot be written to"
            yield (
                "note",
                text,
                f"name another folder with --data-dir or {DATA_VARIABLE}",
            )
        elif missing:
            text = f"{name}: {missing} of its files are missing in {root}"
            yield "note", text, "`normbench train` fetches them"
        else:
            yield "ok", f"{name}: not in {root}; fetched when first trained on"


@_check
def _results(folders: Folders) -> Answers:
    from normbench.store import ExperimentStore, results_folder
    from normbench.store.experiment import absolute, experiments

    results = results_folder(folders.results)
    try:
        names = experiments(results)
    except StoreError as error:
        yield _told(error)
        return
    if not names:
        yield "ok", f"no experiment in {absolute(results)} yet"
    for name in names:
        try:
            yield from _experiment(ExperimentStore(results, name))
        except StoreError as error:
            yield _told(error)


def _experiment(store: ExperimentStore) -> Answers:
    from normbench.constants import OUTCOME_STATES
    from normbench.store.files import Damaged

    states: dict[str, int] = {}
    broken: list[StoreError] = []
    planned: set[str] = set()
    try:
        planned = {run["folder"] for run in store.read_plan()["runs"] if "folder" in run}
    except StoreError as error:
        broken.append(error)
    folders = store.folders()
    for folder in folders:
        run = store.run(folder)
        try:
            manifest = run.read_manifest(("state",))
        except StoreError as error:
            broken.append(error)
            continue
        if manifest is None:
            broken.append(Damaged(run.path / "manifest.json", "it is not there any more"))
            continue
        state = manifest["state"]
        if state in OUTCOME_STATES and not run.ended:
            state = UNSEALED_END
        states[state] = states.get(state, 0) + 1
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "no runs"
    yield "ok", f"{store.name}: {counted}"
    yield from map(_told, broken)
    in_use = store.in_use()
    for count, text, remedy in (
        (states.get("running"), "cut off while they ran", "continues them"),
        (
            states.get(UNSEALED_END),
            "ended, but DONE, which seals a run, is lost",
            "ends them again",
        ),
        (len(planned.difference(folders)), "planned, but not there", "trains them"),
    ):
        if count and not in_use:
            of = max(len(planned), len(folders))
            text = f"{store.name}: {text}: {count} of {of}"
            yield "note", text, f"`normbench train` with its config {remedy}"
    leftovers = [] if in_use else sorted(store.path.rglob(".*.tmp"))
    if leftovers:
        text = f"{store.name}: half-written files, left by a crash: {len(leftovers)}"
        yield "note", text, f"find {shlex.quote(str(store.path))} -name '.*.tmp' -delete"


@_check
def _disk(folders: Folders) -> Answers:
    from normbench.data.folders import cache_root

    notes: list[str] = []
    for what, folder in (("results", folders.results), ("cache", cache_root(notes.append))):
        here = folder.absolute()
        while not here.exists():
            here = here.parent
        free = shutil.disk_usage(here).free
        text = f"{free / 1e9:.1f} GB free for the {what} in {folder}"
        if free < TOO_LITTLE_DISK:
            yield "problem", text, "make room: `normbench rm` deletes results"
        elif free < LITTLE_DISK:
            yield "note", text, "`normbench train --dry-run` tells what an experiment takes"
        else:
            yield "ok", text
    for text in notes:
        yield "note", text
