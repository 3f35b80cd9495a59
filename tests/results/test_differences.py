"""Experiments side by side: what they differ in, and when they cannot stand there."""

from __future__ import annotations

import dataclasses

import pytest
from reported import put

from normbench.errors import ConfigError
from normbench.results.differences import differing_keys


def test_experiments_that_split_the_data_differently_are_refused(tmp_path, digits):
    one = put(tmp_path, digits, "name=one", "data.split_seed=1")
    other = put(tmp_path, digits, "name=other", "data.split_seed=2")
    with pytest.raises(ConfigError, match=r"data\.split_seed: differs\n +one: 1, other: 2"):
        differing_keys([one, other])


def test_experiments_on_other_files_of_one_dataset_are_refused(tmp_path, digits):
    one = put(tmp_path, digits, "name=one")
    changed = dataclasses.replace(digits, fingerprint="0" * 64)
    other = put(tmp_path, changed, "name=other")
    with pytest.raises(ConfigError, match="files differ by their fingerprint"):
        differing_keys([one, other])


def test_another_judged_metric_is_told_and_no_reason_to_refuse(tmp_path, digits):
    one = put(tmp_path, digits, "name=one")
    other = put(tmp_path, digits, "name=other", "verdict.metric=val_accuracy")
    older = put(tmp_path, digits, "name=older")
    config = {key: value for key, value in older.results.config.items() if key != "verdict"}
    older = dataclasses.replace(older, results=dataclasses.replace(older.results, config=config))
    assert differing_keys([one, older]) == {}
    assert differing_keys([one, other]) == {
        "verdict.metric": {"one": "auc", "other": "val_accuracy"}
    }


def test_where_ones_own_images_lie_is_no_difference(tmp_path, digits):
    data = "data={{dataset: folder, path: {}, validation: 100, batch_size: 32}}".format
    here = put(tmp_path, digits, "name=here", data("/a"))
    there = put(tmp_path, digits, "name=there", data("/b"))
    assert differing_keys([here, there]) == {}
