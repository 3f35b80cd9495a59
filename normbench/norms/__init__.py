"""Normalization methods: one family a file, one registration, found through ``NORMS``."""

from normbench.norms.base import (
    NORMS,
    EvalStatistics,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Rule,
    Traits,
    make_method,
    make_norm,
)

__all__ = [
    "NORMS",
    "EvalStatistics",
    "Norm",
    "NormMethod",
    "NormPolicy",
    "NormSlot",
    "Rule",
    "Traits",
    "make_method",
    "make_norm",
]
