"""The parts of ``benchmarks/gpu.py``: they need PyTorch, torchvision and what these bring (NumPy,
Pillow), and none of the other packages that normbench is installed with.

What trains needs no config files, tables or prepared data. Only bounds of options are declared with
``annotated_types``, which nobody reads where there is no config: it is stood in for.
"""

from __future__ import annotations

import importlib.util
import sys
import types


class _Bound:
    """``Ge(1)`` and its like, unread."""

    def __init__(self, *_: object, **__: object):
        pass


def stand_in() -> None:
    """Make ``annotated_types`` importable where it is not installed."""
    if "annotated_types" in sys.modules or _is_there("annotated_types"):
        return
    module = types.ModuleType("annotated_types")
    for name in ("Ge", "Gt", "Le", "Lt", "MinLen", "MaxLen", "Len", "Interval"):
        setattr(module, name, _Bound)
    sys.modules["annotated_types"] = module


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


stand_in()
