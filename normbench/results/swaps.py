"""Which norms were exchanged for what, read from the manifests of an experiment's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normbench.constants import NEVER_CALLED
from normbench.plain import shown
from normbench.store import Results
from normbench.swapped import Pair, in_pytorch

_NAMED, _PAIRS = 2, 2  # norms named in a line, pairs of layers written in one


@dataclass(frozen=True)
class NormSwaps:
    """What was exchanged in the networks of an experiment.

    slots: a row a norm and slot, and where a sweep makes other layers a row each: norm, path,
    before (None for a placeholder) and after, as plain PyTorch writes them. kept: path, kind and
    reason of norms that stayed. counts: the fewest and the most slots in one network, of norms that
    exchange any. untouched: norms that exchange nothing. reinitialized: norm -> parameters of the
    backbone that it gives another value at the start. besides: norm -> what it changes besides
    norms, such as weight.
    """

    slots: pd.DataFrame
    kept: pd.DataFrame
    counts: tuple[int, int]
    untouched: tuple[str, ...]
    reinitialized: Mapping[str, Sequence[str]]
    besides: Mapping[str, Sequence[str]]

    def of(self, norm: str) -> pd.DataFrame:
        """The slots under one norm."""
        return self.slots[self.slots["norm"] == norm]

    def text(self, told_already: Sequence[str] = ()) -> str:
        """What was swapped, what was kept and why, and what else a method changed, in one line.

        told_already: sentences on norms, ``fixup (other values ...)``; of what starts elsewhere
        under these nothing is said again.
        """
        paths = list(dict.fromkeys(self.slots["path"]))
        told = []
        if paths:
            few, most = self.counts
            count = str(most) if few == most else f"{few} to {most}"
            one = "" if count == "1" else "s"
            placeholders = self.slots["before"].isna().all()
            what = f"norm slot{one} filled" if placeholders else f"norm{one} swapped"
            but = f", none under {', '.join(self.untouched)}" if self.untouched else ""
            told.append(f"{count} {what} ({_first(paths)}){but}")
        elif self.untouched:
            told.append("no norm swapped")
        for reason, group in self.kept.groupby("reason", sort=False):
            named = _first(group["path"])
            told.append(
                f"not called: {named}" if reason == NEVER_CALLED else f"kept {named} ({reason})"
            )
        for norm, names in self.reinitialized.items():
            if any(text.startswith(f"{norm} (other values") for text in told_already):
                continue
            told.append(f"re-initialized by {norm}: {_first(names)}")
        return shown("; ".join(told))

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``: swapped, by norm, path, before and after of each slot; kept; and what
        else each norm changed."""
        rows = self.slots.astype(object).where(self.slots.notna(), None)
        return {
            "swapped": {
                str(norm): group.drop(columns="norm").to_dict("records")
                for norm, group in rows.groupby("norm", sort=False)
            },
            "kept": self.kept.to_dict("records"),
            "reinitialized": {norm: list(names) for norm, names in self.reinitialized.items()},
        }

    def in_pytorch(self, norm: str) -> tuple[list[str], int]:
        """What to write for ``norm`` in plain PyTorch, the first pairs of layers, and how many
        pairs more there are. No pair where nothing is exchanged."""
        pairs: list[Pair] = [
            (None if pd.isna(before) else before, after)
            for before, after in self.of(norm)[["before", "after"]].itertuples(index=False)
        ]
        lines = in_pytorch(pairs)
        return lines[:_PAIRS], len(lines[_PAIRS:])


def swaps_of(results: Results) -> NormSwaps | None:
    """What the manifests tell; None where none does, as those of an earlier normbench."""
    told: dict[str, list[Mapping[str, Any]]] = {}
    for run, norm in results.runs[["run", "norm"]].itertuples(index=False):
        swaps = results.swaps.get(run)
        known = told.setdefault(norm, [])
        # Runs share one object as long as they tell the same.
        if swaps is not None and not any(swaps is other for other in known):
            known.append(swaps)
    told = {norm: ones for norm, ones in told.items() if ones}
    if not told:
        return None
    rows = [
        {"norm": norm, **slot}
        for norm, ones in told.items()
        for one in ones
        for slot in one["swapped"]
    ]
    kept = [entry for ones in told.values() for one in ones for entry in one["kept"]]
    sizes = [len(one["swapped"]) for ones in told.values() for one in ones]
    sizes = [size for size in sizes if size] or [0]
    return NormSwaps(
        pd.DataFrame(rows, columns=["norm", "path", "before", "after"]).drop_duplicates(),
        pd.DataFrame(kept, columns=["path", "kind", "reason"]).drop_duplicates(),
        (min(sizes), max(sizes)),
        tuple(n for n, ones in told.items() if not any(one["swapped"] for one in ones)),
        _by_norm(told, "reinitialized"),
        {n: [w for w in words if w != "norm"] for n, words in _by_norm(told, "replaces").items()},
    )


def _by_norm(told: Mapping[str, list[Mapping[str, Any]]], key: str) -> dict[str, list[str]]:
    """norm -> what its runs tell under ``key``, each once; norms that tell nothing are left out."""
    words_of = {
        n: list(dict.fromkeys(w for one in ones for w in one[key])) for n, ones in told.items()
    }
    return {norm: words for norm, words in words_of.items() if words}


def _first(names: Iterable[str]) -> str:
    """bn1, layer1.0.bn1, ...: the first ones."""
    listed = list(names)
    return ", ".join([*listed[:_NAMED], *(["..."] if len(listed) > _NAMED else [])])
