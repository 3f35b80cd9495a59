"""Weights & Biases: offline runs, as its client leaves them where there is no network."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from normbench.exporters.base import EXPORTERS, Files, needs
from normbench.exporters.history import TrackedRun, by_step, tracked_runs
from normbench.store import Results
from normbench.store.files import to_json

_IDENT, _MAGIC, _VERSION = b":W&B", 0xBEE1, 0
_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_OLDEST_READER = "0.70.0"


@EXPORTERS.register("wandb")
def wandb(results: Results) -> Files:
    """Offline runs of Weights & Biases, one folder a run (extra: wandb).

    History by step: the scalars of the TensorBoard export; a value that is no number is NaN.
    Config: norm, seed, role, state, the swept and the tuned keys, and the verdict on its norm where
    the run is among those judged. Summary: the last values, and the reason of a run that failed,
    whose exit code is 1. ``wandb sync EXPORT/wandb/offline-run-*`` sends them.

    The results know no dates: a point's time is ``train_seconds`` after 1970-01-01.
    """
    with needs("wandb"):
        from wandb.proto import wandb_internal_pb2
    proto: Any = wandb_internal_pb2  # made at run time, so that no checker knows its types
    for run in tracked_runs(results):
        identity, points = run.identity[:16], run.points
        records = [
            proto.Record(header=proto.HeaderRecord(version_info=_version(proto))),
            proto.Record(run=_run(proto, results, run, identity)),
            *_history(proto, points, run),
            proto.Record(summary=_summary(proto, points, run)),
            proto.Record(exit=proto.RunExitRecord(exit_code=int(run.row["state"] == "failed"))),
        ]
        folder = f"wandb/offline-run-19700101_000000-{identity}"
        yield f"{folder}/run-{identity}.wandb", _log(records)


def _version(proto: Any) -> Any:
    return proto.VersionInfo(producer="normbench", min_consumer=_OLDEST_READER)


def _run(proto: Any, results: Results, run: TrackedRun, identity: str) -> Any:
    record = proto.RunRecord(
        run_id=identity,
        project=results.name,
        display_name=run.name,
        run_group=run.settings["norm"],
    )
    record.start_time.FromMilliseconds(0)
    for key, value in {"run": run.name, **run.settings}.items():
        record.config.update.add(key=key, value_json=to_json(value))
    return record


def _history(
    proto: Any, points: dict[str, list[tuple[int, float]]], run: TrackedRun
) -> Iterator[Any]:
    """One record a step."""
    for step, values in by_step(points).items():
        record = proto.HistoryRecord(step=proto.HistoryStep(num=step))
        seconds = run.seconds_at(step)
        known = {"_step": step, "_timestamp": seconds, "_runtime": seconds, **values}
        for tag, value in known.items():
            record.item.add(nested_key=[tag], value_json=_number(value))
        yield proto.Record(history=record)


def _summary(proto: Any, points: dict[str, list[tuple[int, float]]], run: TrackedRun) -> Any:
    summary = proto.SummaryRecord()
    for tag, told in points.items():
        summary.update.add(nested_key=[tag], value_json=_number(told[-1][1]))
    summary.update.add(nested_key=["state"], value_json=to_json(run.row["state"]))
    if run.reason is not None:
        summary.update.add(nested_key=["reason"], value_json=to_json(run.reason))
    return summary


def _number(value: float) -> str:
    """A number in JSON as the client writes it, with words for what is none."""
    if np.isfinite(value):
        return to_json(float(value) if isinstance(value, float) else int(value))
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _log(records: Iterable[Any]) -> bytes:
    """Records as a log in LevelDB's format of blocks, but with the checksum of zlib.

    A record's parts say whether they are the whole, the first, a middle or the last of it; each
    has its checksum, length and kind before it. A block's last bytes, too few for that, are zeros.
    """
    log = bytearray(struct.pack("<4sHB", _IDENT, _MAGIC, _VERSION))
    for number, record in enumerate(records, 1):
        record.num = number
        rest, first = record.SerializeToString(), True
        while True:
            left = _BLOCK - len(log) % _BLOCK
            if left < _HEADER:
                log += bytes(left)
                left = _BLOCK
            part, rest = rest[: left - _HEADER], rest[left - _HEADER :]
            kind = (_FULL if first else _LAST) if not rest else (_FIRST if first else _MIDDLE)
            checksum = zlib.crc32(part, zlib.crc32(bytes([kind])))
            log += struct.pack("<IHB", checksum, len(part), kind) + part
            first = False
            if not rest:
                break
    return bytes(log)
