"""Normalization methods: one family a file, one registration, found through ``NORMS``."""

from normbench.norms.base import NORMS, Method, Norm, NormPolicy, Site, make_method, make_norm

__all__ = ["NORMS", "Method", "Norm", "NormPolicy", "Site", "make_method", "make_norm"]
