"""What theory says of every registered method, for the documentation: the same networks for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from normbench.analysis.expected import Expected, expected
from normbench.errors import ConfigError
from normbench.models.assemble import assemble
from normbench.models.base import MODELS, ModelSettings
from normbench.models.network import Blueprint
from normbench.norms import NORMS, make_method
from normbench.training.theory_inputs import TheoryInputs, inputs_at_start

WIDTH, DEPTH, BLOCKS, BATCH = 256, 10, 10, 256
CHANNELS, SIDE = 128, 16

PLAIN = ("mlp", {"depth": DEPTH, "width": WIDTH})
IMAGES = ("cnn", {"depth": DEPTH, "width": CHANNELS, "stages": 1})
RESIDUAL = ("residual_mlp", {"depth": BLOCKS, "width": WIDTH, "expansion": 1})

HEADINGS: Mapping[str, str] = {
    "name": "name",
    "backward": "backward",
    "forward": "forward",
    "cnn_backward": "CNN: backward",
    "cnn_forward": "forward",
    "residual_backward": "residual: backward",
    "residual_forward": "forward",
    "identity_share": "identity share",
    "note": "where there is no value",
}
"""Key of a row -> its heading."""

ABOUT = f"""\
At initialization, of networks of ReLU under He's initialization, {WIDTH} wide, with batches of
{BATCH} examples that share nothing. `normbench probe --theory` gives the table of a config's own
networks, weights and data, and `normbench probe` what is measured, beside it.

- **backward**: by what the squared gradient is multiplied a layer, toward the input, in a plain
  network of {DEPTH} layers: 1 preserves, below 1 vanishes, above 1 explodes.
- **forward**: by what the mean square of the activations is multiplied a layer, toward the output.
- **CNN**: the same of 3x3 convolutions with {CHANNELS} channels, zero-padded, on images of
  {SIDE}x{SIDE}.
- **residual**: in a network of {BLOCKS} residual blocks, norm, linear, ReLU and linear in each
  branch: the squared gradient at the first block over that at the last, and the mean square that
  enters the last block over that of the first.
- **identity share**: mean square of the skip over that of skip plus branch, in the first block, the
  middle one and the last.

Held against simulation by `tests/report/test_theory_page.py`, with |z| below 3 for every value:
plain and residual networks 256 wide, ResNets of 32 layers and width 32, CNNs with 128 channels.
Once also twice as wide, with two seeds: ResNets of width 64 in both orders, |z| at most 0.7 (by no
ratio is what was measured more than 1.05 of what was expected), and CNNs with 256 channels, |z| at
most 0.7 (1.03)."""


def markdown() -> str:
    """The page of the documentation."""
    lines = [
        "# What theory says of every method",
        "",
        "Made by `normbench list theory --format markdown`.",
        "",
        *ABOUT.splitlines(),
        "",
        "| " + " | ".join(HEADINGS.values()) + " |",
        "| :-- |" + " --: |" * 6 + " :-- |" * 2,
    ]
    lines += [f"| {' | '.join(row[key] for key in HEADINGS)} |" for row in rows()]
    return "\n".join([*lines, ""])


def rows() -> list[dict[str, str]]:
    """One row a method, by name."""
    return [row(name) for name in NORMS.names()]


def row(name: str) -> dict[str, str]:
    """What theory says of the method ``name``, in words. Raises UnknownName."""
    plain, cnn, residual = (of(name, *network) for network in (PLAIN, IMAGES, RESIDUAL))
    blocks = residual.blocks
    notes = dict.fromkeys(
        note
        for expectation, note in ((plain, plain.note), (cnn, cnn.note), (residual, residual.note))
        if note and math.isnan(expectation.growth)
    )
    return {
        "name": NORMS.canonical(name),
        "backward": _number(plain.growth),
        "forward": _number(plain.forward),
        "cnn_backward": _number(cnn.growth),
        "cnn_forward": _number(cnn.forward),
        "residual_backward": _number(blocks.gradient[0] if blocks else math.nan),
        "residual_forward": _number(blocks.entering[-1] / blocks.entering[0] if blocks else np.nan),
        "identity_share": ""
        if blocks is None
        else ", ".join(f"{blocks.shares[at]:.2f}" for at in (0, BLOCKS // 2 - 1, -1)),
        "note": "; ".join(notes),
    }


def of(name: str, kind: str, options: Mapping[str, Any]) -> Expected:
    """The expectation for one method in one kind of network, with weights of the variance drawn."""
    method = make_method(name)
    blueprint = Blueprint(kind, MODELS[kind].Options(**options), ModelSettings())
    try:
        shape = (SIDE, SIDE, CHANNELS) if kind == "cnn" else (1, 1, WIDTH)
        network = assemble(blueprint, method, shape, 10, 0, BATCH)
    except ConfigError as error:
        return Expected(note=error.problems[0].message)
    return expected(**vars(_exact(inputs_at_start(network, BATCH))))


def _exact(inputs: TheoryInputs) -> TheoryInputs:
    """Gains without the chance of a draw, and an input of mean square 1."""
    typical = float(np.median([gain for gain in inputs.gains if gain]))
    short = round(typical, 1 - math.floor(math.log10(typical)))
    typical = short if abs(short - typical) < 0.005 * typical else typical

    def exact(gain: float) -> float:
        return typical if abs(gain - typical) < 0.03 * typical else gain

    gains = tuple(map(exact, inputs.gains))
    return replace(
        inputs,
        gains=gains,
        weight_gain=exact(inputs.weight_gain),
        first_gain=gains[0],
        depth=len(gains),
        outline=None if inputs.outline is None else _with_gains(inputs.outline, exact),
        input_mean_square=np.ones(1),
        input_map=np.ones((SIDE, SIDE)) if len(inputs.shapes[0]) == 3 else None,
    )


def _with_gains(part: Any, exact: Callable[[float], float]) -> Any:
    """An outline with other gains."""
    if isinstance(part, Mapping):
        return {name: _with_gains(value, exact) for name, value in part.items()}
    if isinstance(part, list | tuple):
        if part and part[0] in ("linear", "conv"):
            return [part[0], exact(part[1]), *part[2:]]
        return [_with_gains(value, exact) for value in part]
    return part


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.3f}" if 0.01 <= value < 100 else f"{value:.3g}"
