"""Did every norm start from the same backbone and see the same batches?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.groups import require, sweep_points


@dataclass(frozen=True)
class Fairness:
    """The answer over all seeds and sweep points.

    ``compared`` counts the runs whose backbone was held against another run's; where it is 0, the
    two ``identical`` are true of nothing. ``differing`` are the ids of the runs that differ from
    most others of their seed and sweep point, in the order of the input. ``own_terms`` says of each
    norm what its paper fixes, and so is not as for the others.
    """

    backbones_identical: bool
    batches_identical: bool
    differing: tuple[str, ...]
    compared: int
    own_terms: tuple[str, ...] = ()

    @property
    def equal_terms(self) -> bool:
        """Whether nothing that was compared differs."""
        return self.backbones_identical and self.batches_identical


def fairness(runs: pd.DataFrame, keys: Sequence[str]) -> Fairness:
    """Compare the stored hashes across the norms, for each seed and sweep point.

    runs: columns run, seed, <keys>, backbone_sha256, batch_order_sha256, epochs_started. A run
    without a hash (None or NaN: it failed before it started) is left out; norm and own_terms
    (text) may be lacking. Batch orders are compared
    only between runs that started equally many epochs, since the hash of a run that ended early
    covers fewer. A sweep key that changes the model or the batches rightly changes the hashes, so
    nothing is compared across sweep points.

    Where hashes differ, the most frequent one (of equals the first) counts as the right one.

    Raises ValueError for a lacking column.
    """
    require(
        runs, ["run", "seed", "backbone_sha256", "batch_order_sha256", "epochs_started"], "runs"
    )
    sweep_point, _ = sweep_points(runs, keys)
    by = {"sweep_point": sweep_point, "seed": runs["seed"].to_numpy()}
    backbone, compared = _differing(by, runs["backbone_sha256"])
    by["epochs"] = runs["epochs_started"].to_numpy()
    batches, _ = _differing(by, runs["batch_order_sha256"])
    return Fairness(
        backbones_identical=not backbone.any(),
        batches_identical=not batches.any(),
        differing=tuple(str(run) for run in runs["run"][backbone | batches]),
        compared=int(compared.sum()),
        own_terms=_own_terms(runs),
    )


def _own_terms(runs: pd.DataFrame) -> tuple[str, ...]:
    if not {"norm", "own_terms"} <= set(runs.columns):
        return ()
    told = runs.loc[runs["own_terms"].fillna("") != "", ["norm", "own_terms"]].drop_duplicates()
    by_norm = told.groupby("norm", sort=False)["own_terms"].agg(" or ".join)
    return tuple(f"{norm} ({text})" for norm, text in by_norm.items())


def _differing(
    by: dict[str, NDArray[Any]], hashes: pd.Series
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each run [R]: does its hash differ from its group's; was it compared with any other."""
    frame = pd.DataFrame({**by, "hash": hashes.to_numpy(), "row": np.arange(len(hashes))})
    frame = frame[frame["hash"].notna()]
    group = frame.groupby(list(by), dropna=False).ngroup()
    frame = frame.assign(group=group)
    # One row a group and hash; the right one is the most frequent, then the first seen.
    kinds = frame.groupby(["group", "hash"])["row"].agg(["size", "min"]).reset_index()
    kinds = kinds.sort_values(["group", "size", "min"], ascending=[True, False, True])
    right = kinds.drop_duplicates("group").set_index("group")["hash"]
    differs, compared = np.zeros(len(hashes), dtype=bool), np.zeros(len(hashes), dtype=bool)
    differs[frame["row"]] = (frame["hash"] != frame["group"].map(right)).to_numpy()
    compared[frame["row"]] = (group.groupby(group).transform("size") > 1).to_numpy()
    return differs, compared


def fairness_line(fairness: Fairness) -> str:
    """One line: identical, or which run differs; and what norms bring along."""
    own = (
        f"; on the terms of its paper: {', '.join(fairness.own_terms)}"
        if fairness.own_terms
        else ""
    )
    return _equality(fairness) + own


def _equality(fairness: Fairness) -> str:
    if not fairness.compared:
        return "fairness: no two runs share a seed, so nothing could be compared"
    if fairness.equal_terms:
        return (
            "fairness: backbones and batch orders identical across norms "
            f"({fairness.compared} runs)"
        )
    checks = {
        "backbone": fairness.backbones_identical,
        "batch order": fairness.batches_identical,
    }
    what = " and ".join(word for word, same in checks.items() if not same)
    return f"fairness: {what} differ in {', '.join(fairness.differing)}"
