"""Which runs an experiment needs, in which order, and under which names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench.plan import best_runs, expand, reuse_folders, unfinished


def keys(runs) -> list[tuple]:
    return [(run.role, run.norm, *run.sweep_point.values(), run.seed) for run in runs]


def test_seeds_come_before_norms_so_that_an_unfinished_plan_pairs_up():
    assert keys(expand(experiment())) == [
        ("report", "none", 0),
        ("report", "batch", 0),
        ("report", "none", 1),
        ("report", "batch", 1),
    ]


def test_a_sweep_is_planned_point_by_point():
    swept = experiment("sweep={model.depth: [3, 4], model.width: [8, 16]}", "seeds=1")
    assert keys(expand(swept)) == [
        ("report", norm, depth, width, 0)
        for depth in (3, 4)
        for width in (8, 16)
        for norm in ("none", "batch")
    ]
    assert [run.config.model.options().depth for run in expand(swept)] == [3] * 4 + [4] * 4


def test_tuning_runs_come_first_on_seeds_of_their_own():
    runs = expand(experiment("tune={optimizer.lr: [0.1, 0.2], seeds: 3}"))
    tuning = [run for run in runs if run.role == "tune"]
    assert runs[: len(tuning)] == tuning
    assert {run.seed for run in tuning} == {2, 3, 4}
    assert {run.seed for run in runs[len(tuning) :]} == {0, 1}
    assert [(r.config.optimizer.lr, r.tuned) for r in tuning[::6]] == [
        (0.1, {"optimizer.lr": 0.1}),
        (0.2, {"optimizer.lr": 0.2}),
    ]


def test_pilots_come_before_everything_and_are_of_one_norm():
    runs = expand(experiment("target={from: batch, pilot_seeds: 2}"))
    assert keys(runs[:2]) == [("pilot", "batch", 2), ("pilot", "batch", 3)]
    assert {run.role for run in runs[2:]} == {"report"}


def test_the_best_runs_are_each_norms_own():
    tuned = experiment("tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    runs = best_runs(tuned, {("none", ()): 0.1, ("batch", ()): 0.2})
    assert {(r.role, r.norm, r.config.optimizer.lr) for r in runs} == {
        ("best", "none", 0.1),
        ("best", "batch", 0.2),
    }
    assert {run.seed for run in runs} == {0, 1}
    assert {run.norm for run in best_runs(tuned, {("none", ()): 0.1})} == {"none"}
    assert best_runs(experiment(), {}) == []


def test_every_run_has_a_folder_of_its_own_and_keeps_it():
    def folders(*overrides: str) -> list[str]:
        return [run.folder for run in expand(experiment(*overrides))]

    first = folders("sweep={model.depth: [3, 4]}", "tune={optimizer.lr: [0.1, 0.2]}")
    assert len(set(first)) == len(first)
    assert first == folders("sweep={model.depth: [3, 4]}", "tune={optimizer.lr: [0.1, 0.2]}")
    assert set(folders("seeds=1")) < set(folders("seeds=2"))
    assert set(folders("norms=[batch]")) < set(folders())


def test_what_cannot_change_the_numbers_does_not_change_the_folder():
    for same in ("target={val_accuracy: 0.9}", "baseline=batch", "name=other"):
        assert [r.folder for r in expand(experiment(same))] == [
            r.folder for r in expand(experiment())
        ]
    for other in ("runtime.threads=2", "optimizer.lr=0.11", "data.batch_size=33"):
        assert not {r.folder for r in expand(experiment(other))} & {
            r.folder for r in expand(experiment())
        }


def test_the_record_tells_what_the_store_must_know():
    (run,) = expand(experiment("norms=[rms]", "seeds=[7]", "sweep={model.depth: [4]}"))
    assert run.record() == {
        "folder": run.folder,
        "norm": "rms",
        "method": run.config.method_sha256(),
        "point": {"model.depth": 4},
        "tuned": {},
        "seed": 7,
        "role": "report",
        "context": run.config.context(),
    }


def test_runs_that_can_be_compared_share_a_context():
    runs = expand(experiment("norms=[none, rms, batch]"))
    assert len({run.config.context() for run in runs}) == 1
    assert len({run.identity for run in runs}) == len(runs)


def folder_at(path, *overrides):
    return experiment(f"data={{dataset: folder, path: {path}, validation: 100}}", *overrides)


def test_a_folder_of_images_that_is_moved_leaves_every_run_what_it_was():
    here, there = expand(folder_at("here")), expand(folder_at("there"))
    assert [run.identity for run in here] == [run.identity for run in there]
    assert {r.config.context() for r in here} == {r.config.context() for r in there}
    other = expand(folder_at("here", "data.image_size=16"))
    assert not {run.identity for run in here} & {run.identity for run in other}


@pytest.mark.parametrize(
    "run",
    [
        expand(folder_at("here"))[0],
        expand(experiment("training.eval_batch_size=77"))[0],
    ],
    ids=["folder", "eval_batch_size"],
)
def test_what_an_earlier_version_trained_is_found_in_its_folder(run):
    values = run.config.resolved()
    del values["norm"]["name"], values["runtime"]["cpus"], values["runtime"]["gpus"]
    del values["norm"]["source"], values["model"]["source"]  # it knew no files of one's own
    del values["norm"]["strict"], values["norm"]["weights"]  # nor rules of papers, nor weights
    del values["norm"]["eval"], values["normalization"]["eval"]  # nor other ways of evaluation
    del values["optimizer"]["decay_norms"]
    del values["data"]["resize"]  # which no earlier version had
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    earlier = f"none-s0-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    assert earlier != run.folder
    assert reuse_folders([run], [earlier]) == [replace(run, stored=earlier)]


def test_the_identity_of_other_configs_is_that_of_earlier_versions():
    for run in expand(experiment("sweep={model.depth: [3, 4]}")):
        assert run.config.earlier_identity() == run.identity


def test_a_run_that_was_trained_before_stays_in_its_folder_and_in_the_plan():
    swept = expand(experiment("sweep={model.depth: [3, 4]}"))
    plain = expand(experiment())
    settled = reuse_folders(plain, [run.folder for run in swept])
    assert {run.folder for run in settled} < {run.folder for run in swept}
    assert [run.identity for run in settled] == [run.identity for run in plain]
    assert [(r.norm, r.seed) for r in settled] == [(r.norm, r.seed) for r in plain]
    assert reuse_folders(plain, ["something", "else-s0-00000000"]) == [
        replace(run, stored=run.folder) for run in plain
    ]


def test_what_is_done_is_not_left(tmp_path: Path, digits):
    tiny = experiment()
    assert keys(unfinished(tiny, tmp_path)) == keys(expand(tiny))
    done = expand(tiny)[1]
    play(tmp_path, tiny, digits, lambda run: finishes({0: 0.1, 12: 0.7}) if run == done else None)
    assert keys(unfinished(tiny, tmp_path)) == [
        key for key in keys(expand(tiny)) if key != ("report", "batch", 0)
    ]
