"""What theory expects of a network at step 0, and why where it has no value.

From what ``training.theory_inputs`` has put down of the network, to the law that covers it: the
closed ones of ``analysis.theory``, or ``analysis.chain`` layer by layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normbench.analysis import correlation, signal, theory
from normbench.analysis.activations import Pair, composed, functions, gate
from normbench.analysis.chain import growths, partial_growth
from normbench.analysis.padding import padded_growth
from normbench.analysis.residual import Blocks, follow
from normbench.analysis.spatial import growth_without_norm
from normbench.analysis.stream import Beyond, Setting

_OF_GROWTH = frozenset(inspect.signature(theory.growth).parameters)
_OF_COSINES = frozenset(inspect.signature(correlation.mean_cosines).parameters)

# An energy slope of exactly 1 (all homogeneous activations) comes out of quadrature within this.
_ROUNDING = 1e-6

_CHANCE = 0.03
"""Of ln(growth): beyond it the wide limit is no expectation of a network of the given width."""

_CHANCES = (
    "with this activation and gain chance differences between examples grow from layer to layer"
)
FLAT = "theory of this norm is of fully connected layers"
NOT_FINITE = "the map of a layer has no finite value"
LARGE = 256  # positions: on images of 8x8 the border takes 5 % of the growth
SMALL = "in images theory of this norm is of such as have 16x16 positions or more in every layer"
HOMOGENEOUS = "in images theory of this norm is of activations such as ReLU"
BEFORE = "theory of this norm is of its place before the activation"


@dataclass(frozen=True)
class Expected:
    """growth: of the squared gradient a layer toward the input; forward: of the mean square
    activation a layer toward the output; of a residual network both a block, of what enters it, and
    blocks what they are fitted to; note: why they are NaN."""

    growth: float = np.nan
    forward: float = np.nan
    note: str = ""
    blocks: Blocks | None = None


def expected(
    *,
    law: Mapping[str, Any] | None,
    no_law: str,
    chain: bool,
    activation: str,
    centered_weights: bool,
    **theory_inputs: Any,
) -> Expected:
    """The growth that theory expects at initialization. Arguments: ``training.theory_inputs``."""
    if law is None:
        return Expected(note=no_law)
    if not chain:
        return _residual(law, centered_weights, theory_inputs)
    act = functions(activation)
    if act is None:
        return Expected(note=f"theory does not know the activation {activation}")
    flat, before = _flat(theory_inputs), theory_inputs["placement"] == "pre"
    own = (
        law["mixture"] is not None
        or law["raw"]
        or (law["statistics"], law["centered"]) in (("batch", False),)
    )
    if centered_weights and not flat and not own and law["statistics"] == "none":
        return _centered_convolutions(act, theory_inputs)
    over_batch = law["statistics"] == "batch" and (law["mixture"] or (0,))[-1] == 0
    if centered_weights and (slope := theory.energy_slope(*act)) > 1 + _ROUNDING:
        # The map of the variance that such weights pass on is that of an example's excess.
        return Expected(note=f"{_CHANCES}, by {slope:.2f} each where they are small")
    if own and over_batch and (slope := theory.energy_slope(*act)) > 1 + _ROUNDING:
        return Expected(note=_unstable(slope))
    # (a list where it comes from a run's record)
    if before and not flat and not centered_weights and tuple(law["mixture"] or ()) == MEAN:
        return _centred_alone(act, theory_inputs)
    if own or centered_weights:
        # Divided by its own root mean square alone, a channel of images is as a feature: what zero
        # padding takes away is divided away again, and positions are to each other as examples,
        # but near the border.
        alike = not (law["mixture"] or law["raw"] or centered_weights) and _homogeneous(act)
        if not (flat or alike) or not before:
            return Expected(note=BEFORE if flat or alike else FLAT)
        if not flat and min(int(np.prod(shape[1:])) for shape in theory_inputs["shapes"]) < LARGE:
            return Expected(note=SMALL)
        return _layer_by_layer(dict(law), act, centered_weights, theory_inputs)
    if law["statistics"] != "none" and not before and (law["gate"] or law["partial"]):
        return Expected(note=BEFORE)
    pair = act
    if law["gate"]:
        given = gate(*law["gate"])
        pair = composed(given, act) if before else composed(act, given)
    return _closed(dict(law), pair, flat, theory_inputs)


MEAN = (1.0, 0.0, 0.0, 0.0)
"""The mixture that is the batch's mean alone."""


