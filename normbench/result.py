"""A comparison that a script can print and a notebook shows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normbench.comparison import Comparison
from normbench.report import brief
from normbench.report.answer import answer, to_dict

if TYPE_CHECKING:
    import pandas as pd


class Result(Comparison):
    """What ``train``, ``compare`` and ``load`` give a script or a notebook.

    The tables of ``Comparison``; printed or shown, its sentences and first tables.
    """

    @property
    def table(self) -> pd.DataFrame:
        """The first table as the terminal prints it: texts, a row a norm."""
        return brief.table(self)

    def to_dict(self, *, all_pairs: bool = False) -> dict[str, Any]:
        """The object that ``--json`` prints, with ``verdict``: see ``report.answer``."""
        return to_dict(self, answer(self), all_pairs=all_pairs)

    def __repr__(self) -> str:
        return brief.as_text(self)

    def _repr_html_(self) -> str:
        return brief.as_html(self)
