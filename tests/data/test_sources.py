from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import own
import pytest

from normbench.data import DATASETS, Source, make_source, prepare
from normbench.errors import ConfigError, DataError
from normbench.registry import summary
from normbench.vision import torchvision


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return make_source(request.param, own.options(request.param, tmp_path / "own"))


every_dataset = pytest.mark.parametrize("name", DATASETS.names())
every_source = pytest.mark.parametrize("source", DATASETS.names(), indirect=True)


def test_the_datasets_promised_are_all_there():
    promised = {"digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100"}
    promised |= {"folder", "npz", "function", "huggingface"}
    assert promised <= set(DATASETS.names())


@every_dataset
def test_every_dataset_is_described_and_cites_its_source(name: str):
    text = inspect.getdoc(DATASETS[name]) or ""
    assert summary(DATASETS[name]).endswith(".")
    assert DATASETS[name].own or any(f" {year}" in text for year in range(1990, 2030))


@every_source
def test_every_source_names_files_under_its_root_unless_it_is_embedded(
    source: Source, tmp_path: Path
):
    root = source.root(tmp_path)
    files = source.files(root)
    assert all(path.is_relative_to(root) for path in files)
    assert bool(files) != source.embedded
    assert len(set(files)) == len(files)


@every_dataset
def test_every_absent_dataset_offline_is_a_data_error_that_names_a_remedy(
    name: str, tmp_path: Path
):
    if DATASETS[name].embedded:
        pytest.skip("embedded")
    lost = f"{tmp_path / 'nowhere.py'}:make" if name == "function" else tmp_path / "nowhere"
    options = {"path": lost} if DATASETS[name].own else {}
    with pytest.raises(DataError) as caught:
        prepare(name, data_dir=tmp_path, options=options, offline=True)
    assert caught.value.exit_code == 3
    assert ("digits" in str(caught.value)) or DATASETS[name].own


def test_an_unknown_dataset_or_option_is_a_config_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        prepare("mnits")
    with pytest.raises(ConfigError, match="did you mean 'image_size'"):
        prepare("folder", options={"path": ".", "imagesize": 8})
    with pytest.raises(ConfigError, match=r"data\.path.*needs this option"):
        prepare("folder")
    with pytest.raises(ConfigError, match=r"data\.image_size"):
        prepare("folder", options={"path": ".", "image_size": True})


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_class_names_agree_with_torchvision(name: str):
    kind = DATASETS[name]
    assert kind.classes == tuple(getattr(torchvision().datasets, kind.folder).classes)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_file_names_agree_with_torchvision(name: str, tmp_path: Path):
    kind = DATASETS[name]
    published = getattr(torchvision().datasets, kind.published_as)
    listed = [entry[0] for entry in (*published.train_list, *published.test_list)]
    expected = [*listed, published.meta["filename"]]
    assert [path.name for path in kind().files(tmp_path)] == expected
    assert kind.folder == published.base_folder
    assert kind.class_names_key == published.meta["key"]


def test_the_digits_read_from_the_file_are_those_that_scikit_learn_gives(monkeypatch):
    from normbench.data.sources import digits

    read = digits._table()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = digits._table()
    assert read.shape == given.shape == (1797, 65)
    assert read.dtype == given.dtype
    assert (read == given).all()


def test_digits_are_cut_into_the_same_stratified_parts_every_time():
    dataset = prepare("digits", offline=True)
    assert dataset.image_shape == (8, 8, 1)
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (1437, 360)
    assert dataset.train_images.max() == 255
    assert set(np.bincount(dataset.test_labels)) <= {35, 36, 37}
    assert dataset.fingerprint.startswith("dec97b653db31f47")
