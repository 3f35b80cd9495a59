"""What an export for Weights & Biases holds, by a reader that is held against its own client."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from everything import LABEL, REASON

from normbench.analysis.signal import growth_per_layer
from normbench.exporters import export
from normbench.store import Results

proto = pytest.importorskip(
    "wandb.proto.wandb_internal_pb2", reason="wandb is not installed: nobody to read"
)
BLOCK = 32768


def records(path: Path) -> list:
    """Every record of a log, each checksum checked."""
    content, at, whole, found = path.read_bytes(), 7, b"", []
    assert struct.unpack("<4sHB", content[:7]) == (b":W&B", 0xBEE1, 0)
    while at < len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part = content[at + 7 : at + 7 + length]
        assert zlib.crc32(part, zlib.crc32(bytes([kind]))) == checksum
        assert (kind in (1, 2)) == (not whole)
        at, whole = at + 7 + length, whole + part
        if kind in (1, 4):
            found.append(proto.Record.FromString(whole))
            whole = b""
    assert not whole
    return found


def history(found: list) -> dict[int, dict[str, float]]:
    """step -> what was logged there, as the client writes it."""
    return {
        record.history.step.num: {
            item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in found
        if record.WhichOneof("record_type") == "history"
    }


def only(found: list, kind: str):
    (record,) = [record for record in found if record.WhichOneof("record_type") == kind]
    return getattr(record, kind)


def config(found: list) -> dict:
    return {each.key: json.loads(each.value_json) for each in only(found, "run").config.update}


@pytest.fixture
def logs(mixed, tmp_path) -> dict[str, list]:
    """run -> its records."""
    made = export(mixed, "wandb", tmp_path / "out")
    found = [records(path) for path in made]
    return {only(each, "run").display_name: each for each in found}


def of(results: Results, norm: str) -> str:
    return results.runs.loc[results.runs["norm"] == norm, "run"].iloc[0]


CLIENT = """
import sys, wandb
quiet = wandb.Settings(console="off", silent=True, x_disable_stats=True)
run = wandb.init(mode="offline", project="tiny", id="one", dir=sys.argv[1], settings=quiet)
run.log({"val_accuracy": 0.5}, step=3)
run.log({"val_accuracy": 0.75, "note": "x" * 100_000}, step=5)
run.finish()
"""


@pytest.mark.slow
def test_the_reader_reads_what_the_client_itself_writes(tmp_path):
    subprocess.run([sys.executable, "-c", CLIENT, tmp_path], check=True, capture_output=True)
    (path,) = tmp_path.rglob("run-one.wandb")
    found = records(path)
    assert {step: row["val_accuracy"] for step, row in history(found).items()} == {3: 0.5, 5: 0.75}
    assert only(found, "run").project == "tiny"


def test_every_run_is_there_with_its_settings_and_how_it_ended(mixed, logs):
    assert set(logs) == set(mixed.runs["run"])
    for row in mixed.runs.to_dict("records"):
        found = logs[row["run"]]
        told = config(found)
        assert (told["norm"], told["seed"]) == (row["norm"], row["seed"])
        assert told["state"] == row["state"]
        assert told["optimizer.clip_norm"] == str(row["optimizer.clip_norm"])
        assert only(found, "run").project == mixed.name
        assert only(found, "exit").exit_code == (row["state"] == "failed")
        assert [record.num for record in found] == list(range(1, len(found) + 1))


def test_every_evaluation_is_a_point_with_its_time(mixed, logs):
    for run, found in logs.items():
        points = history(found)
        for row in mixed.curves[mixed.curves["run"] == run].to_dict("records"):
            assert points[row["step"]]["val_accuracy"] == row["val_accuracy"]
            assert points[row["step"]]["_timestamp"] == row["train_seconds"]
            assert points[row["step"]]["_step"] == row["step"]


def test_a_loss_that_is_no_number_the_gradients_and_a_reason_are_told(mixed, logs):
    lost = history(logs[of(mixed, "none")])[0]["val_loss"]
    assert lost != lost
    growth = history(logs[of(mixed, LABEL)])[0]["gradients/growth_per_layer"]
    assert growth == pytest.approx(growth_per_layer([0.1, 0.2, 0.4]))
    told = {
        each.nested_key[0]: json.loads(each.value_json)
        for each in only(logs[of(mixed, "layer")], "summary").update
    }
    assert (told["state"], told["reason"]) == ("failed", REASON)


def test_a_record_longer_than_a_block_comes_back_whole(tmp_path):
    from normbench.exporters.wandb import _log

    texts = ["a" * 32_748, "b" * 100_000, "c"]
    made = [proto.Record(output_raw=proto.OutputRawRecord(line=text)) for text in texts]
    (tmp_path / "log").write_bytes(_log(made))
    assert [record.output_raw.line for record in records(tmp_path / "log")] == texts
