"""References to code of one's own: what they load, and what is said where they lead nowhere."""

import hashlib

import pytest

from normbench import vision
from normbench.components import (
    NotLoaded,
    anchored,
    is_file_reference,
    is_reference,
    load,
    short,
    source_sha256,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n")
    return path


def test_a_name_in_a_file_is_loaded_with_the_hash_of_the_file(file):
    found = load(f"{file}:Net")
    assert found.target.__name__ == "Net"
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert source_sha256(f"{file}:Net") == found.sha256


def test_the_same_file_is_run_once_and_an_edited_one_again(file):
    first = load(f"{file}:Net").target
    assert load(f"{file}:Net").target is first
    file.write_text(file.read_text() + "\n# edited\n")
    assert load(f"{file}:Net").target is not first


def test_a_name_in_a_module_is_loaded():
    assert load("collections:Counter").target.__name__ == "Counter"


def test_a_file_may_import_what_lies_beside_it(tmp_path):
    (tmp_path / "beside_it_42.py").write_text("VALUE = 42\n")
    path = tmp_path / "user.py"
    path.write_text("from beside_it_42 import VALUE\n")
    assert load(f"{path}:VALUE").target == 42


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("{folder}/mine.py:Nte", "defines no 'Nte'", "did you mean 'Net'"),
        ("{folder}/mien.py:Net", "there is no file", "did you mean 'mine.py'"),
        ("no_such_package:Net", "there is no module 'no_such_package'", "install it"),
        ("mine.py", "is no reference", "file.py:Name"),
    ],
)
def test_what_leads_nowhere_is_named_with_a_remedy(file, reference, message, hint):
    with pytest.raises(NotLoaded) as error:
        load(reference.format(folder=file.parent))
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_file_may_import_a_torchvision_that_does_not_match_torch(file, monkeypatch):
    mended = []
    monkeypatch.setattr(vision, "torchvision", lambda: mended.append(True))
    monkeypatch.setattr(vision, "mended", mended, raising=False)
    path = file.with_name("sees.py")
    path.write_text(
        "from normbench import vision\n"
        "if not vision.mended:\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "Net = dict\n"
    )
    assert load(f"{path}:Net").target is dict
    assert mended == [True]
    path.write_text("raise RuntimeError('another')\n")
    with pytest.raises(NotLoaded, match="another"):
        load(f"{path}:Net")
    assert mended == [True]


def test_an_error_in_the_file_is_told_with_the_frames_of_that_file_alone(file):
    file.write_text("def build():\n    raise ValueError('three channels only')\n\n\nbuild()\n")
    with pytest.raises(NotLoaded) as error:
        load(f"{file}:Net")
    assert error.value.message == f"{file} raises ValueError: three channels only"
    assert "line 2, in build" in error.value.hint
    assert "normbench/components" not in error.value.hint
    assert "importlib" not in error.value.hint


def test_a_reference_is_told_from_a_name(tmp_path):
    assert is_reference("file.py:Name")
    assert is_reference("package.module:Name")
    assert not is_reference("batch")
    assert is_file_reference("a/file.py:Name")
    assert not is_file_reference("package.module:Name")
    assert anchored("a.py:Name", tmp_path) == f"{tmp_path.resolve()}/a.py:Name"
    assert anchored("package.module:Name", tmp_path) == "package.module:Name"
    assert short("a/file.py:Name") == "Name"
    assert short("batch") == "batch"
