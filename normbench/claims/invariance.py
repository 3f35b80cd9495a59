"""Statement 8: what a change of weights or data does to a normalized layer's output.

The changes are those of Zhang & Sennrich 2019, arXiv:1910.07467, Table 1, for y = norm(W x)
without a bias, W: [units, inputs], x: [examples, inputs]:

- weight matrix scaling: W' = d W;
- weight matrix re-centring: W' = W + 1 b^T, the same vector b added to every unit's weights, so
  that each example's units all shift by b^T x;
- weight vector scaling: the weights of one unit times d;
- dataset scaling: x' = d x for all examples;
- dataset re-centring: x' = x + c, the same vector c for all examples, so that each unit shifts by
  its own w^T c, the same for all examples;
- single example scaling: one example times d.

The rule, fixed here: RMS norm's output stays (relative change below ``verdicts.UNCHANGED``) under
the changes that the statement names, and visibly changes under the others.

eps breaks every invariance a little; it is taken so small that float32 cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.verdicts import Piece, judge, unchanged
from normbench.components import is_reference, short
from normbench.norms import NORMS, NormMethod, NormPolicy, NormSlot, make_method
from normbench.report.columns import number
from normbench.seeding import stream

SMALL_EPS = 1e-12
FACTOR = 3.7  # no power of two, which would be exact in floating point
EXAMPLES, INPUTS, UNITS, SIDE = 64, 48, 64, 6

TINY = 1e-3  # a factor that brings the mean square down to where a usual eps is felt

Change = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""(W, x, shift, factor) -> the changed W and x; shift has the shape of one example."""


def _one_unit(w: Tensor, x: Tensor, shift: Tensor, d: float) -> tuple[Tensor, Tensor]:
    return torch.cat([d * w[:1], w[1:]]), x


def _one_example(w: Tensor, x: Tensor, shift: Tensor, d: float) -> tuple[Tensor, Tensor]:
    return w, torch.cat([d * x[:1], x[1:]])


CHANGES: dict[str, Change] = {
    "weight_matrix_scaling": lambda w, x, shift, d: (d * w, x),
    "weight_matrix_recentring": lambda w, x, shift, d: (w + _kernel(shift, w), x),
    "weight_vector_scaling": _one_unit,
    "dataset_scaling": lambda w, x, shift, d: (w, d * x),
    "dataset_recentring": lambda w, x, shift, d: (w, x + shift),
    "single_example_scaling": _one_example,
}


def _kernel(shift: Tensor, w: Tensor) -> Tensor:
    """The part of ``shift`` that has the shape of one unit's weights."""
    return shift if w.ndim == 2 else shift[:, : w.shape[2], : w.shape[3]]


def theory(method: NormMethod) -> dict[str, bool] | None:
    """The row of Table 1 that a method's declarations put it in, for a linear layer.

    None where they do not tell. Statistics of groups of an example behave as those of all of it.
    """
    if method.traits.centered is None or not method.traits.plain:
        return None
    if method.traits.statistics == "batch":
        holds = (True, False, True, True, bool(method.traits.centered), False)
    elif method.traits.statistics == "example":
        holds = (True, bool(method.traits.centered), False, True, False, True)
    elif method.traits.statistics == "none" and not method.traits.centered:
        return dict.fromkeys(CHANGES, False)
    else:
        return None
    return dict(zip(CHANGES, holds, strict=True))


def measure(
    name: str, policy: NormPolicy, factor: float = FACTOR
) -> tuple[str, dict[str, float]] | None:
    """The block ("linear" or "conv") and the relative change of its output under every change.

    A norm that needs positions gets a 3x3 convolution; None for one that fits neither.
    """
    method = make_method(name, policy)
    for block, slot in (("linear", NormSlot.of(UNITS)), ("conv", NormSlot.of(UNITS, SIDE, SIDE))):
        if method.problem(slot, EXAMPLES) is None:
            return block, _changes(method, slot, factor)
    return None


