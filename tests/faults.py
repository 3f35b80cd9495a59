"""Faults of the system, to be injected. ``from faults import ...``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def raiser(error: BaseException) -> Callable[..., NoReturn]:
    """A function that raises ``error`` whatever it is given."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    return fail
