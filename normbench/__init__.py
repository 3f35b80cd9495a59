"""Which normalization layer should this network use? Fair experiments, honest statistics."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.analysis.scores import compare_scores
    from normbench.api import check, claims, cost, export, load_config, probe, report, theory
    from normbench.interactive import compare, load, recommend, train
    from normbench.models.swap import swap

__all__ = [
    "check",
    "claims",
    "compare",
    "compare_scores",
    "cost",
    "export",
    "load",
    "load_config",
    "probe",
    "recommend",
    "report",
    "swap",
    "theory",
    "train",
]


def __getattr__(name: str) -> Any:
    # Imported when first used: `normbench --help` must not wait for pandas and torch.
    if name in ("compare", "load", "recommend", "train"):
        from normbench import interactive

        return getattr(interactive, name)
    if name == "compare_scores":
        from normbench.analysis.scores import compare_scores

        return compare_scores
    if name == "swap":
        from normbench.models.swap import swap

        return swap
    if name in __all__:
        from normbench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Front(ModuleType):
    """The package. ``nb.claims`` and ``nb.report`` stay the functions when the packages of those
    names are imported, which Python would otherwise put in their place.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front
