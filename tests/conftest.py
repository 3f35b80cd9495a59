"""What the tests of the core share: a cache of their own, and the embedded digits in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Networks of tests are small, and tests run side by side: a second thread costs more than it gains.
os.environ["OMP_NUM_THREADS"] = "1"

from normbench.data import Dataset


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests marked ``soak`` are."""
    group = parser.getgroup("soak")
    group.addoption("--soak-tries", type=int, default=1000, help="random damages; 50 times fuzzed")
    group.addoption(
        "--soak-runs", type=int, default=1000, help="runs of the command that is killed"
    )
    group.addoption("--soak-minutes", type=float, default=30.0, help="for how long it is killed")


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


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlast a power cut; tests of that look at the calls themselves.

    A call of fsync takes milliseconds, and some tests write hundreds of runs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def digits(own_cache: Path) -> Dataset:
    """The digits, prepared once; this process then trains on one thread, as runs do."""
    import torch

    from normbench.data import prepare

    torch.set_num_threads(1)
    return prepare("digits")
