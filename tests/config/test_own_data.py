"""A config that names the user's own data: short forms, where paths count from, identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from normbench.config import ExperimentConfig, load
from normbench.config.loader import find_config
from normbench.errors import ConfigError

CODE = "def make():\n    return [], []\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of everything, which is not the current one."""
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for path in (folder / "pictures", folder / "saved", folder / "deep" / "pictures", elsewhere):
        path.mkdir(parents=True)
    (folder / "saved" / "state.json").touch()
    (folder / "my_data.py").write_text(CODE)
    monkeypatch.chdir(elsewhere)
    return folder


def written(folder: Path, data: str, *overrides: str) -> ExperimentConfig:
    path = folder / "x.yaml"
    path.write_text(f"norms: [batch, layer]\ndata: {data}\n")
    return load(path, overrides)


@pytest.mark.parametrize(
    ("word", "dataset", "path"),
    [
        ("pictures", "folder", "pictures"),
        ("deep/pictures", "folder", "deep/pictures"),
        ("./nowhere/pictures", "folder", "nowhere/pictures"),
        ("mine.npz", "npz", "mine.npz"),
        ("my_data.py:make", "function", "my_data.py:make"),
        ("deep/../my_data.py:make", "function", "my_data.py:make"),
        ("saved", "huggingface", "saved"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "{{path: '{}'}}", "{{dataset: '{}'}}"])
def test_a_path_alone_tells_the_source_and_counts_from_the_config(word, dataset, path, form, home):
    found = written(home, form.format(word)).data
    assert found.dataset == dataset
    assert found.options()["path"] == str(home / path)


def test_a_module_and_a_name_on_the_hub_are_left_as_they_are(home):
    assert written(home, "some.module:make").data.options()["path"] == "some.module:make"
    hub = written(home, "{dataset: huggingface, path: owner/name}").data
    assert hub.options()["path"] == "owner/name"


def test_a_registered_name_goes_before_a_folder_of_that_name(home):
    (home / "digits").mkdir()
    assert written(home, "digits").data.dataset == "digits"
    assert written(home, "./digits").data.dataset == "folder"


@pytest.mark.parametrize(
    "override",
    ["data=my_data.py:make", "data={path: my_data.py:make}", "data.path=my_data.py:make"],
)
def test_on_the_command_line_a_path_counts_from_the_current_folder(override, home):
    Path("my_data.py").write_text(CODE)
    found = written(home, "my_data.py:make", override)
    assert found.data.options()["path"] == f"{Path.cwd() / 'my_data.py'}:make"


def test_what_is_left_out_suits_data_that_nobody_knows(home):
    found = written(home, "mine.npz")
    assert (found.data.validation, found.data.augment.crop, found.model.kind) == (0.1, 0, "cnn")
    assert load("norms: [batch]\ndata: mine.npz").name == "mine-cnn"


def test_where_the_data_lie_is_no_part_of_a_runs_identity(home):
    def identity(data: str) -> str:
        return written(home, data).run({}, "batch", 0).identity()

    assert identity("pictures") == identity("deep/pictures")
    assert identity("mine.npz") == identity("deep/other.npz")
    assert identity("mine.npz") != identity("{path: mine.npz, layout: chw}")
    assert identity("mine.npz") != identity("{path: mine.npz, resize: 16}")
    hub = "{{dataset: huggingface, path: {}}}".format
    assert identity(hub("owner/one")) != identity(hub("owner/other"))
    assert identity(hub("./one")) == identity(hub("./other"))


def test_code_is_part_of_a_runs_identity_by_its_content_and_arguments(home):
    def identity(data: str) -> str:
        return written(home, data).run({}, "batch", 0).identity()

    (home / "deep" / "same.py").write_text(CODE)
    (home / "deep" / "other.py").write_text(CODE + "# edited\n")
    first = identity("my_data.py:make")
    assert identity("deep/same.py:make") == first
    assert identity("deep/other.py:make") != first
    assert identity("my_data.py:other") != first
    assert identity("{path: 'my_data.py:make', args: {size: 3}}") != first


def test_a_stored_config_means_the_code_it_was_made_with(home):
    before = written(home, "my_data.py:make")
    stored = before.resolved()
    (home / "my_data.py").write_text(CODE + "# edited\n")
    again = ExperimentConfig.model_validate(stored)
    assert again == before
    assert again.run({}, 0, 0).identity() == before.run({}, 0, 0).identity()
    (home / "my_data.py").unlink()
    assert ExperimentConfig.model_validate(stored) == before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nowhere", "data.dataset: unknown dataset 'nowhere'"),
        ("{path: nowhere}", "path has no meaning for dataset 'digits'"),
        ("{path: mine.npz, layout: cwh}", "data.layout: must be 'auto', 'hwc' or 'chw'"),
        ("{path: mine.npz, image_size: 8}", "it belongs to folder"),
        ("{path: mine.npz, resize: 2}", "data.resize: must be at least 4, got 2"),
        ("{path: pictures, channels: 2}", "data.channels: must be 1 or 3, got 2"),
        ("{path: 'my_data.py:make', args: 3}", "data.args: must be a section of keys, got 3"),
        ("{dataset: npz}", "data.path: missing\n    for example  path: mine.npz"),
        ("{validation: 0}", "data.validation: must be at least 1, got 0"),
        ("{validation: 1.5}", "data.validation: must be a whole number, got 1.5"),
        ("{validation: true}", "data.validation: must be a whole number, got true"),
        ("{validation: -0.5}", "data.validation: must be a whole number, got -0.5"),
    ],
)
def test_a_mistake_is_told_in_clear_words(data: str, words: str, home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        written(home, data)
    assert words in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("key", ["path", "resize", "layout", "args", "dataset", "image_size"])
def test_what_the_data_are_cannot_be_swept(key: str, home: Path) -> None:
    with pytest.raises(ConfigError):
        written(home, "mine.npz", f"sweep={{data.{key}: [a]}}")


def test_a_config_of_ones_own_data_loads_to_an_equal_experiment(home: Path) -> None:
    for data in ("pictures", "mine.npz", "my_data.py:make", "saved"):
        found: Any = written(home, data)
        assert ExperimentConfig.model_validate(found.resolved()) == found


def test_a_name_longer_than_any_files_is_a_mistake_like_another(home: Path) -> None:
    with pytest.raises(ConfigError):
        load("norms: [none]", [f"data={'a' * 300}"])
    with pytest.raises(ConfigError, match="cannot be read"):
        load(find_config("a" * 300))
