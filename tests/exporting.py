"""Every exporter, each skipped with a word where its extra is not installed."""

from importlib.util import find_spec

import pytest

from normbench.exporters import EXPORTERS

EXTRAS = {"parquet": "pyarrow", "tensorboard": "tensorboard", "wandb": "wandb"}
"""exporter -> the module that its extra installs."""

every = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in EXTRAS and find_spec(EXTRAS[name]) is None,
                reason=f"the extra {name} is not installed",
            ),
        )
        for name in EXPORTERS.names()
    ],
)
