"""From a source to memory-mapped arrays: every dataset goes this one way.

source files -> checked and read -> a prepared folder in the cache -> memory map. The folder's name
is a hash of the options and of each file's size and time, so a changed source is noticed, and an
absent one is missed even though its arrays are in the cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from normbench.atomic import remove, replace_with, replacing, sync_folder
from normbench.data.arrays import resized
from normbench.data.catalog import (
    DATASETS,
    Note,
    Progress,
    RawDataset,
    Report,
    Source,
    make_source,
    required,
    silent,
)
from normbench.data.dataset import Dataset
from normbench.data.folders import (
    CACHE_VARIABLE,
    DATA_VARIABLE,
    cache_root,
    data_root,
    is_read_only,
)
from normbench.data.sums import ARRAYS, channel_statistics, fingerprint_of, meta_sum
from normbench.errors import DataError

FORMAT = 1  # of the prepared folder; raise it when the arrays or their meaning change
_META = "meta.json"
_MOST_META = 2**26  # bytes


def prepare(
    name: str,
    *,
    data_dir: Path | None = None,
    options: Mapping[str, Any] | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Dataset:
    """The dataset, fetched, checked and cached as far as that has not happened before.

    ``data_dir``: where the files are or go; see ``data_root``. ``offline`` forbids downloads.
    Raises ConfigError for an unknown name or option, DataError for files that are absent and
    cannot be had, truncated, altered or unreadable.
    """
    report = Report(progress or silent, note or silent)
    source = make_source(name, options)
    try:
        return _prepare(DATASETS.canonical(name), source, data_dir, offline, report)
    except OSError as error:  # names the file
        raise DataError(f"{name}: {error}") from None


def _prepare(
    name: str, source: Source, data_dir: Path | None, offline: bool, report: Report
) -> Dataset:
    cache = cache_root(report.note)
    root = source.root(data_root(data_dir, cache))
    files = source.files(root)
    if not _missing(files) and (dataset := _cached(_folder(cache, name, source, root, files))):
        return dataset
    with _lock(cache, name, report):
        if _missing(source.files(root)):
            _fetch(name, source, root, report, offline)
        folder = _folder(cache, name, source, root, source.files(root))
        if dataset := _cached(folder):  # another process was faster
            return dataset
        if folder.exists():
            report.note(f"{folder}: not what this version wrote, or damaged; made again")
        raw = source.read(root, report)
        raw = replace(
            raw,
            train_images=resized(raw.train_images, source.resize),
            test_images=resized(raw.test_images, source.resize),
        )
        raw.check(root if not source.embedded else Path(name))
        try:
            _write(name, raw, folder)
        except OSError as error:
            raise DataError(
                f"{folder.parent}: cannot write the prepared data ({error})\n"
                f"    make room, or name another folder with {CACHE_VARIABLE}"
            ) from None
    return load(folder)


def at_hand(
    name: str, *, data_dir: Path | None = None, options: Mapping[str, Any] | None = None
) -> Dataset | None:
    """The dataset, if it needs neither a download nor a long preparation; else None.

    It comes from the cache, or with an installed package. Raises ConfigError for an unknown name or
    option, DataError for a folder that does not exist or holds no images in class folders.
    """
    source = make_source(name, options)
    if source.embedded:
        return prepare(name, data_dir=data_dir, options=options, offline=True)
    name, cache = DATASETS.canonical(name), cache_root(silent)
    root = source.root(data_root(data_dir, cache))
    try:
        files = source.files(root)
        return None if _missing(files) else _cached(_folder(cache, name, source, root, files))
    except OSError as error:  # names the file
        raise DataError(f"{name}: {error}") from None


def state(
    name: str, data_dir: Path | None = None
) -> tuple[Literal["embedded", "prepared", "found", "absent"], Path, int] | None:
    """How far a dataset is from being used, its folder, and how many of its files are missing.

    A dataset of which there is nothing has none missing. None for a dataset that needs options to
    be found. Changes nothing.
    """
    kind = DATASETS[name]
    if any(map(required, dataclasses.fields(kind))):
        return None
    source, cache = kind(), cache_root(silent)
    root = source.root(data_root(data_dir, cache))
    files = source.files(root)
    if missing := _missing(files):
        return "absent", root, len(missing) % len(files)
    if source.embedded:
        return "embedded", root, 0
    prepared = _cached(_folder(cache, name, source, root, files)) is not None
    return "prepared" if prepared else "found", root, 0


def load(path: Path) -> Dataset:
    """Map a prepared folder (``Dataset.path``): what a worker process calls.

    The first time in a process, and whenever a file has another time or size, its content is held
    against the fingerprint. Raises DataError when the folder is absent, unusable or damaged.
    """
    try:
        stamps = _stamps(path)
        meta = json.loads((path / _META).read_text("utf-8"))
        if meta_sum(meta) != meta["sum"]:
            raise ValueError(f"{_META} is not what was written")
        # Mode "c": pages are shared until written to, and torch takes the array without a warning.
        arrays = {key: np.load(path / f"{key}.npy", mmap_mode="c") for key in ARRAYS}
        if _verified.get(path) != stamps:
            _verify(arrays, meta.get("validation", 0), meta["fingerprint"])
            _verified[path] = stamps
        return Dataset(
            name=meta["name"],
            path=path,
            classes=tuple(meta["classes"]),
            mean=tuple(meta["mean"]),
            std=tuple(meta["std"]),
            fingerprint=meta["fingerprint"],
            validation=meta.get("validation", 0),
            **arrays,
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, ArithmeticError) as error:
        raise DataError(f"{path}: not a usable prepared dataset ({error})") from None


_verified: dict[Path, list[tuple[int, int]]] = {}
"""Folder -> time and size of each of its files when their content was last looked at."""


def _stamps(path: Path) -> list[tuple[int, int]]:
    """Of every file the time and the size. Raises OSError, ValueError for what is no file."""
    stamps = []
    for name in (_META, *(f"{key}.npy" for key in ARRAYS)):
        found = os.stat(path / name)
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device has no end
            raise ValueError(f"{name} is no file")
        stamps.append((found.st_mtime_ns, found.st_size))
    if stamps[0][1] > _MOST_META:
        raise ValueError(f"{_META} is too long")
    return stamps


def _verify(arrays: Mapping[str, npt.NDArray[Any]], validation: int, fingerprint: str) -> None:
    """Raise ValueError unless these arrays, each a memory map, are what was written."""
    for key, array in arrays.items():
        images = key.endswith("images")
        kinds, axes = ((np.uint8, np.float32), 4) if images else ((np.int64,), 1)
        if array.dtype not in kinds or array.ndim != axes:
            raise ValueError(f"{key} are not of the kind that was written")
    if fingerprint_of(arrays, validation) != fingerprint:
        raise ValueError("the arrays are not what was written")


def find(fingerprint: str) -> Dataset | None:
    """The dataset of these very bytes in this machine's cache, from wherever it came."""
    for folder in sorted((cache_root(Report().note) / "prepared").glob("*-*")):
        if (dataset := _cached(folder)) and dataset.fingerprint == fingerprint:
            return dataset
    return None


