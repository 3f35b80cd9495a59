"""Datasets of the Hugging Face library, on disk or from its hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from normbench.data.arrays import Layout, Part, assembled
from normbench.data.catalog import DATASETS, RawDataset, Report, Source
from normbench.data.pictures import alike, array_of
from normbench.errors import DataError, suggest

_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves, of several splits or one
_VALIDATION = ("validation", "val", "valid", "dev")


@DATASETS.register("huggingface", aliases=("hf",))
@dataclass(frozen=True)
class HuggingFace(Source):
    """Images of Hugging Face's datasets library: a folder that it saved, or a name on the hub.

    Needs the extra ``datasets``. The split train is trained on; validation, where it is, validates
    in place of a cut from it, and without test a fixed stratified fifth of it is the test. Lhoest
    et al. 2021, "Datasets: a community library for natural language processing", arXiv:2109.02846.
    """

    path: Annotated[
        str,
        Field(
            min_length=1,
            examples=["path/to/saved"],
            description="a folder that datasets can read, or owner/name on the hub",
        ),
    ]
    subset: Annotated[
        str | None, Field(description="the configuration, where a dataset has several")
    ] = None
    revision: Annotated[
        str | None, Field(description="of the hub: a commit; null is the newest")
    ] = None
    image: Annotated[
        str | None, Field(description="the column of the images; null: the one that is of images")
    ] = None
    label: Annotated[
        str | None, Field(description="the column of the labels; null: the one that is of classes")
    ] = None
    layout: Annotated[
        Layout, Field(description="hwc or chw where the shape alone does not tell the channels")
    ] = "auto"

    own: ClassVar[bool] = True

    @property
    def local(self) -> Path | None:
        """The folder, where ``path`` means one."""
        folder = Path(self.path).expanduser()
        return folder.absolute() if folder.is_absolute() or folder.exists() else None

    def root(self, data_root: Path) -> Path:
        return self.local or data_root

    def files(self, root: Path) -> list[Path]:
        if self.local is None:
            return []
        if not root.is_dir():
            raise DataError(f"{root} {'is not a folder' if root.exists() else 'does not exist'}")
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        if not paths:
            raise DataError(f"{root} is empty")
        return paths

    def unread(self, root: Path) -> str:
        return "not here yet" if self.local is None else ""

    def read(self, root: Path, report: Report) -> RawDataset:
        splits = self._splits(root)
        if "train" not in splits:
            raise DataError(f"{self.path} has no split train\n    {suggest('train', splits)}")
        own = next((name for name in _VALIDATION if name in splits), None)
        image, label, classes = self._columns(splits["train"])
        train = self._part(splits["train"], "train", image, label, report)
        validation = self._part(splits[own], own, image, label, report) if own else None
        test = None
        if "test" in splits:
            test = self._part(splits["test"], "test", image, label, report)
            if (np.asarray(test.labels) == -1).all():
                report.note(f"{self.path}: the labels of its test split are withheld; not used")
                test = None
        return assembled(
            train,
            validation,
            test,
            name="huggingface",
            origin=self.path,
            classes=classes,
            layout=self.layout,
            resize=self.resize,
        )

    def _splits(self, root: Path) -> Mapping[str, Any]:
        library = _library()
        try:
            if self.local is not None and any((root / name).exists() for name in _SAVED):
                splits = library.load_from_disk(str(root))
            else:
                path = str(self.local or self.path)
                splits = library.load_dataset(path, self.subset, revision=self.revision)
        except Exception as error:  # of file systems, of the network, of the library's own kinds
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(f"{self.path} cannot be loaded by datasets ({text})") from None
        return splits if isinstance(splits, Mapping) else {"train": splits}

    def _columns(self, split: Any) -> tuple[str, str, list[str] | None]:
        """The columns of images and labels, and the names of the classes where they have some."""
        library = _library()
        features = split.features
        kinds = {"image": library.Image, "label": library.ClassLabel}
        usual = {"image": ("image", "img"), "label": ("label", "labels", "fine_label")}
        chosen = {}
        for option, kind in kinds.items():
            given = getattr(self, option)
            of_kind = [name for name, feature in features.items() if isinstance(feature, kind)]
            by_name = [name for name in usual[option] if name in features]
            candidates = [given] if given else of_kind if len(of_kind) == 1 else by_name
            if not candidates or candidates[0] not in features:
                told = f"has no column {given!r}" if given else f"which column is the {option}?"
                raise DataError(
                    f"{self.path}: {told}\n    data.{option} names it; {suggest(given, features)}"
                )
            chosen[option] = candidates[0]
        names = getattr(features[chosen["label"]], "names", None)
        return chosen["image"], chosen["label"], list(names) if names else None

    def _part(self, split: Any, name: str, image: str, label: str, report: Report) -> Part:
        images = []
        pictures = False
        for index, example in enumerate(split):
            value = example[image]
            if hasattr(value, "convert"):  # Pillow's
                pictures = True
                images.append(array_of(value, self.resize))
            else:
                images.append(np.asarray(value))
            if index % 256 == 0:
                report.progress(index, len(split), f"decoding {name}")
        report.progress(len(split), len(split), f"decoding {name}")
        where = (f"{name}.{image}", f"{name}.{label}")
        labels = np.asarray(split[label])
        if pictures:
            return Part(alike(images), labels, where, "hwc")
        return Part(images, labels, where)

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        return any((base / Path(path).expanduser() / name).is_file() for name in _SAVED)

    @classmethod
    def anchored(cls, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """A folder that is there counts from ``base``; anything else is a name on the hub."""
        path = options.get("path")
        if isinstance(path, str) and path:
            folder = base / Path(path).expanduser()
            if folder.is_dir() or path.startswith((".", "~")):
                return {**options, "path": os.path.normpath(folder)}
        return dict(options)

    @classmethod
    def identity(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """A name on the hub says which dataset it is; where a folder lies does not."""
        local = Path(options["path"]).is_absolute()
        return {**super().identity(options), "path": "" if local else options["path"]}


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError:
        raise DataError(
            "the dataset huggingface needs the package datasets\n"
            "    pip install 'normbench[datasets]'"
        ) from None
    datasets.disable_progress_bars()  # ours are shown instead
    return datasets
