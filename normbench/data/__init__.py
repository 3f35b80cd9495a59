"""Datasets: the catalog, fetching and checking, splits and batch order.

Importing this package costs neither torch nor scikit-learn, nor NumPy before one of its names is
used; in-memory batches, which need torch, are in ``normbench.data.batches``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.data.catalog import DATASETS, RawDataset, Report, Source, make_source
    from normbench.data.dataset import Dataset
    from normbench.data.prepared import adopt, at_hand, load, prepare
    from normbench.data.splits import epoch_order, split

__all__ = [
    "DATASETS",
    "Dataset",
    "RawDataset",
    "Report",
    "Source",
    "adopt",
    "at_hand",
    "epoch_order",
    "load",
    "make_source",
    "prepare",
    "split",
]

_MODULES = {
    "catalog": ("DATASETS", "RawDataset", "Report", "Source", "make_source"),
    "dataset": ("Dataset",),
    "prepared": ("adopt", "at_hand", "load", "prepare"),
    "splits": ("epoch_order", "split"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"normbench.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
