"""The propagation table: how signals and gradients pass through a network, beside theory.

The definitions are those of ``analysis.signal``; the theory is ``analysis.theory``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis import signal
from normbench.analysis.expected import block_sizes, expected, expected_cosines

FACTOR = 1e4


@dataclass(frozen=True)
class Propagation:
    """What a probe found.

    table: see ``table``; landscape: see ``landscape_table``, empty unless asked for; keys: the
    sweep keys.
    """

    experiment: str
    keys: list[str]
    table: pd.DataFrame
    landscape: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def layers(self) -> pd.DataFrame:
        """One row a layer: norm, <keys>, step, layer (from 1, at the input), quantities.

        The quantities are the registered probes', each the median over seeds.
        """
        named = ["norm", *self.keys, "step"]
        return pd.DataFrame(
            [
                {**{name: row[name] for name in named}, **layer}
                for row in self.table.to_dict("records")
                for layer in row["layers"]
            ]
        )


def table(measurements: pd.DataFrame, points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a sweep point, norm and step, in the order of the measurements.

    measurements: one row a run and step, with norm, sweep_point (index into ``points``, the sweep
    values), step, signals (quantity -> [L], or None where the run had diverged) and theory_inputs
    (the arguments of ``expected``). Columns:

    norm, <keys>, step, growth_per_layer (activation gradient; geometric mean over seeds, 0 if it
    vanished altogether in any; within the stages of a CNN; of residual networks per block, of what
    enters it), growth_std (over seeds), log_growth_se (standard error of ln(growth): over seeds, or
    the theory's for one seed), weight_growth_per_layer, weight_growth_std, theory (geometric mean;
    at step 0 only), ratio (growth over theory), forward_growth_per_layer and forward_theory (the
    same of the mean square that comes out of the activation function, or enters a block, toward the
    output), theory_se (``signal.log_growth_sd`` over the root of the seeds), z (ln(ratio) over it),
    theory_note, gradient (which was sent backward: of the loss, or independent for each example),
    verdict (see ``_verdict``, or "diverged"), depth_for_1e4 (layers over which the squared
    activation gradient norm changes by 1e4, up or down; NaN of residual networks),
    factor_over_depth (by which it changes over this network, if each of its layers does as the
    fitted ones; from the first residual block to the last), per (layer or block), identity_share
    and identity_share_theory [blocks], effective_rank and example_cosine (of the last layer,
    medians over seeds), example_cosine_theory (mean over seeds; at step 0 only), dead_units (mean
    over layers and seeds), seeds (measured), diverged, growth_by_seed [seeds], layers (a list with
    one mapping a layer, from the input: layer, each quantity's median over seeds,
    example_cosine_theory).
    """
    rows = []
    by = ["sweep_point", "norm", "step"]
    for (sweep_point, norm, step), group in measurements.groupby(by, sort=False):
        labels = {"norm": norm, **points[sweep_point], "step": step}
        rows.append({**labels, **_summary(group, at_start=step == 0)})
    return pd.DataFrame(rows)


