"""The experiments behind the statements, and the commands that reproduce them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest
from made_up import TEXT, Fate, context, tell
from rich.console import Console

from normbench.claims import Row, examine, ordered
from normbench.claims.base import Claims, Evidence
from normbench.claims.context import Context, Interrupted
from normbench.claims.pace import forecast
from normbench.claims.studies import STUDIES, Origin, quick_settings, shared_settings
from normbench.claims.verdicts import Piece, judge
from normbench.config import ExperimentConfig, find_config, load
from normbench.data import Dataset
from normbench.plan import expand
from normbench.report.claims import command_letters, print_claims


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
    assert config.training.steps == 200
    assert not config.sweep
    assert {"none", "batch", "layer", "rms"} <= {norm.kind for norm in config.norms}
    assert len(config.seed_list) == config.runtime.stack == 10
    assert "200 steps a run" in notes


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


def planned(digits: Dataset, name: str, *overrides: str) -> ExperimentConfig:
    found = context(digits, lambda _: Fate(), *overrides).planned(name)
    assert found is not None
    return found[0]


def test_every_initialization_and_the_rates_are_in_the_base_study(digits: Dataset):
    config = planned(digits, "base", "tune=null")
    assert config.sweep == {"model.init": ("torch_default", "he_normal")}
    assert config.tune is not None
    assert config.tune.values == (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    assert len(config.tune_seeds) == len(config.seed_list)
    assert not set(config.tune_seeds) & set(config.seed_list)


def test_the_configs_own_initialization_comes_first(digits: Dataset):
    assert planned(digits, "base", "model.init=he_normal").sweep["model.init"] == (
        "he_normal",
        "torch_default",
    )
    assert planned(digits, "base", "model.init=orthogonal").sweep["model.init"][0] == "orthogonal"


def test_a_grid_of_ones_own_is_kept(digits: Dataset):
    config = planned(digits, "base", "tune={optimizer.lr: [0.2, 0.4], seeds: 3}")
    assert config.tune is not None
    assert config.tune.values == (0.2, 0.4)


def test_smaller_batches_see_as_many_images_at_a_rate_in_proportion(digits: Dataset):
    config = planned(digits, "batch-size")
    assert config.sweep == {"data.batch_size": (2, 4, 8, 16, 32)}
    images = len(digits.train_labels) - 100
    assert config.training.epochs == pytest.approx(100 * 32 / images, rel=0.01)
    assert config.optimizer.reference_batch_size == 32
    adam = planned(digits, "batch-size", "optimizer={kind: adam, lr: 0.001}")
    assert adam.optimizer.reference_batch_size is None


def test_smaller_batches_make_as_many_updates_at_the_same_rate(digits: Dataset):
    config = planned(digits, "batch-size-updates")
    assert config.sweep == {"data.batch_size": (2, 4, 8, 16, 32)}
    assert (config.training.steps, config.training.epochs) == (100, None)
    assert config.optimizer.reference_batch_size is None
    epochs = planned(digits, "batch-size-updates", "training={epochs: 2}")
    assert epochs.training.steps == 2 * ((len(digits.train_labels) - 100) // 32)


def test_depths_that_the_model_does_not_take_are_left_out(digits: Dataset):
    assert planned(digits, "depth", "model.depth=80").sweep["model.depth"] == (160,)
    assert context(digits, lambda _: Fate(), "model.depth=200").study("depth") is None


def test_every_depth_is_tuned_for_itself(digits: Dataset):
    config = planned(digits, "depth")
    assert config.sweep["model.depth"] == (8, 16)
    assert config.tune is not None
    found = context(digits, lambda run: Fate(20 if run.config.model.depth > 8 else 30))
    study = found.study("depth")
    assert study is not None
    assert all(study.rate("batch", point) > 0 for point in study.sweep_points)


def test_the_command_makes_the_experiment_that_was_trained(digits: Dataset):
    trained: list[ExperimentConfig] = []
    read = loader("digits", "model.depth=6")

    def train(config: ExperimentConfig):
        trained.append(config)
        return tell(config, lambda _: Fate())

    origin = Origin("digits", ["model.depth=6"], ["--results", "some where"])
    found = Context(read, train, lambda _: digits, origin, quick=True)
    studies = [found.study(name) for name in STUDIES]
    for study, config in zip(studies, trained, strict=True):
        assert study is not None
        first, second = study.command.split(" && ")
        words = shlex.split(first)
        sets = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        assert words[:3] == ["normbench", "train", "digits"]
        assert load(find_config("digits"), sets) == config
        assert shlex.split(second)[:3] == ["normbench", "compare", config.name]
        assert shlex.split(second)[-2:] == ["--results", "some where"]


def test_a_study_is_trained_once_and_said_of_how_many(digits: Dataset):
    said: list[str] = []
    found = context(digits, lambda _: Fate())
    found.say = said.append
    examine(found, [1, 3, 4, 6, 7, 12, 15])
    forecast, *experiments = said
    assert forecast.startswith("4 experiments, ")
    assert " runs of " in forecast
    assert " min with 1 at a time" in forecast
    assert experiments == [
        "experiment 1 of 4: made-up-claims",
        "experiment 2 of 4: made-up-claims-batch-size",
        "experiment 3 of 4: made-up-claims-batch-size-updates",
        "experiment 4 of 4: made-up-claims-depth",
    ]


def test_a_study_counts_the_runs_at_rates_that_are_not_known_yet(digits: Dataset):
    config = planned(digits, "depth", "training={steps: 1}", "seeds=2", "tune=null")
    found = forecast(config, expand(config), digits)
    points = 2 * 2 * 2  # norms, depths, initializations
    report, tuned = points * 2, points * 4 * 3  # seeds; rates and their seeds
    assert found.runs == 2 * report + tuned == found.updates
    assert found.core_seconds > 0
    assert forecast(config, [], digits) == (0, 0, 0.0)


def test_nothing_is_forecast_where_nothing_is_trained(digits: Dataset):
    said: list[str] = []
    found = context(digits, lambda _: Fate())
    found.say = said.append
    examine(found, [2, 9])
    assert said == []


def test_an_interruption_ends_with_what_was_complete(digits: Dataset):
    found = context(digits, lambda _: Fate())

    def interrupted(_: ExperimentConfig):
        raise Interrupted(2)

    found._train = interrupted
    result = examine(found, [2, 3, 5])
    assert (result.stopped, result.signal) == (True, 2)
    assert [row.claim.number for row in result.rows] == [2]


def shown(capsys: pytest.CaptureFixture[str], form: str, *, verbose: bool = False) -> str:
    name, claim = ordered([8])[0]
    changes = dict.fromkeys(
        ("weight_matrix_scaling", "weight_matrix_recentring", "weight_vector_scaling"), 2e-7
    ) | dict.fromkeys(("dataset_scaling", "dataset_recentring", "single_example_scaling"), 0.5)
    theory = {f"{key}_theory": True for key in changes}
    table = [{"norm": "rms", "block": "linear", **changes, **theory}]
    evidence = Evidence(
        judge(
            [
                Piece("it scales", {"init": "torch_default"}, True, "a long sentence " * 8),
                Piece("it scales", {"init": "he_normal"}, False, "another"),
            ]
        ),
        "an experiment",
        ["normbench train " + "--set a=1 " * 30],
        ["a remark"],
        {"value": float("nan")},
        table,
    )
    rows = [Row(name, claim, evidence)]
    found = Claims("mine", True, rows, "digits, mlp of 12 layers", ["a note"])
    print_claims(found.to_dict(), form, verbose=verbose)
    return capsys.readouterr().out


def test_the_verdicts_come_first_and_fit_80_columns(capsys: pytest.CaptureFixture[str]):
    out = shown(capsys, "table")
    assert max(map(len, out.splitlines())) <= 80 == Console().width
    assert "depends" in out
    words = " ".join(out.split())
    assert "on init: holds torch_default;" in words
    assert "digits, mlp of 12 layers" in words
    assert "another" not in out
    assert "normbench train" not in out


def test_the_evidence_comes_on_request(capsys: pytest.CaptureFixture[str]):
    out = shown(capsys, "table", verbose=True)
    table, commands = out.split("to reproduce")
    assert max(map(len, table.splitlines())) <= 80
    assert "NO* 0.5" in table
    assert "yes 2e-07" in table
    assert "it scales, he_normal: fails (another)" in table
    assert commands.strip().startswith("a  normbench train --set a=1")
    assert len(commands.strip().splitlines()) == 1


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_other_forms_have_one_row_a_statement(capsys: pytest.CaptureFixture[str], form: str):
    assert "depends" in shown(capsys, form)


def test_a_command_has_one_letter():
    rows = [{"commands": ["x", "y"]}, {"commands": ["y", "z"]}]
    assert command_letters(rows) == {"x": "a", "y": "b", "z": "c"}