def _centred_alone(act: Pair, inputs: Mapping[str, Any]) -> Expected:
    """Of convolutions whose channels are centred over the batch, and not rescaled."""
    if not _homogeneous(act):
        return Expected(note=HOMOGENEOUS)
    known = (inputs["gains"], inputs["shapes"])
    growth = padded_growth(*act, *known, centring="channel", placement="pre", divides=False)
    return Expected(*growth) if np.isfinite(growth).all() else Expected(note=NOT_FINITE)


def _homogeneous(act: Pair) -> bool:
    at = np.linspace(-2, 2, 9)
    return bool(np.allclose(act[0](3 * at), 3 * act[0](at)))


def _unstable(slope: float) -> str:
    return (
        "with this activation a few examples take over the batch's variance, and the theory's "
        f"fixed point is unstable (an example's excess grows by {slope:.2f} a layer)"
    )


def _flat(theory_inputs: Mapping[str, Any]) -> bool:
    return len(theory_inputs["shapes"][0]) == 1


UNKNOWN_NETWORK = (
    "theory knows plain chains of layers, and residual networks of linear layers or convolutions"
)


def _residual(
    law: Mapping[str, Any], centered_weights: bool, inputs: Mapping[str, Any]
) -> Expected:
    if inputs["outline"] is None:
        lacking = f", but not {inputs['no_outline']}" if inputs["no_outline"] else ""
        return Expected(note=UNKNOWN_NETWORK + lacking)
    channels = inputs["shapes"][0][0]
    image = len(inputs["shapes"][0]) > 1
    if image and law["statistics"] == "example" and (inputs["channels"] or channels) < channels:
        return Expected(note="theory of residual networks is of norms over all channels")
    products = inputs["input_products"]
    shared, rough = 0.0, 0.0
    if products is not None and len(products) > 1:
        products = np.asarray(products, dtype=float)
        shared = float(products[~np.eye(len(products), dtype=bool)].mean())
        apart = products - products.mean(0) - products.mean(1)[:, None] + products.mean()
        rough = float((apart**2).sum() / np.trace(apart) ** 2) if np.trace(apart) > 0 else 0.0
    square = inputs["input_map" if image else "input_mean_square"]
    positions = inputs["shapes"][0][1:] if image else ()
    if image:
        # The first layer leaves the size of the network's own images.
        square = np.ones(positions) if square is None else np.asarray(square, dtype=float)
        positions, square = square.shape, square.ravel()
    try:
        passed = follow(
            inputs["outline"],
            Setting(
                dict(law),
                inputs["batch_size"],
                centered_weights,
                rough,
                inputs["eps"],
                inputs["group_size"] == inputs["channels"],
            ),
            positions,
            1.0 if square is None else square,
            shared,
        )
    except Beyond as error:
        return Expected(note=str(error))
    sizes = block_sizes(inputs["shapes"], inputs["blocks"])[None]
    growth = signal.growth_of_rows(np.sqrt(passed.gradient)[None], sizes)[0]
    forward = signal.growth_of_rows(np.sqrt(passed.entering)[None, ::-1], sizes[:, ::-1])[0]
    return Expected(float(growth), float(forward), blocks=passed)


def block_sizes(shapes: Sequence[tuple[int, ...]], blocks: Sequence[int | None]) -> signal.Floats:
    """Values of one example that enter each residual block: what the layer before it gives. [B]"""
    count = 1 + max((b for b in blocks if b is not None), default=-1)
    firsts = [blocks.index(number) for number in range(count)]
    return np.array([np.prod(shapes[max(first - 1, 0)]) for first in firsts], dtype=float)


def _layer_by_layer(
    law: dict[str, Any], act: Pair, centered_weights: bool, inputs: Mapping[str, Any]
) -> Expected:
    growth = growths(
        law,
        act,
        inputs["gains"],
        centered_weights=centered_weights,
        **{
            name: inputs[name]
            for name in ("bias_variance", "input_products", "batch_size", "group_size")
        },
    )
    if growth is None:
        return Expected(note=NOT_FINITE)
    # What a batch shares grows without a bound where only its spread is divided by, until no
    # network is wide enough for the map; the gradient hangs on the spread alone.
    bounded = law["mixture"] is None or tuple(law["mixture"][:3:2]) != (0.0, 1.0)
    return Expected(growth[0], growth[1] if bounded else np.nan)