def adopt(name: str, fingerprint: str, bring: Callable[[], RawDataset]) -> Dataset:
    """The dataset of these very bytes, from the cache or else from ``bring``, then cached.

    One process of a machine brings it, the others wait. Raises DataError when other bytes come.
    """
    if dataset := find(fingerprint):
        return dataset
    cache = cache_root(Report().note)
    with _lock(cache, name, Report()):
        if dataset := find(fingerprint):  # another process was faster
            return dataset
        folder = cache / "prepared" / f"{name}-{fingerprint[:16]}"
        _write(name, bring(), folder)
    dataset = load(folder)
    if dataset.fingerprint != fingerprint:
        raise DataError(f"{name}: what arrived is not what was sent")
    return dataset


def _cached(folder: Path) -> Dataset | None:
    try:
        return load(folder)
    except DataError:
        return None


def _missing(files: Sequence[Path]) -> list[Path]:
    return [path for path in files if not path.is_file()]


@contextmanager
def _lock(cache: Path, name: str, report: Report) -> Iterator[None]:
    """One preparer of a dataset at a time; says so when it has to wait."""
    (cache / "locks").mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "locks" / f"{name}.lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        report.note(f"another process is preparing {name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(name: str, source: Source, root: Path, report: Report, offline: bool) -> None:
    try:
        if is_read_only(root):
            raise DataError(f"{root} is read-only")
        source.fetch(root, report, offline=offline)
        reason = "the download did not bring them"
    except (DataError, OSError) as error:
        reason = str(error)
    missing = _missing(source.files(root))
    if not missing:
        return
    count = "1 file is" if len(missing) == 1 else f"{len(missing)} files are"
    lines = [f"{name}: {count} missing in {root}"]
    lines += [f"    {path.relative_to(root).as_posix()}" for path in missing]
    lines += ["could not be fetched:", *(f"    {line.strip()}" for line in reason.splitlines())]
    lines += [
        f"put the files there by hand, or name the folder that holds them with --data-dir or "
        f"{DATA_VARIABLE},",
        "or use the dataset 'digits', which is embedded and works offline",
    ]
    raise DataError("\n".join(lines))


def _folder(cache: Path, name: str, source: Source, root: Path, files: Sequence[Path]) -> Path:
    """The prepared folder of exactly these options and files."""
    options = dataclasses.asdict(source)
    if options["resize"] is None:
        del options["resize"]  # a folder from before this option stays what it was
    identity = {
        "format": FORMAT,
        "dataset": name,
        "options": {key: str(value) for key, value in options.items()},
        "root": str(root.resolve()) if files else "",
        "files": source.stamps(root, files),
    }
    if (digest := DATASETS.source_sha256(name)) is not None:
        identity["source"] = digest  # an installed source may be another one after an update
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return cache / "prepared" / f"{name}-{key[:16]}"


def _write(name: str, raw: RawDataset, folder: Path) -> None:
    """Write the prepared folder under a temporary name, then rename it. Needs the lock."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{name}-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
    try:
        arrays = {key: np.ascontiguousarray(getattr(raw, key)) for key in ARRAYS}
        for key, array in arrays.items():
            with replacing(temporary / f"{key}.npy") as file:
                np.save(file, array)
        mean, std = channel_statistics(raw.train_images[: len(raw.train_images) - raw.validation])
        meta: dict[str, Any] = {
            "format": FORMAT,
            "name": name,
            "classes": raw.classes,
            "mean": mean,
            "std": std,
            "fingerprint": fingerprint_of(arrays, raw.validation),
            "validation": raw.validation,
        }
        meta["sum"] = meta_sum(meta)
        replace_with(temporary / _META, json.dumps(meta, indent=1).encode())
        remove(folder)  # an unusable one
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
