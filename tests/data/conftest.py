"""Every test here has its own cache, and none reaches the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pretended_web import Web

from normbench.data import download


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NORMBENCH_CACHE_DIR", str(folder))
    monkeypatch.delenv("NORMBENCH_DATA_DIR", raising=False)
    return folder


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    pretended = Web()
    monkeypatch.setattr(download, "open_url", pretended.open)
    return pretended


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_files() -> dict[str, bytes]:
    """Name -> content of the four files of a small dataset in MNIST's format."""
    rng = np.random.default_rng(0)
    contents = {}
    for part, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 5, 4))
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(count) % 10)
    return contents


@pytest.fixture
def write_idx(tmp_path: Path, idx_files: dict[str, bytes]) -> Callable[[str], Path]:
    """Place the small dataset as ``<returned root>/<folder>/raw/*``."""

    def write(folder: str) -> Path:
        raw = tmp_path / "data" / folder / "raw"
        raw.mkdir(parents=True)
        for name, content in idx_files.items():
            (raw / name).write_bytes(content)
        return tmp_path / "data"

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real datasets, where there is one."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("NORMBENCH_TEST_DATA", beside))
    if not (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip("the real MNIST is not here (NORMBENCH_TEST_DATA names its folder)")
    return folder