def _centered_convolutions(act: Pair, inputs: Mapping[str, Any]) -> Expected:
    growth = growth_without_norm(
        *act,
        inputs["gains"],
        inputs["bias_variance"],
        inputs["shapes"],
        inputs["input_map"],
        centered=True,
    )
    return Expected(note=NOT_FINITE) if growth is None else Expected(*growth)


def _closed(law: dict[str, Any], pair: Pair, flat: bool, inputs: dict[str, Any]) -> Expected:
    known = {name: value for name, value in inputs.items() if name in _OF_GROWTH}
    known |= {"statistics": law["statistics"], "centered": law["centered"]}
    if law["statistics"] == "batch" and law["size"]:
        positions = int(np.prod(inputs["shapes"][len(inputs["shapes"]) // 2][1:]))
        known["batch_size"] = min(known["batch_size"], law["size"] * positions)
    alone = theory.one_channel(
        **{name: inputs[name] for name in ("shapes", "group_size", "channels")}
    )
    if (law["statistics"] == "batch" or alone) and inputs["placement"] == "pre":
        slope = theory.energy_slope(*pair)
        if slope > 1 + _ROUNDING:
            return Expected(note=_unstable(slope))
    if law["partial"]:
        features = inputs["shapes"][len(inputs["shapes"]) // 2][0]
        known |= {"group_size": None, "channels": None}
        value = partial_growth(pair, law["size"], features)
        if value is not None and not flat:
            value *= (theory.growth(phi=pair[0], dphi=pair[1], **known) or np.nan) / (
                theory.growth(phi=pair[0], dphi=pair[1], **known | {"shapes": (), "gains": None})
                or np.nan
            )
    else:
        value = theory.growth(phi=pair[0], dphi=pair[1], **known)
    if law["statistics"] == "none" and flat and value is not None:
        off = _chance(pair, known, inputs)
        if abs(off) > _CHANCE:
            return Expected(
                note=f"{_CHANCES}: of this width they change the growth by {100 * off:+.0f} %"
            )
    if value is None:
        size = known["batch_size" if law["statistics"] == "batch" else "group_size"]
        size = law["size"] if law["partial"] else size
        if size is not None and size < theory.LEAST:
            return Expected(note=f"theory needs {theory.LEAST} or more values behind a statistic")
        return Expected(note="the expectation is not finite, or too rough to sample")
    return Expected(value, 1.0 if law["statistics"] != "none" else _forward(pair, flat, known))


def _chance(pair: Pair, known: Mapping[str, Any], inputs: Mapping[str, Any]) -> float:
    if known["input_mean_square"] is None or known["depth"] is None:
        return 0.0
    names = ("weight_gain", "bias_variance", "first_gain", "depth", "input_mean_square")
    width = inputs["shapes"][len(inputs["shapes"]) // 2][0]
    return theory.chance_without_norm(*pair, **{name: known[name] for name in names}, width=width)


def _forward(pair: Pair, flat: bool, known: dict[str, Any]) -> float:
    """Of a network that divides by nothing."""
    if flat:
        return theory.forward_without_norm(
            pair[0],
            **{
                name: known[name]
                for name in (
                    "weight_gain",
                    "bias_variance",
                    "first_gain",
                    "depth",
                    "input_mean_square",
                )
            },
        )
    growth = growth_without_norm(
        *pair, known["gains"], known["bias_variance"], known["shapes"], known["input_map"]
    )
    return np.nan if growth is None else growth[1]


def expected_cosines(
    *,
    law: Mapping[str, Any] | None,
    chain: bool,
    activation: str,
    centered_weights: bool,
    **theory_inputs: Any,
) -> signal.Floats | None:
    """The theory's mean cosine between examples at each layer, NaN where it has none.

    None where nothing is known: of convolutions, of an input that was not seen, of a method that
    does more than to centre and divide, and of an activation it does not know.
    """
    pair = functions(activation)
    known = {name: value for name, value in theory_inputs.items() if name in _OF_COSINES}
    if law is None or pair is None or not chain or not _flat(theory_inputs):
        return None
    if law["mixture"] or law["gate"] or law["partial"] or centered_weights or law["size"]:
        return None
    if (law["statistics"], law["centered"]) == ("batch", False):
        return None
    if known["input_products"] is None:
        return None
    known |= {"statistics": law["statistics"], "centered": law["centered"]}
    return correlation.mean_cosines(phi=pair[0], **known)
