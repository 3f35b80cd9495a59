from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pretended_web import Web

from normbench.atomic import remove
from normbench.data import RawDataset, adopt, at_hand, load, prepare, prepared
from normbench.data.sources.idx import Kmnist
from normbench.data.sums import channel_statistics
from normbench.errors import DataError

Write = Callable[[str], Path]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time the source was read rather than the cache."""
    seen: list[int] = []
    read = Kmnist.read

    def counted(self: Kmnist, *args: object) -> object:
        seen.append(1)
        return read(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Kmnist, "read", counted)
    return seen


def test_the_second_time_the_cache_is_used_and_gives_the_same(write_idx: Write, reads: list[int]):
    root = write_idx("KMNIST")
    first, second = prepare("kmnist", data_dir=root), prepare("kmnist", data_dir=root)
    assert len(reads) == 1
    assert first.fingerprint == second.fingerprint == load(first.path).fingerprint
    assert (second.train_images == first.train_images).all()
    assert isinstance(second.train_images, np.memmap)
    assert second.train_images.flags.writeable  # a private copy on write: torch does not warn


def test_at_hand_is_what_the_cache_holds_and_nothing_is_read_for_it(write_idx: Write, reads):
    folder = write_idx("KMNIST")
    assert at_hand("kmnist", data_dir=folder) is None
    prepared = prepare("kmnist", data_dir=folder)
    found = at_hand("kmnist", data_dir=folder)
    assert found is not None
    assert found.fingerprint == prepared.fingerprint
    assert len(reads) == 1
    assert at_hand("kmnist", data_dir=folder / "elsewhere") is None


def test_the_embedded_digits_are_always_at_hand(cache: Path):
    found = at_hand("digits")
    assert found is not None
    assert len(found.train_labels) == 1437


def test_a_changed_source_is_noticed(write_idx: Write, reads: list[int]):
    root = write_idx("KMNIST")
    first = prepare("kmnist", data_dir=root)
    images = root / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[-1] ^= 255
    images.write_bytes(content)
    os.utime(images, ns=(1, 1))
    assert prepare("kmnist", data_dir=root).fingerprint != first.fingerprint
    assert len(reads) == 2


def test_a_removed_source_is_an_error_even_with_a_cache(write_idx: Write):
    root = write_idx("KMNIST")
    prepare("kmnist", data_dir=root)
    (root / "KMNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"1 file is missing") as caught:
        prepare("kmnist", data_dir=root, offline=True)
    assert "KMNIST/raw/t10k-labels-idx1-ubyte" in str(caught.value)


def test_missing_files_are_listed_with_the_reason_and_the_remedies(tmp_path: Path, web: Web):
    with pytest.raises(DataError) as caught:
        prepare("fashion_mnist", data_dir=tmp_path / "data")
    text = str(caught.value)
    assert f"4 files are missing in {tmp_path / 'data'}" in text
    assert "    FashionMNIST/raw/train-images-idx3-ubyte" in text
    assert "https://fashion-mnist.s3.eu-central-1.amazonaws.com/" in text
    assert "no network" in text
    assert "--data-dir" in text
    assert "'digits'" in text
    assert len(web.asked) == 2  # both addresses of the first file, and then no more
    assert not (tmp_path / "data").exists()


def test_a_folder_marked_read_only_is_not_written_to(tmp_path: Path, web: Web):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o555)
    with pytest.raises(DataError, match="is read-only"):
        prepare("kmnist", data_dir=folder)
    assert list(folder.iterdir()) == []
    assert web.asked == []


def test_nothing_is_written_beside_the_source(write_idx: Write):
    root = write_idx("KMNIST")

    def listing() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))

    before = listing()
    prepare("kmnist", data_dir=root)
    assert listing() == before


def test_the_data_folder_is_the_argument_then_the_variable_then_the_cache(
    write_idx: Write, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write_idx("KMNIST")
    with pytest.raises(DataError, match=f"missing in {cache / 'data'}"):
        prepare("kmnist", offline=True)
    monkeypatch.setenv("NORMBENCH_DATA_DIR", str(root))
    prepare("kmnist", offline=True)
    with pytest.raises(DataError, match=f"missing in {tmp_path / 'other'}"):
        prepare("kmnist", data_dir=tmp_path / "other", offline=True)


def test_an_unwritable_cache_is_replaced_by_a_temporary_one_with_a_note(
    write_idx: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NORMBENCH_CACHE_DIR", str(tmp_path / "file" / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    notes: list[str] = []
    dataset = prepare("kmnist", data_dir=write_idx("KMNIST"), note=notes.append)
    assert dataset.path.is_relative_to(tmp_path / "temporary")
    assert "cannot be written" in notes[0]


def test_a_damaged_cache_is_rebuilt(write_idx: Write, reads: list[int]):
    root = write_idx("KMNIST")
    first = prepare("kmnist", data_dir=root)
    (first.path / "test_images.npy").write_bytes(b"")
    with pytest.raises(DataError, match="not a usable prepared dataset"):
        load(first.path)
    again = prepare("kmnist", data_dir=root)
    assert again.fingerprint == first.fingerprint
    assert len(reads) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize("name", ["meta.json", "train_images.npy", "test_labels.npy", "."])
@pytest.mark.parametrize("what", ["a pipe", "a device"])
def test_what_is_no_file_in_the_cache_is_not_waited_for(write_idx: Write, what, name):
    root = write_idx("KMNIST")
    first = prepare("kmnist", data_dir=root)
    path = first.path / name
    remove(path)
    if what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    again = prepare("kmnist", data_dir=root)
    assert again.path == first.path
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["meta.json", "train_images.npy", "test_labels.npy"])
def test_a_file_of_the_cache_that_has_grown_is_not_read_to_its_end(write_idx: Write, name):
    root = write_idx("KMNIST")
    first = prepare("kmnist", data_dir=root)
    os.truncate(first.path / name, 2**43)  # it takes no room on the disk, and no memory has it
    assert prepare("kmnist", data_dir=root).fingerprint == first.fingerprint


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("place", [-1, 40, 130])  # in a header, too: the type of its numbers
@pytest.mark.parametrize(
    "name",
    [*(f"{part}_{kind}.npy" for part in ("train", "test") for kind in ("images", "labels"))],
)
def test_a_flipped_bit_in_the_cache_is_noticed_and_the_cache_rebuilt(
    write_idx: Write, reads: list[int], name: str, place: int
):
    root = write_idx("KMNIST")
    first = prepare("kmnist", data_dir=root)
    want = first.train_images.copy(), first.train_labels.copy()
    flip(first.path / name, place)
    with pytest.raises(DataError, match="not a usable prepared dataset"):
        load(first.path)
    notes: list[str] = []
    again = prepare("kmnist", data_dir=root, note=notes.append)
    assert len(reads) == 2
    assert "made again" in notes[0]
    assert (again.train_images == want[0]).all()
    assert (again.train_labels == want[1]).all()


@pytest.mark.parametrize("key", ["mean", "std", "classes", "fingerprint", "name", "sum"])
def test_what_is_written_beside_the_arrays_is_looked_at_too(write_idx: Write, key: str):
    dataset = prepare("kmnist", data_dir=write_idx("KMNIST"))
    path = dataset.path / "meta.json"
    meta = json.loads(path.read_text())
    meta[key] = [0.25] if key in ("mean", "std") else ["a"] * 10 if key == "classes" else "other"
    path.write_text(json.dumps(meta))
    with pytest.raises(DataError, match="not a usable prepared dataset"):
        load(dataset.path)


def test_the_arrays_are_looked_at_once_a_process(write_idx: Write, monkeypatch):
    seen: list[int] = []
    real = prepared.fingerprint_of
    monkeypatch.setattr(prepared, "fingerprint_of", lambda *given: seen.append(1) or real(*given))
    dataset = prepare("kmnist", data_dir=write_idx("KMNIST"))
    load(dataset.path)
    load(dataset.path)
    assert len(seen) == 2  # when written, and when first read
    os.utime(dataset.path / "test_labels.npy", ns=(1, 1))
    load(dataset.path)
    assert len(seen) == 3


def test_two_processes_prepare_at_once_and_agree(write_idx: Write, cache: Path):
    code = (
        "import sys; from normbench.data import prepare\n"
        "dataset = prepare('kmnist', data_dir=sys.argv[1], offline=True)\n"
        "print(dataset.path.name, dataset.fingerprint, int(dataset.train_images.sum()))\n"
    )
    command = [sys.executable, "-c", code, str(write_idx("KMNIST"))]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(answers) == 1
    assert len(list((cache / "prepared").iterdir())) == 1


def test_mean_and_std_are_those_of_the_pixels_in_units_of_one():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    images[..., 2] = 17
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 1, 2)), rel=1e-12)
    assert std == pytest.approx((images / 255).std(axis=(0, 1, 2)), rel=1e-12, abs=1e-12)
    assert std[2] == 0


def test_data_sent_from_elsewhere_are_cached_once_and_found_by_their_bytes(cache: Path, tmp_path):
    sent = prepare("digits")
    os.rename(cache / "prepared", tmp_path / "elsewhere")
    sent = load(tmp_path / "elsewhere" / sent.path.name)
    asked: list[int] = []

    def bring() -> RawDataset:
        asked.append(1)
        return sent.raw()

    kept = adopt("digits", sent.fingerprint, bring)
    assert kept.path.is_relative_to(cache)
    assert (kept.fingerprint, kept.classes) == (sent.fingerprint, sent.classes)
    assert (kept.train_images == sent.train_images).all()
    assert (kept.mean, kept.std) == (sent.mean, sent.std)
    assert adopt("digits", sent.fingerprint, bring).path == kept.path
    assert len(asked) == 1


def test_what_this_machine_prepared_itself_is_found_too(cache: Path):
    own = prepare("digits")
    assert adopt("digits", own.fingerprint, lambda: pytest.fail("asked for")).path == own.path


def test_other_bytes_than_were_promised_are_refused(cache: Path):
    own = prepare("digits")
    with pytest.raises(DataError, match="not what was sent"):
        adopt("digits", "0" * 64, own.raw)
