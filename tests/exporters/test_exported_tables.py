"""The CSV and Parquet files read back: the same tables, and every number of the journals."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from everything import CURVE, LABEL, REASON
from scripted import finishes, play
from tiny import experiment

from normbench.api import compare
from normbench.exporters import EXPORTERS
from normbench.exporters.tables import tables
from normbench.plan import PlannedRun
from normbench.report.answer import answer
from normbench.store import Results, read_results

Read = Callable[[bytes], pd.DataFrame]


def read_csv(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content))


def read_parquet(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(content))


formats = pytest.mark.parametrize(("name", "read"), [("csv", read_csv), ("parquet", read_parquet)])


def files(results: Results, name: str) -> dict[str, bytes]:
    return dict(EXPORTERS[name](results))


@formats
@pytest.mark.parametrize("which", ["mixed", "empty", "tuned"])
def test_what_is_read_back_equals_what_was_exported(request, which, name, read):
    results = request.getfixturevalue(which)
    wanted = tables(results)
    found = files(results, name)
    assert list(found) == [f"{table}.{name}" for table in wanted]
    for table, frame in wanted.items():
        back = read(found[f"{table}.{name}"])
        assert list(back) == list(frame)
        for column in frame:
            if pd.api.types.is_numeric_dtype(frame[column]):
                np.testing.assert_array_equal(back[column], frame[column])  # to the last bit
            elif name == "parquet":
                pd.testing.assert_series_equal(back[column], frame[column])
            elif column in results.keys:  # a word such as null is missing to a reader of CSV
                continue
            else:
                assert back[column].astype("string").equals(frame[column])


def test_the_curves_are_the_evaluations_of_the_journals(mixed):
    curves = tables(mixed)["curves"]
    rows = [
        (path.parent.name, event)
        for path in mixed.path.glob("*/metrics.jsonl")
        for event in map(json.loads, path.read_text().splitlines())
        if event["event"] == "eval"
    ]
    assert len(rows) == len(curves) == 2 * (1 + len(CURVE) + 1 + 1)
    for run, event in rows:
        (row,) = curves[(curves["run"] == run) & (curves["step"] == event["step"])].to_dict(
            "records"
        )
        for quantity in ("val_accuracy", "val_loss", "train_loss", "train_seconds"):
            if event[quantity] is None:
                assert np.isnan(row[quantity])
            else:
                assert row[quantity] == event[quantity]


def test_the_probes_are_those_of_the_journals_layer_by_layer(mixed):
    probes = tables(mixed)["probes"].set_index(["run", "quantity", "step", "layer"])["value"]
    count = 0
    for path in mixed.path.glob("*/probes.jsonl"):
        for event in map(json.loads, path.read_text().splitlines()):
            step = event.pop("step")
            assert event.pop("event") == "probe"
            for quantity, values in event.items():
                for layer, value in enumerate(values, start=1):
                    found = probes[(path.parent.name, quantity, step, layer)]
                    assert np.isnan(found) if value is None else found == value
                    count += 1
    assert count == len(probes) > 100


def test_every_row_says_whose_it_is(mixed):
    found = tables(mixed)
    for name in ("runs", "curves", "probes"):
        assert list(found[name])[:4] == ["run", "norm", "optimizer.clip_norm", "seed"]
    own = found["curves"][found["curves"]["norm"] == LABEL]
    assert own.groupby("optimizer.clip_norm").size().to_dict() == {"null": 4, "1.0": 4}


def test_a_failed_run_has_its_reason_and_no_other_has(mixed):
    runs = tables(mixed)["runs"]
    assert set(runs.loc[runs["state"] == "failed", "reason"]) == {REASON}
    assert runs.loc[runs["state"] != "failed", "reason"].isna().all()


@pytest.mark.parametrize("which", ["mixed", "empty", "tuned"])
def test_every_column_is_explained_and_nothing_else(request, which):
    found = tables(request.getfixturevalue(which))
    explained = found.pop("columns")
    assert explained["meaning"].str.len().min() > 3
    assert set(zip(explained["table"], explained["column"], strict=True)) == {
        (table, column) for table, frame in found.items() for column in frame
    }


def test_a_run_in_two_roles_has_two_rows_and_one_curve(tuned):
    twice = pd.concat([tuned.runs, tuned.runs[:1].assign(role="best")], ignore_index=True)
    found = tables(Results(**{**vars(tuned), "runs": twice}))
    assert len(found["runs"]) == len(tuned.runs) + 1
    assert len(found["curves"]) == len(tuned.curves)


def test_no_label_is_a_formula_in_a_csv_file(mixed):
    runs = mixed.runs.assign(norm=mixed.runs["norm"].replace(mixed.runs["norm"].iloc[0], "=cmd()"))
    found = dict(EXPORTERS["csv"](dataclasses.replace(mixed, runs=runs)))
    assert b"'=cmd()" in found["runs.csv"]
    assert b",=cmd()" not in found["runs.csv"]


def test_the_verdicts_are_those_of_the_answer(tmp_path, digits):
    def script(run: PlannedRun):
        return finishes({0: 0.1, 12: 0.6 + 0.3 * (run.norm == "batch") + 0.001 * run.seed})

    play(tmp_path, experiment("seeds=8"), digits, script)
    found = tables(read_results(tmp_path, "tiny", probes=False))["verdicts"]
    wanted = answer(compare("tiny", results=tmp_path)).rows
    assert list(found["norm"]) == ["batch", "none"]
    assert list(found["verdict"]) == list(wanted["verdict"]) == ["leader", "worse"]
    np.testing.assert_array_equal(found["difference"], wanted["difference"])
    assert list(found["in_set"]) == [True, False]
    assert not found["exploratory"].any()


def test_without_an_ended_pilot_run_there_is_no_verdict_to_export(tmp_path, digits):
    pilot = "target={from: batch, pilot_seeds: 1}"
    play(tmp_path, experiment(pilot), digits, lambda _: None)
    assert tables(read_results(tmp_path, "tiny", probes=False))["verdicts"].empty
