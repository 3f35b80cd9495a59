"""Datasets: the catalog, fetching and checking, splits and batch order.

Importing this package costs neither torch nor scikit-learn; in-memory batches, which need torch,
are in ``normbench.data.batches``.
"""

from normbench.data.catalog import DATASETS, RawDataset, Report, Source, make_source
from normbench.data.prepared import Dataset, adopt, load, prepare
from normbench.data.splits import epoch_order, split

__all__ = [
    "DATASETS",
    "Dataset",
    "RawDataset",
    "Report",
    "Source",
    "adopt",
    "epoch_order",
    "load",
    "make_source",
    "prepare",
    "split",
]
