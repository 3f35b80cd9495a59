"""Statements about normalization, each with its experiment, evidence and verdict."""

from normbench.claims.base import CLAIMS, Claim, Claims, Finding, Row, examine, ordered
from normbench.claims.rules import Verdict

__all__ = ["CLAIMS", "Claim", "Claims", "Finding", "Row", "Verdict", "examine", "ordered"]
