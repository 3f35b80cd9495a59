"""Normalization methods: one family a file, one registration, found through ``NORMS``."""

from normbench.norms.base import (
    NORMS,
    Norm,
    NormMethod,
    NormSlot,
    Rule,
    Setting,
    Traits,
    make_method,
    make_norm,
)

__all__ = [
    "NORMS",
    "Norm",
    "NormMethod",
    "NormSlot",
    "Rule",
    "Setting",
    "Traits",
    "make_method",
    "make_norm",
]
