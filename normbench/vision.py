"""The one place of ours that imports torchvision."""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType

_MISSING_OPERATORS = "operator torchvision::nms does not exist"

# torchvision gives these two a fake implementation as it is imported, whether or not its C++
# library, which declares them, could be loaded.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_declared: list[object] = []  # a torch Library withdraws its operators when it is collected


@functools.cache
def torchvision() -> ModuleType:
    """Import torchvision, also when its build does not match torch's.

    The package index serves torchvision built for CUDA. Beside a CPU build of torch its C++
    library cannot load, the operators it would declare are unknown, and the import fails with
    "operator torchvision::nms does not exist". Only in that case the two schemas are declared here
    and the import is repeated; the operators themselves stay unusable, and nothing here uses them.
    Any other error propagates.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not refused(error):
            raise
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    _declare_operators()
    return importlib.import_module("torchvision")


def refused(error: BaseException | None) -> bool:
    """Whether this is the error of a plain ``import torchvision``, which `torchvision` mends."""
    return isinstance(error, RuntimeError) and _MISSING_OPERATORS in str(error)


def mismatched() -> bool:
    """Whether torchvision, imported above, is without its compiled part."""
    return bool(_declared)


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
