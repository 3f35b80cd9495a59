"""Why a norm failed, as far as the probes measured it and the theory says it; else nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis import signal, theory
from normbench.analysis.activations import Array, Pair, functions
from normbench.dotted import flatten_config
from normbench.report.columns import Row
from normbench.report.wording import counted
from normbench.results.tables import ResultTables

# fan_in * var(W) of a square hidden layer, and var(bias), fan_in * var(W) being known without the
# width for these alone: see ``models.init``.
_GAINS = {"he_normal": 2.0, "xavier_normal": 1.0, "lecun_normal": 1.0}
_TORCH_DEFAULT = 1.0 / 3.0
EXPLAINS = 100.0
"""Over all layers, of a squared gradient: what explains that nothing was learned."""

ALIKE = 2.0  # an effective rank below this: one direction holds nearly all of the batch
_REMEDIES = ("he_normal", "lecun_normal")


# The activations that a remedy is known for.
_REMEDIED = ("relu", "leaky_relu", "identity", "tanh")


def why(tables: ResultTables, row: Row, *, diverged: bool = False) -> str:
    """Why the norm of ``row`` (of ``Answer.rows``) did not learn: a clause, or nothing.

    Said is what the first probed step measured: by how much the squared gradient shrinks or grows
    per layer toward the input, where twice its standard error over the seeds does not cross the
    border to "preserves" and all layers together make it ``EXPLAINS`` times as small or large (of
    runs that diverged, as large); or, where the gradient explains nothing, that the examples of a
    batch have become nearly alike at the last layer under every seed. Without a norm, in a fully
    connected network, also the initialization under which the theory keeps the gradient's size, if
    it does not under the config's own.
    """
    here = _at_start(tables, row)
    if diverged:
        return _gradient(tables, row, here, words=("explodes",))
    return _gradient(tables, row, here) or _alike(here)


def _gradient(
    tables: ResultTables,
    row: Row,
    here: pd.DataFrame,
    words: Sequence[str] = ("vanishes", "explodes"),
) -> str:
    """By how much the squared gradient shrinks or grows, where it does for sure."""
    growths, depth = _growths(here)
    if not len(growths):
        return ""
    with np.errstate(divide="ignore"):
        logs = np.log(growths)
    mean = float(np.exp(logs.mean()))
    word = signal.propagation(mean)
    error = float(logs.std(ddof=1) / np.sqrt(len(logs))) if len(logs) > 1 else 0.0
    nearer = float(np.exp(logs.mean() + (2 * error if mean < 1 else -2 * error)))
    if word not in words or signal.propagation(nearer) != word:
        return ""
    measured = f"measured at initialization, {counted(len(growths), 'seed')}"
    if mean == 0:
        return f"its gradient vanishes altogether on the way to the input ({measured})"
    verb = "shrinks" if mean < 1 else "grows"
    factor = max(mean, 1 / mean)
    over_all = factor ** (depth - 1)
    if over_all < EXPLAINS:
        return ""
    text = (
        f"its squared gradient {verb} by a factor of {_factor(factor)} a layer toward the input, "
        f"{_factor(over_all)} over its {depth} layers ({measured})"
    )
    remedy = _remedy(tables, row)
    return f"{text}; {remedy}" if remedy else text


def _alike(here: pd.DataFrame) -> str:
    """Whether all examples look nearly the same to the last layer, so that none can be told."""
    if "effective_rank" not in here:
        return ""
    ranks = [float(np.atleast_1d(values)[-1]) for values in here["effective_rank"]]
    known = np.array([rank for rank in ranks if np.isfinite(rank)])
    if not len(known) or known.max() >= ALIKE:
        return ""
    return (
        f"the examples of a batch are nearly alike at its last layer, with an effective rank of "
        f"{np.median(known):.1f} (measured at initialization, {counted(len(known), 'seed')})"
    )


def _at_start(tables: ResultTables, row: Row) -> pd.DataFrame:
    """What was probed before the first update, a row a seed."""
    probes, runs = tables.results.probes, tables.results.runs
    own = runs["norm"] == row["norm"]
    for key in tables.results.keys:
        own &= runs[key].map(repr) == repr(row[key])
    return probes[probes["run"].isin(runs.loc[own, "run"]) & (probes["step"] == 0)]


def _growths(here: pd.DataFrame) -> tuple[Array, int]:
    """Growth per layer of each seed, NaN left out, and the number of layers."""
    if here.empty or "activation_gradient" not in here:
        return np.array([]), 0
    layers = _stacked(here["activation_gradient"])
    if layers is None:
        return np.array([]), 0
    sizes = _stacked(here["layer_size"]) if "layer_size" in here else None
    if sizes is not None and sizes.shape != layers.shape:
        sizes = None
    growths = signal.growth_of_rows(layers, sizes)
    return growths[~np.isnan(growths)], layers.shape[1]


def _stacked(column: pd.Series) -> Array | None:
    """[R] arrays of one length as [R, L]; None where the lengths differ."""
    rows = [np.atleast_1d(np.asarray(values, dtype=float)) for values in column]
    return np.stack(rows) if len({len(row) for row in rows}) == 1 else None


def _remedy(tables: ResultTables, row: Row) -> str:
    """The initialization that theory says keeps the gradient without a norm; "" for none."""
    config = flatten_config({k: v for k, v in tables.results.config.items() if k != "norms"})
    config |= {key: row[key] for key in tables.results.keys}
    unnormalized = any(
        norm.get("kind") == "none" and row["norm"] in (norm.get("name"), "none")
        for norm in map(_as_norm, tables.results.config.get("norms") or ())
    )
    init, kind = config.get("model.init"), config.get("model.kind")
    activation = config.get("model.activation")
    if not unnormalized or kind != "mlp" or activation not in _REMEDIED:
        return ""
    pair = functions(activation)
    assert pair is not None
    if _keeps(init, pair):
        return ""
    if init not in (*_GAINS, "torch_default"):
        return ""
    for other in _REMEDIES:
        if _keeps(other, pair):
            return (
                f"under model.init={other} it would keep its size by theory "
                f"({_theory(other, pair):.2f} a layer, {_theory(init, pair):.2f} under "
                f"{init})"
            )
    return ""


def _as_norm(norm: Any) -> dict[str, Any]:
    return dict(norm) if isinstance(norm, dict) else {"kind": norm}


def _keeps(init: Any, pair: Pair) -> bool:
    return init in (*_GAINS, "torch_default") and (
        signal.propagation(_theory(init, pair)) == "preserves"
    )


def _theory(init: str, pair: Pair) -> float:
    """Growth per layer without a norm, far from the input: see ``analysis.theory``."""
    default = init == "torch_default"
    value = theory.growth(
        statistics="none",
        centered=False,
        placement="pre",
        phi=pair[0],
        dphi=pair[1],
        weight_gain=_TORCH_DEFAULT if default else _GAINS[init],
        # PyTorch draws biases too, with variance 1 / (3 fan_in): nothing in a wide layer.
        bias_variance=0.0,
    )
    return float("nan") if value is None else value


def _factor(value: float) -> str:
    """6.0, 7,800, 2e+12: two digits are enough."""
    if value < 100:
        return f"{value:.1f}"
    return f"{float(f'{value:.2g}'):,.0f}" if value < 1e6 else f"{value:.0e}"
