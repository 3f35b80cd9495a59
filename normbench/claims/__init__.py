"""Statements about normalization, each with its experiment, evidence and verdict."""

from normbench.claims.base import CLAIMS, Claim, Claims, Evidence, Row, examine, ordered
from normbench.claims.verdicts import Verdict

__all__ = ["CLAIMS", "Claim", "Claims", "Evidence", "Row", "Verdict", "examine", "ordered"]
