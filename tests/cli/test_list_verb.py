"""normbench list runs: filtered by experiment, norm and state."""

from __future__ import annotations

import json

import pytest


def listed(done) -> list[str]:
    assert done.code == 0, done.err
    return [run["run"].rsplit("-", 1)[0] for run in json.loads(done.out)["runs"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--state", "diverged"), ["none-s0", "none-s1"]),
        (("--state", "failed", "--norm", "none"), []),
        (("--norm", "batch", "--norm", "rms", "--state", "failed"), ["rms-s0", "rms-s1"]),
        (("--state", "unfinished"), ["layer-s0", "layer-s1"]),
        (("tiny", "--state", "missing"), ["layer-s1"]),
    ],
)
def test_runs_are_filtered(cli, results, options, expected):
    assert listed(cli("list", "runs", *options, "--json")) == expected


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--state", "finishd"), 2, "did you mean 'finished'"),
        (("--norm", "btach"), 2, "did you mean 'batch'"),
        (("tinny",), 4, "did you mean 'tiny'"),
    ],
)
def test_a_wrong_filter_is_told_with_the_nearest(cli, results, options, code, told):
    done = cli("list", "runs", *options)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_filters_go_with_runs_only(cli):
    assert cli("list", "norms", "--state", "failed").code == 2


def test_nothing_left_is_said(cli, results):
    done = cli("list", "runs", "--norm", "none", "--state", "failed")
    assert (done.code, done.out) == (0, "")
    assert "no runs of that norm and state" in done.err
