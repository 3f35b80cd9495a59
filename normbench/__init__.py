"""Which normalization layer should this network use? Fair experiments, honest statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.analysis.scores import compare_scores
    from normbench.api import claims, cost, export, load_config, probe, report
    from normbench.interactive import compare, load, train

__all__ = [
    "claims",
    "compare",
    "compare_scores",
    "cost",
    "export",
    "load",
    "load_config",
    "probe",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    # Imported when first used: `normbench --help` must not wait for pandas and torch.
    if name in ("compare", "load", "train"):
        from normbench import interactive

        return getattr(interactive, name)
    if name == "compare_scores":
        from normbench.analysis.scores import compare_scores

        return compare_scores
    if name in __all__:
        from normbench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
