"""Data of one's own: what a function returns, a folder with its parts; also installed ones."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import own
import pytest
from PIL import Image

from normbench.data import Dataset, prepare
from normbench.errors import DataError


def function(folder: Path, body: str, **options: Any) -> Dataset:
    """What ``def make`` of these lines returns."""
    code = "import numpy as np\nimport torch\nfrom PIL import Image\n" + body
    (folder / "my_data.py").write_text(code)
    return prepare("function", options={"path": f"{folder / 'my_data.py'}:make", **options})


# --- a function ---

DICTIONARY = """
def make(scale=1):
    x = np.arange(20 * 16).reshape(20, 4, 4) // 2 * scale
    return {"x_train": x, "y_train": np.arange(20) % 2, "classes": ["ant", "bee"]}
"""
DATASETS = """
class Some(torch.utils.data.Dataset):
    classes = ["ant", "bee"]
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, index):
        return {image}, index % 2

def make():
    return {made}
"""


def test_a_dictionary_of_arrays(tmp_path):
    found = function(tmp_path, DICTIONARY)
    assert (found.image_shape, found.classes) == ((4, 4, 1), ("ant", "bee"))
    assert found.train_images.dtype == np.uint8


@pytest.mark.parametrize(
    "returned",
    [
        "x, y, x[:4], y[:4]",
        "(x, y), (x[:4], y[:4])",
        "[torch.tensor(x), torch.tensor(y), torch.tensor(x[:4]), y[:4].tolist()]",
    ],
)
def test_two_or_four_arrays_in_order(returned, tmp_path):
    body = "def make():\n    x, y = np.arange(320).reshape(20, 4, 4) % 9, np.arange(20) % 2\n"
    found = function(tmp_path, f"{body}    return {returned}\n")
    assert (len(found.train_labels), len(found.test_labels)) == (20, 4)
    assert found.train_images[3, :, :, 0].reshape(-1).tolist() == [i % 9 for i in range(48, 64)]


@pytest.mark.parametrize(
    ("made", "sizes"),
    [
        ("Some(20)", (16, 0, 4)),
        ("Some(20), Some(6)", (20, 0, 6)),
        ("[Some(20), Some(8), Some(6)]", (20, 8, 6)),
        ("torch.utils.data.Subset(Some(40), range(20))", (16, 0, 4)),
    ],
)
@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("torch.full((3, 4, 5), index / 20)", np.float32),
        ("np.full((4, 5, 3), index, dtype=np.uint8)", np.uint8),
        ("Image.new('RGB', (5, 4), (index, index, index))", np.uint8),
    ],
)
def test_torch_datasets_are_decoded_once(made, sizes, image, kind, tmp_path):
    found = function(tmp_path, DATASETS.replace("{image}", image).replace("{made}", made))
    train, validation, test = sizes
    assert len(found.train_labels) == train + validation
    assert (found.validation, len(found.test_labels)) == (validation, test)
    assert found.image_shape == (4, 5, 3)
    assert found.train_images.dtype == kind
    assert found.classes == (("0", "1") if "Subset" in made else ("ant", "bee"))
    first = found.train_images[1].reshape(-1)
    assert (first == first[0]).all()


def test_grey_pictures_among_coloured_ones_are_coloured(tmp_path):
    image = "Image.new('RGB' if index % 2 else 'L', (5, 4))"
    body = DATASETS.replace("{image}", image).replace("{made}", "Some(20)")
    assert function(tmp_path, body).image_shape == (4, 5, 3)


def test_pictures_of_unequal_size_need_resize_and_then_pass(tmp_path):
    image = "Image.new('RGB', (5 + index % 2, 4))"
    body = DATASETS.replace("{image}", image).replace("{made}", "Some(20)")
    with pytest.raises(DataError, match=r"4x5, 4x6\n    data\.resize: 64"):
        function(tmp_path, body)
    assert function(tmp_path, body, resize=8).image_shape == (8, 8, 3)


def test_the_function_is_called_again_only_when_its_file_or_arguments_change(tmp_path):
    body = DICTIONARY.replace("    x =", "    open(__file__ + '.calls', 'a').write('1')\n    x =")
    calls = tmp_path / "my_data.py.calls"
    first = function(tmp_path, body)
    assert function(tmp_path, body).path == first.path  # the same text, written anew
    assert calls.read_text() == "1"
    assert function(tmp_path, body, args={"scale": 2}).fingerprint != first.fingerprint
    assert calls.read_text() == "11"
    function(tmp_path, body + "\n# edited\n")
    assert calls.read_text() == "111"


def test_code_that_is_not_the_one_of_the_config_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not the code that this config was made with"):
        function(tmp_path, DICTIONARY, sha256="0" * 64)


def test_what_the_function_prints_does_not_mix_with_results(tmp_path, capsys):
    function(tmp_path, DICTIONARY.replace("    return", "    print('hello')\n    return"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


def test_a_function_of_an_installed_module(tmp_path, monkeypatch):
    (tmp_path / "some_module_of_mine.py").write_text(own.MAKE)
    monkeypatch.syspath_prepend(tmp_path)
    found = prepare("function", options={"path": "some_module_of_mine:make"})
    assert found.num_classes == 2
    sys.modules.pop("some_module_of_mine")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def mak(): pass", r"defines no 'make'(?s:.)*did you mean 'mak'"),
        ("make = 3", "is of type int, not a function"),
        ("def make(): return 3", "returned int; return"),
        ("def make(): return 1, 2, 3", "returned 3 values; return"),
        ("def make(): return {'x': 1}", "no x_train in it"),
        ("def make(needed): pass", "raises TypeError: .*needed"),
        ("def make():\n    raise ValueError('no luck')", r"raises ValueError: no luck\n"),
        ("def make():\n    raise SystemExit(3)", "raises SystemExit: 3"),
        ("raise ValueError('no luck')", r"raises ValueError: no luck\n"),
        ("def make(:", "raises SyntaxError"),
    ],
)
def test_a_function_that_gives_no_dataset_is_told_in_clear_words(body, words, tmp_path, cache):
    with pytest.raises(DataError, match=words) as caught:
        function(tmp_path, body)
    assert str(tmp_path / "my_data.py") in str(caught.value)
    assert not (cache / "prepared").exists()


def test_the_frames_of_an_error_are_the_users_own(tmp_path):
    body = "def helper():\n    raise KeyError('x')\n\ndef make():\n    return helper()\n"
    with pytest.raises(DataError) as caught:
        function(tmp_path, body)
    text = str(caught.value)
    assert "in make" in text
    assert "in helper" in text
    assert "normbench/data" not in text


# --- a folder with a validation part ---


def pictures(folder: Path, **parts: int) -> None:
    for part, count in parts.items():
        for label in "cd":
            for index in range(count):
                path = folder / part / label / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), index + 1).save(path)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_brings_its_own_validation_part(name, tmp_path):
    pictures(tmp_path, train=5, test=2, **{name: 3})
    found = prepare("folder", options={"path": str(tmp_path)})
    assert (len(found.train_labels), found.validation, len(found.test_labels)) == (16, 6, 4)
    assert found.train_labels[-6:].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_folder_with_val_and_no_test_gives_a_fifth_of_train_for_the_test(tmp_path):
    pictures(tmp_path, train=10, val=3)
    notes: list[str] = []
    found = prepare("folder", options={"path": str(tmp_path)}, note=notes.append)
    assert (len(found.train_labels), found.validation, len(found.test_labels)) == (22, 6, 4)
    assert "has no test/: a fifth of train/" in notes[0]


# --- resize, of every source ---


@pytest.mark.parametrize("name", ["digits", "folder", "npz", "function", "huggingface"])
def test_resize_makes_square_images_of_that_side(name, tmp_path):
    options = own.options(name, tmp_path / "own")
    before = prepare(name, options=options)
    found = prepare(name, options={**options, "resize": 12})
    assert found.image_shape == (12, 12, before.image_shape[2])
    assert found.path != before.path
    assert (found.train_labels == before.train_labels).all()
    assert abs(found.mean[0] - before.mean[0]) < 0.02


# --- installed by name ---


def test_a_function_or_a_source_becomes_a_dataset_by_its_reference(tmp_path):
    from normbench.data.catalog import Report
    from normbench.data.sources.function import of_reference

    def make(count=30):
        """Two kinds of noise."""
        labels = np.arange(count) % 2
        images = np.random.default_rng(0).integers(0, 99, (count, 4, 4))
        return {"x_train": images, "y_train": labels}

    kind = of_reference(make, "somewhere.parts:make")
    assert kind.__doc__ == "Two kinds of noise."
    assert [field.name for field in dataclasses.fields(kind)] == [
        *("resize", "args", "layout", "sha256")
    ]
    assert of_reference(kind, "somewhere.parts:Kind") is kind
    with pytest.raises(TypeError, match="is int, no Source"):
        of_reference(3, "somewhere.parts:three")
    (tmp_path / "parts_of_tests.py").write_text(MAKER)
    reference = f"{tmp_path / 'parts_of_tests.py'}:make"
    read = of_reference(make, reference)(args={"count": 20}).read(tmp_path, Report())
    assert len(read.train_images) + len(read.test_images) == 20


MAKER = """\
import numpy as np

def make(count=30):
    images = np.random.default_rng(0).integers(0, 99, (count, 4, 4))
    return {"x_train": images, "y_train": np.arange(count) % 2}
"""
