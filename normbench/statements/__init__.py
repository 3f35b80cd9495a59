"""Statements about normalization, each with its experiment, evidence and verdict."""

from normbench.statements.base import CLAIMS, Claim, Claims, Finding, Row, examine, ordered
from normbench.statements.rules import Verdict

__all__ = ["CLAIMS", "Claim", "Claims", "Finding", "Row", "Verdict", "examine", "ordered"]
