"""The smallest dataset of one's own that each source can read; ``from own import options``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

MAKE = """\
import numpy as np

def make(count=20):
    labels = np.arange(count) % 2
    images = np.full((count, 8, 8), 100, dtype=np.uint8) + labels[:, None, None].astype(np.uint8)
    return images, labels
"""


def options(name: str, folder: Path) -> dict[str, Any]:
    """The options of the source ``name`` after its data were written under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(20) % 2
    images = np.full((20, 8, 8), 100, dtype=np.uint8) + labels[:, None, None].astype(np.uint8)
    if name == "folder":
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / "pictures" / "cd"[label] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        return {"path": str(folder / "pictures")}
    if name == "npz":
        np.savez(folder / "mine.npz", x_train=images, y_train=labels)
        return {"path": str(folder / "mine.npz")}
    if name == "function":
        (folder / "my_data.py").write_text(MAKE)
        return {"path": f"{folder / 'my_data.py'}:make"}
    if name == "huggingface":
        save({"train": (images, labels)}, folder / "saved")
        return {"path": str(folder / "saved")}
    return {}


def save(splits: dict[str, tuple[Any, Any]], folder: Path, classes: tuple[str, ...] = ("c", "d")):
    """A dataset of the Hugging Face library on disk; skips the test where that is absent."""
    if importlib.util.find_spec("datasets") is None:
        pytest.skip("the extra datasets is not installed")
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))}
    )
    datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict(
                {
                    "image": [Image.fromarray(image) for image in images],
                    "label": [int(label) for label in labels],
                },
                features=features,
            )
            for name, (images, labels) in splits.items()
        }
    ).save_to_disk(str(folder))