def theory_table(inputs: pd.DataFrame, points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a sweep point and norm: what theory says at step 0, without a measurement.

    inputs: one row a run with norm, sweep_point and theory_inputs. Columns as in ``table``: norm,
    <keys>, step (0), theory, forward_theory, theory_se, theory_note, verdict (of theory),
    depth_for_1e4, factor_over_depth, per, identity_share_theory, example_cosine_theory, seeds.
    """
    rows = []
    for (sweep_point, norm), group in inputs.groupby(["sweep_point", "norm"], sort=False):
        known = group["theory_inputs"].iloc[0]
        said = _theory(group["theory_inputs"])
        value, depth, blocks = said["theory"], len(known["shapes"]), _Blocks.of(known)
        cosines, over = said.pop("cosines"), said.pop("over_blocks")
        over = float(np.float64(value) ** (depth - 1)) if blocks is None else over
        rows.append(
            {
                "norm": norm,
                **points[sweep_point],
                "step": 0,
                **said,
                "theory_se": _theory_se(known, len(group)),
                "verdict": _verdict(value, np.nan, over, blocks),
                "depth_for_1e4": np.nan if blocks else signal.depth_for_factor(value, FACTOR),
                "factor_over_depth": over,
                "per": "layer" if blocks is None else "block",
                "example_cosine_theory": float(cosines[-1]),
                "seeds": len(group),
            }
        )
    return pd.DataFrame(rows)


def _theory(inputs: Sequence[Mapping[str, Any]] | pd.Series) -> dict[str, Any]:
    """theory, forward_theory (geometric means over seeds), theory_note, identity_share_theory [B],
    over_blocks (the squared gradient of the first block over the last's; NaN without blocks) and
    cosines [L]."""
    said = [expected(**known) for known in inputs]
    cosines = [expected_cosines(**known) for known in inputs]
    blocks, none = [s.blocks for s in said if s.blocks is not None], np.array([])
    missing = np.full(len(said and next(iter(inputs))["shapes"]), np.nan)
    return {
        "theory": _geometric_mean(np.array([s.growth for s in said])),
        "forward_theory": _geometric_mean(np.array([s.forward for s in said])),
        "theory_note": said[0].note,
        "identity_share_theory": np.mean([b.shares for b in blocks], axis=0) if blocks else none,
        "over_blocks": _geometric_mean(np.array([b.gradient[0] for b in blocks])),
        "cosines": _left_in(np.nanmean, np.array([missing if f is None else f for f in cosines])),
    }


def _summary(group: pd.DataFrame, *, at_start: bool) -> dict[str, Any]:
    measured = [signals for signals in group["signals"] if signals is not None]
    stacked = {  # quantity -> [seeds, L]
        name: np.array([signals[name] for signals in measured], dtype=float)
        for name in (measured[0] if measured else ())
    }
    known = group["theory_inputs"].iloc[0]
    depth = len(known["shapes"])
    growths = _growths(stacked, "activation_gradient")
    weights = _growths(stacked, "weight_gradient")
    blocks = _Blocks.of(known)
    if blocks is not None and "block_gradient" in stacked:
        growths = signal.growth_of_rows(blocks.take(stacked, "block_gradient"), blocks.sizes)
    growth = _geometric_mean(growths)
    said: dict[str, Any] = {
        "theory": np.nan,
        "forward_theory": np.nan,
        "theory_note": "theory is of step 0",
        "cosines": np.full(depth, np.nan),
        "identity_share_theory": np.array([]),
    }
    if at_start:
        said = _theory(group["theory_inputs"])
    value, cosines = said["theory"], said["cosines"]
    theory_se = _theory_se(known, len(measured))
    error = _spread(np.log(growths, where=growths > 0, out=np.full_like(growths, np.nan)))
    error = theory_se if len(measured) == 1 else error / np.sqrt(max(len(measured), 1))
    ratio = growth / value
    over = _over_depth(growth, depth, stacked, blocks)
    medians = {name: _left_in(np.nanmedian, values) for name, values in stacked.items()}
    medians = {"example_cosine_theory": cosines, **medians} if medians else {}
    last = {name: float(values[-1]) for name, values in medians.items()}
    return {
        "growth_per_layer": growth,
        "growth_std": _spread(growths),
        "log_growth_se": error,
        "weight_growth_per_layer": _geometric_mean(weights),
        "weight_growth_std": _spread(weights),
        "theory": value,
        "forward_growth_per_layer": _geometric_mean(_forward_growths(stacked, blocks)),
        "forward_theory": said["forward_theory"],
        "ratio": ratio,
        "theory_se": theory_se,
        "z": float(np.log(ratio) / theory_se) if ratio > 0 else np.nan,
        "theory_note": said["theory_note"],
        "gradient": group["gradient"].iloc[0] if "gradient" in group else "loss",
        "verdict": "diverged" if not measured else _verdict(growth, error, over, blocks),
        "depth_for_1e4": np.nan if blocks else signal.depth_for_factor(growth, FACTOR),
        "factor_over_depth": over,
        "per": "layer" if blocks is None else "block",
        "identity_share": _of_blocks(stacked, blocks),
        "identity_share_theory": said["identity_share_theory"],
        **{
            name: last.get(name, np.nan)
            for name in ("effective_rank", "example_cosine", "example_cosine_theory")
        },
        "dead_units": _mean(stacked["dead_units"]) if measured else np.nan,
        "seeds": len(measured),
        "diverged": len(group) - len(measured),
        "growth_by_seed": growths,
        "layers": [
            {"layer": i + 1, **{name: float(values[i]) for name, values in medians.items()}}
            for i in range(depth if medians else 0)
        ],
    }


def _verdict(growth: float, error: float, over: float, blocks: _Blocks | None) -> str:
    """``signal.propagation``, or ``undecided`` where growth ± 2 standard errors crosses a border.

    Of a residual network, whose growth a block is another at another depth, by the factor over its
    own, ``over``. error: standard error of ln(growth); NaN (one seed of a depth that leaves nothing
    to fit, or a growth of 0 or infinity) decides as if there were none.
    """
    reach, steps = np.exp(2 * error) if np.isfinite(error) else 1.0, 1
    if blocks is not None:
        growth, steps = over, max(len(blocks.firsts) - 1, 1)
    ends = (growth / reach**steps, growth * reach**steps)
    words = {signal.propagation(at, layers=100 if blocks is None else 1, factor=FACTOR)
             for at in ends}  # fmt: skip
    return words.pop() if len(words) == 1 else "undecided"


def _theory_se(known: Mapping[str, Any], seeds: int) -> float:
    """Standard error of ln(growth) over so many seeds, from widths and depth.

    A residual block counts as a layer: what its branch adds varies at most as much.
    """
    widths = np.array([shape[0] for shape in known["shapes"]])
    sizes = np.array([np.prod(shape) for shape in known["shapes"]])
    blocks = _Blocks.of(known)
    if blocks is not None:
        widths, sizes = widths[[max(f - 1, 0) for f in blocks.firsts]], blocks.sizes[0]
    layers = signal.layers_fitted(len(widths), sizes)
    width = float(1 / np.mean(1 / widths[signal.middle_layers(len(widths))]))
    return signal.log_growth_sd(width, layers) / np.sqrt(seeds) if seeds else np.nan


def _growths(stacked: Mapping[str, signal.Floats], name: str) -> signal.Floats:
    if not stacked:
        return np.array([])
    return signal.growth_of_rows(stacked[name], stacked.get("layer_size"))


@dataclass(frozen=True)
class _Blocks:
    """The residual blocks of a network. firsts: a layer of each; sizes: [1, B], see
    ``expected.block_sizes``."""

    firsts: list[int]
    sizes: signal.Floats

    @classmethod
    def of(cls, theory_inputs: Mapping[str, Any]) -> _Blocks | None:
        """None where the network has none."""
        if all(block is None for block in theory_inputs["blocks"]):
            return None
        return cls(*blocks_of(theory_inputs))

    def take(self, stacked: Mapping[str, signal.Floats], name: str) -> signal.Floats:
        """A quantity by block. [S, B]"""
        return stacked[name][:, self.firsts]


def blocks_of(theory_inputs: Mapping[str, Any]) -> tuple[list[int], signal.Floats]:
    """(a layer of each residual block [B], values of an example that enter each [1, B])."""
    blocks = list(theory_inputs["blocks"])
    count = 1 + max((b for b in blocks if b is not None), default=-1)
    sizes = block_sizes(theory_inputs["shapes"], blocks)
    return [blocks.index(number) for number in range(count)], sizes[None]


def _forward_growths(stacked: Mapping[str, signal.Floats], blocks: _Blocks | None) -> signal.Floats:
    """Toward the output, of the mean square that comes out of the activation function; of residual
    networks a block, of what enters it."""
    if blocks is not None and "block_square" in stacked:
        roots = np.sqrt(blocks.take(stacked, "block_square"))
        return signal.growth_of_rows(roots[:, ::-1], blocks.sizes[:, ::-1])
    if "activation_out_mean" not in stacked:
        return np.array([])
    size = stacked.get("layer_size")
    roots = np.hypot(stacked["activation_out_mean"], stacked["activation_out_std"])
    return signal.growth_of_rows(roots[:, ::-1], None if size is None else size[:, ::-1])


def _of_blocks(stacked: Mapping[str, signal.Floats], blocks: _Blocks | None) -> signal.Floats:
    """The identity share by block, medians over seeds; none without blocks. [B]"""
    if blocks is None or "identity_share" not in stacked:
        return np.array([])
    return _left_in(np.nanmedian, blocks.take(stacked, "identity_share"))


def _over_depth(
    growth: float, depth: int, stacked: Mapping[str, signal.Floats], blocks: _Blocks | None
) -> float:
    if blocks is None or "block_gradient" not in stacked:
        return float(np.float64(growth) ** (depth - 1))
    # No law a block holds over all of them: what the first has, over what the last has.
    norms = blocks.take(stacked, "block_gradient")
    with np.errstate(divide="ignore", invalid="ignore"):
        return _geometric_mean((norms[:, 0] / norms[:, -1]) ** 2)


def _left_in(statistic: Callable[..., signal.Floats], values: signal.Floats) -> signal.Floats:
    """Over the seeds of [seeds, L], without NaN, as in the tables of trained runs. [L]"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all are NaN, so is the result
        return statistic(values, axis=0)


def _mean(values: signal.Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else np.nan


def _geometric_mean(values: signal.Floats) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(_mean(np.log(values))))


def _spread(values: signal.Floats) -> float:
    """Standard deviation over seeds, without NaN; NaN for one."""
    known = values[~np.isnan(values)]
    with np.errstate(invalid="ignore"):
        return float(np.std(known, ddof=1)) if len(known) > 1 else np.nan


def landscape_table(
    measurements: pd.DataFrame, points: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """One row a sweep point, norm and step: medians over seeds of the loss around the weights.

    measurements: one row a run and step with norm, sweep_point, step, and the columns below but for
    loss_range; NaN where the run had diverged. Columns: norm, <keys>, step, learning_rate, loss,
    gradient_norm, loss_low, loss_high and loss_range (along the gradient, start included),
    gradient_distance_low and _high (gradient predictiveness: l2 distance from the gradient at the
    start), effective_smoothness, hessian_eigenvalue (largest in magnitude), hessian_residual (its
    relative error is below this), noise_scale (gradient noise scale in examples; inf where the
    noise hides the mean gradient), seeds (measured), diverged.
    """
    measurements = measurements.assign(
        loss_range=measurements["loss_high"] - measurements["loss_low"]
    )
    labels = ["sweep_point", "norm", "step"]
    values = [name for name in measurements.columns if name not in labels]
    rows = []
    for (sweep_point, norm, step), group in measurements.groupby(labels, sort=False):
        measured = group[group["loss"].notna()]
        counts = {"seeds": len(measured), "diverged": len(group) - len(measured)}
        medians = measured[values].median().to_dict()
        rows.append({"norm": norm, **points[sweep_point], "step": step, **medians, **counts})
    return pd.DataFrame(rows)