def _changes(method: NormMethod, slot: NormSlot, factor: float) -> dict[str, float]:
    one = (INPUTS, SIDE, SIDE) if slot.has_positions else (INPUTS,)
    kernel = (UNITS, INPUTS, 3, 3) if slot.has_positions else (UNITS, INPUTS)
    rng = stream(0, "claims", "invariance")

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype="float32"))

    w, x, shift = draw(*kernel), draw(EXAMPLES, *one), draw(*one)

    def output(w: Tensor, x: Tensor) -> Tensor:
        inner: nn.Module = (
            nn.Conv2d(INPUTS, UNITS, 3, padding=1, bias=False)
            if slot.has_positions
            else nn.Linear(INPUTS, UNITS, bias=False)
        )
        with torch.no_grad():
            inner.weight.copy_(w)  # type: ignore[operator]
            weights = method.weight(inner)
            if weights is not None:
                parametrize.register_parametrization(inner, "weight", weights)
            return method.norm(slot).train()(inner(x)).double()

    before = output(w, x)
    return {
        name: float((output(*change(w, x, shift, factor)) - before).norm() / before.norm())
        for name, change in CHANGES.items()
    }


def invariance_table(policy: NormPolicy, own: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row a norm: block, the relative changes, and theory where there is one.

    Of every registered norm, and of ``own``, which are references.
    """
    rows: list[dict[str, Any]] = []
    for name in [*NORMS.names(), *own]:
        changed = measure(name, policy)
        if changed is None:
            continue
        block, changes = changed
        expected = theory(make_method(name, policy)) if block == "linear" else None
        row = {"norm": short(name), "block": block, **changes}
        row |= {f"{key}_theory": expected[key] if expected else None for key in CHANGES}
        rows.append(row)
    return rows


def examine(context: Context) -> Evidence:
    """Every change for every norm, in float32."""
    policy = replace(context.config.normalization.policy(), eps=SMALL_EPS)
    kinds = dict.fromkeys(norm.kind for norm in context.config.norms)
    table = invariance_table(policy, list(filter(is_reference, kinds)))
    rows = {row["norm"]: row for row in table}
    rms = {key: rows["rms"][key] for key in CHANGES}
    expected = theory(make_method("rms", policy))
    assert expected is not None
    agree = [
        row["norm"]
        for row in table
        if row["dataset_scaling_theory"] is not None
        and all(unchanged(row[key]) == row[f"{key}_theory"] for key in CHANGES)
    ]
    linear = sum(row["dataset_scaling_theory"] is not None for row in table)
    own = context.config.normalization.eps
    with_eps = measure("rms", context.config.normalization.policy(), TINY)
    assert with_eps is not None
    shrunk = with_eps[1]["dataset_scaling"]
    return Evidence(
        judge(pieces_of(rms, expected)),
        f"norm(W x) in float32 before and after each change (times {FACTOR}, or a random shift), "
        f"eps {SMALL_EPS:g}: relative change of the output",
        context.direct(8),
        [
            f"{len(agree)} of {linear} norms on a linear layer are as theory says in all six",
            f"the config's eps {own:g} breaks it for small inputs: a dataset scaled by {TINY:g} "
            f"changes RMS norm's output by {number(shrunk, 2)}",
        ],
        {"eps": SMALL_EPS, "factor": FACTOR, "rms": rms, "as_theory": agree, "shrunk": shrunk},
        table,
    )


def pieces_of(measured: Mapping[str, float], expected: Mapping[str, bool]) -> list[Piece]:
    """A piece for every change: the output stays where the statement says so, and only there."""
    pieces = []
    for name, stays in expected.items():
        held = unchanged(measured[name])
        word = "invariant to" if stays else "not invariant to"
        told = f"relative change {number(measured[name], 2)}"
        holds = None if held is None else held == stays
        pieces.append(Piece(f"{word} {name.replace('_', ' ')}", {}, holds, told))
    return pieces


CLAIMS.register("rms-invariance")(
    Claim(
        8,
        "RMS norm: invariant to rescaling, not to shifts",
        "RMS norm is invariant to rescaling of its inputs and of its whole weight matrix, but not "
        "to shifts or to rescaling single units.",
        examine,
        "Zhang & Sennrich 2019, arXiv:1910.07467",
    )
)
