"""Statement 5: layer norm and the single example, as the sentence is worded.

The rule, fixed here; each part is measured for what its words say:

- *independent*: an example's output stays when the rest of its batch is replaced, in the layer and
  in the network; batch norm's changes, or the measurement could not have shown it;
- *mean and variance for each feature (channel) within an example*: on images each channel of each
  example has mean 0 and variance 1, as instance norm gives it;
- *preserves individual characteristics*: an example that is scaled and shifted can be told from
  what it was; batch norm is the control.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context, first_batch
from normbench.claims.verdicts import Piece, judge, seen_by, unchanged
from normbench.norms import NORMS, NormPolicy, NormSlot, make_method
from normbench.report.columns import number
from normbench.seeding import stream

CHANNELS, SIDE = 8, 12
FACTOR, SHIFT = 3.7, 1.5


def change_of_first(module: nn.Module, x: Tensor, other: Tensor) -> float:
    """Relative change of the first example's output when the rest of its batch is replaced.

    x, other: batches of one shape; the second is used but for its first example.
    """
    mixed = torch.cat([x[:1], other[1:]])
    with torch.no_grad():
        before, after = module(x)[0].double(), module(mixed)[0].double()
    return float((after - before).norm() / before.norm().clamp_min(1e-30))


def by_layer(context: Context, x_seed: int = 0) -> dict[str, float]:
    """Every registered norm that fits the network's first slot, alone, in training mode."""
    slot = context.slot()
    count = max(2, min(context.config.data.batch_size, 64))
    shape = (count, *slot.layer_shape)
    draw = stream(x_seed, "claims", "independence")
    x = torch.from_numpy(draw.standard_normal(shape, dtype="float32"))
    other = torch.from_numpy(2 * draw.standard_normal(shape, dtype="float32") + 1)
    policy, changes = context.config.normalization.policy(), {}
    for name in NORMS.names():
        method = make_method(name, policy)
        if method.problem(slot, count) is None:
            changes[name] = change_of_first(method.norm(slot).train(), x, other)
    return changes


def in_network(context: Context, kind: str) -> float:
    """The logits of one real example in two real batches, in training mode at step 0."""
    run = context.network_run(kind)
    x, _ = first_batch(run)
    assert run.order is not None
    other, _ = run.data.batch(run.order[-len(x) :])
    return change_of_first(run.network, x, other)


def moments_by_channel(layer: nn.Module, x: Tensor) -> float:
    """How far each channel of each example is from mean 0 and variance 1; the largest deviation.

    x: [N, C, H, W], of large variance, so that eps does not show.
    """
    with torch.no_grad():
        y = layer.train()(x).double()
    mean = y.mean((2, 3)).abs().max()
    variance = (y.var((2, 3), correction=0) - 1).abs().max()
    return float(torch.maximum(mean, variance))


def change_of_marked(layer: nn.Module, x: Tensor) -> float:
    """Relative change of an example's output when it alone is scaled and shifted: zero where its
    own mean and scale, by which it differs from other examples, leave no trace."""
    marked = torch.cat([FACTOR * x[:1] + SHIFT, x[1:]])
    with torch.no_grad():
        before = layer.train()(x)[0].double()
        after = layer.train()(marked)[0].double()
    return float((after - before).norm() / before.norm())


def as_worded(policy: NormPolicy) -> dict[str, dict[str, float]]:
    """norm -> the two measurements on images, for batch, layer and instance norm alone."""
    slot = NormSlot.of(CHANNELS, SIDE, SIDE)
    draw = stream(0, "claims", "as worded")
    x = torch.from_numpy(draw.standard_normal((16, CHANNELS, SIDE, SIDE), dtype="float32"))
    # Channels of different mean and scale, as those of a network.
    own = torch.linspace(-3, 3, CHANNELS)[:, None, None]
    x = (1 + own.abs()) * x + own
    table = {}
    for name in ("batch", "layer", "instance"):
        layer = make_method(name, policy).norm(slot)
        table[name] = {
            "off_by_channel": moments_by_channel(layer, x),
            "change_of_marked": change_of_marked(layer, x),
        }
    return table


def pieces_of(
    alone: tuple[float, float], network: tuple[float, float], worded: dict[str, dict[str, float]]
) -> list[Piece]:
    """alone, network: relative change of an example's output under (layer norm, batch norm) when
    the rest of its batch is replaced."""
    part = "independent of the other examples"
    pieces = [
        Piece(
            part,
            {"where": where},
            seen_by(*changes),
            f"relative change {number(changes[0], 2)}, batch norm {number(changes[1], 2)}",
        )
        for where, changes in (("in the layer", alone), ("at the network's end", network))
    ]
    off, marked = (
        {name: measured[key] for name, measured in worded.items()}
        for key in ("off_by_channel", "change_of_marked")
    )
    within = unchanged(off["layer"]) if unchanged(off["instance"]) else None
    pieces.append(
        Piece(
            "mean and variance of each feature (channel)",
            {},
            within,
            "a channel of an example is off from mean 0 and variance 1 by up to "
            f"{number(off['layer'], 2)} under layer norm, {number(off['instance'], 2)} under "
            "instance norm: as worded it is instance norm; layer norm takes one mean and variance "
            "over all features of an example",
        )
    )
    kept = unchanged(marked["layer"])
    pieces.append(
        Piece(
            "preserves individual characteristics",
            {},
            None if kept is None or unchanged(marked["batch"]) is not False else not kept,
            f"an example scaled by {FACTOR} and shifted by {SHIFT} changes its output by "
            f"{number(marked['layer'], 2)} under layer norm, which erases its mean and scale, and "
            f"by {number(marked['batch'], 2)} under batch norm, which keeps them",
        )
    )
    return pieces


def examine(context: Context) -> Evidence:
    """Replace the rest of the batch; look at channels; mark one example."""
    layers = by_layer(context)
    networks = {kind: in_network(context, kind) for kind in ("none", "batch", "layer", "rms")}
    worded = as_worded(replace(context.config.normalization.policy(), axes="chw"))
    return Evidence(
        judge(
            pieces_of(
                (layers["layer"], layers.get("batch", 0.0)),
                (networks["layer"], networks["batch"]),
                worded,
            )
        ),
        "one example's output when the rest of its batch is replaced, in training mode; moments of "
        "the channels of an example; an example scaled and shifted",
        context.direct(5),
        [
            "rest replaced, layer alone: "
            + ", ".join(f"{k} {number(v, 2)}" for k, v in layers.items()),
            "rest replaced, network: "
            + ", ".join(f"{k} {number(v, 2)}" for k, v in networks.items()),
        ],
        {"layers": layers, "networks": networks, "as_worded": worded},
    )


CLAIMS.register("layer-independence")(
    Claim(
        5,
        "layer norm: each example on its own, its characteristics kept",
        "Layer norm takes mean and variance for each feature (channel) within an example, "
        "independent of the other examples, and preserves individual characteristics.",
        examine,
        "Ba et al. 2016, arXiv:1607.06450",
    )
)
