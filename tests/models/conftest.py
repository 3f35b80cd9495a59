"""These networks are so small that a second thread only makes them wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from normbench.models import MODELS, ModelSettings
from normbench.models.foreign import ForeignOptions, of_reference
from normbench.models.init import MODULE
from normbench.models.network import Blueprint


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def plan(monkeypatch):
    """A blueprint of a module's class, as if a config named its file."""

    def of(target: Any, init: str = MODULE, **options: Any) -> Blueprint:
        monkeypatch.setitem(MODELS._items, target.__name__, of_reference(target, "net.py:Net"))
        return Blueprint(target.__name__, ForeignOptions(**options), ModelSettings(init=init))

    return of
