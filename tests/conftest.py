"""What the tests of the core share: a cache of their own, and the embedded digits in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from normbench.data import Dataset


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the cache of the person who runs it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMBENCH_CACHE_DIR", str(folder))
        patch.delenv("NORMBENCH_DATA_DIR", raising=False)
        for variable in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"):
            patch.delenv(variable, raising=False)
        yield folder


@pytest.fixture(scope="session")
def digits(own_cache: Path) -> Dataset:
    """The digits, prepared once; this process then trains on one thread, as runs do."""
    import torch

    from normbench.data import prepare

    torch.set_num_threads(1)
    return prepare("digits")
