"""The experiments behind the statements, and the commands that reproduce them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest
from made_up import TEXT, Fate, context, tell
from rich.console import Console

from normbench.config import ExperimentConfig, find_config, load
from normbench.data import Dataset
from normbench.report.claims import command_letters, print_claims
from normbench.claims import Row, Verdict, examine, ordered
from normbench.claims.base import Claims, Finding
from normbench.claims.context import Context, Interrupted
from normbench.claims.studies import Place, batch_size, depth, quick_settings, shared_settings


def loader(name: str, *own: str):
    def read(more: Sequence[str]) -> ExperimentConfig:
        return load(find_config(name), [*own, *more])

    return read


@pytest.mark.parametrize(
    "name", ["digits", "mnist-mlp", "mnist-cnn", "cifar10-cnn", "folder-cnn", "depth-sweep"]
)
def test_every_bundled_config_can_be_made_small(name: str):
    read = loader(name)
    own, notes = quick_settings(read([]))
    settings, _ = shared_settings(read, own, quick=True)
    config = read(settings)
    assert config.data.dataset == "digits"
    assert config.training.steps == 250
    assert not config.sweep
    assert {"none", "batch", "layer", "rms"} <= {norm.kind for norm in config.norms}
    assert len(config.seed_list) >= 8
    assert "250 steps a run" in notes
    assert read([*settings, *(depth(read, settings, config) or [])]).sweep


def test_what_the_user_set_stays_as_it_is():
    own, _ = quick_settings(load(TEXT), {"training.steps", "data.batch_size", "model.depth"})
    assert not [text for text in own if text.startswith(("training.steps", "data.", "model.depth"))]


def test_in_full_the_settings_are_the_users():
    read = loader("mnist-mlp")
    settings, _ = shared_settings(read, [], quick=False)
    before, after = read([]), read(settings)
    assert after.seed_list == before.seed_list
    assert (after.data, after.model, after.training) == (before.data, before.model, before.training)


def test_norms_that_the_config_lacks_are_added_and_its_own_kept():
    norms = "norms=[{kind: batch, name: bn}, {kind: group, groups: 4}]"
    read = lambda more: load(TEXT, [norms, *more])  # noqa: E731
    settings, _ = shared_settings(read, [], quick=False)
    assert read(settings).labels == ["none", "bn", "layer", "rms", "group(groups=4)"]
    assert read(settings).baseline == "none"


def test_a_norm_that_does_not_fit_the_small_network_is_left_out_and_named():
    norms = "norms=[batch, {kind: group, groups: 128}]"
    read = lambda more: load(TEXT, ["model.width=256", norms, *more])  # noqa: E731
    own, _ = quick_settings(read([]))
    settings, notes = shared_settings(read, own, quick=True)
    assert "group(groups=128)" not in read(settings).labels
    assert any("group(groups=128)" in note for note in notes)


def test_smaller_batches_see_as_many_images_at_a_rate_in_proportion():
    found = batch_size(load(TEXT), 1000, quick=False)
    assert found is not None
    config = load(TEXT, found)
    assert config.sweep == {"data.batch_size": (2, 4, 8, 16, 32)}
    assert config.training.epochs == 3.2  # 100 steps of 32 images
    assert config.optimizer.reference_batch_size == 32
    adam = load(TEXT, ["optimizer={kind: adam, lr: 0.001}"])
    assert load(TEXT, batch_size(adam, 1000, quick=False)).optimizer.reference_batch_size is None


def test_depths_that_the_model_does_not_take_are_left_out():
    read = lambda more: load(TEXT, ["model.depth=80", *more])  # noqa: E731
    settings, _ = shared_settings(read, [], quick=False)
    assert read([*settings, *depth(read, settings, read(settings))]).sweep == {
        "model.depth": (160,)
    }


def test_the_command_makes_the_experiment_that_was_trained(digits: Dataset):
    trained: list[ExperimentConfig] = []
    read = loader("digits", "model.depth=6")

    def train(config: ExperimentConfig):
        trained.append(config)
        return tell(config, lambda _: Fate())

    place = Place("digits", ["model.depth=6"], ["--results", "some where"])
    found = Context(read, train, lambda _: digits, place, quick=True)
    studies = (found.base, found.depth, found.batch_size, found.other_model)
    for study, config in zip(studies, trained, strict=True):
        assert study is not None
        first, second = study.command.split(" && ")
        words = shlex.split(first)
        sets = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        assert words[:3] == ["normbench", "train", "digits"]
        assert load(find_config("digits"), sets) == config
        assert shlex.split(second)[:3] == ["normbench", "compare", config.name]
        assert shlex.split(second)[-2:] == ["--results", "some where"]


def test_a_study_is_trained_once(digits: Dataset):
    names: list[str] = []
    found = context(digits, lambda _: Fate())
    found.say = names.append
    examine(found, [1, 3, 6, 7, 11])
    assert names == [
        "experiment made-up-claims",
        "experiment made-up-claims-depth",
        "experiment made-up-claims-batch-size",
    ]


def test_an_interruption_ends_with_what_was_complete(digits: Dataset):
    found = context(digits, lambda _: Fate())

    def interrupted(_: ExperimentConfig):
        raise Interrupted(2)

    found._train = interrupted
    result = examine(found, [2, 3, 5])
    assert (result.stopped, result.signal) == (True, 2)
    assert [row.claim.number for row in result.rows] == [2]


def shown(capsys: pytest.CaptureFixture[str], form: str) -> str:
    name, claim = ordered([8])[0]
    changes = dict.fromkeys(
        ("weight_matrix_scaling", "weight_matrix_recentring", "weight_vector_scaling"), 2e-7
    ) | dict.fromkeys(("dataset_scaling", "dataset_recentring", "single_example_scaling"), 0.5)
    theory = {f"{key}_theory": True for key in changes}
    table = [{"norm": "rms", "block": "linear", **changes, **theory}]
    finding = Finding(
        Verdict.REFUTED,
        "an experiment",
        ["a long sentence of evidence " * 4],
        {"value": float("nan")},
        ["normbench train " + "--set a=1 " * 30],
        table,
    )
    print_claims(Claims("mine", True, [Row(name, claim, finding)], ["a note"]).to_dict(), form)
    return capsys.readouterr().out


def test_the_table_fits_80_columns_but_for_the_commands(capsys: pytest.CaptureFixture[str]):
    out = shown(capsys, "table")
    table, commands = out.split("to reproduce")
    assert max(map(len, table.splitlines())) <= 80 == Console().width
    assert "NO* 0.5" in table
    assert "yes 2e-07" in table
    assert "refuted" in table
    assert commands.strip().startswith("a  normbench train --set a=1")
    assert len(commands.strip().splitlines()) == 1


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_other_forms_have_one_row_a_statement(capsys: pytest.CaptureFixture[str], form: str):
    assert "refuted" in shown(capsys, form)


def test_a_command_has_one_letter():
    rows = [{"commands": ["x", "y"]}, {"commands": ["y", "z"]}]
    assert command_letters(rows) == {"x": "a", "y": "b", "z": "c"}
