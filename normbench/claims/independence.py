"""Statement 5: whether an example's output depends on the rest of its batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normbench.norms import NORMS, Site, make_method
from normbench.report.columns import number
from normbench.seeding import stream
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, first_batch
from normbench.claims.rules import independent


def change_of_first(module: nn.Module, x: Tensor, other: Tensor) -> float:
    """Relative change of the first example's output when the rest of its batch is replaced.

    x, other: batches of one shape; the second is used but for its first example.
    """
    mixed = torch.cat([x[:1], other[1:]])
    with torch.no_grad():
        before, after = module(x)[0].double(), module(mixed)[0].double()
    return float((after - before).norm() / before.norm().clamp_min(1e-30))


def site_shape(site: Site) -> tuple[int, ...]:
    """One example there: (features,) or (channels, height, width)."""
    if site.height is None or site.width is None:
        return (site.features,)
    return site.features, site.height, site.width


def by_layer(context: Context, x_seed: int = 0) -> dict[str, float]:
    """Every registered norm that fits the network's first site, alone, in training mode."""
    site = context.site()
    count = max(2, min(context.config.data.batch_size, 64))
    shape = (count, *site_shape(site))
    draw = stream(x_seed, "claims", "independence")
    x = torch.from_numpy(draw.standard_normal(shape, dtype="float32"))
    other = torch.from_numpy(2 * draw.standard_normal(shape, dtype="float32") + 1)
    setting, found = context.config.normalization.setting(), {}
    for name in NORMS.names():
        method = make_method(name, setting)
        if method.problem(site, count) is None:
            found[name] = change_of_first(method.layer(site).train(), x, other)
    return found


def in_network(context: Context, kind: str) -> float:
    """The logits of one real example in two real batches, in training mode at step 0."""
    run = context.network_run(kind)
    x, _ = first_batch(run)
    assert run.order is not None
    other, _ = run.data.batch(run.order[-len(x) :])
    return change_of_first(run.network, x, other)


def examine(context: Context) -> Finding:
    """Replace the rest of the batch and look at one example's output."""
    layers = by_layer(context)
    networks = {kind: in_network(context, kind) for kind in ("none", "batch", "layer", "rms")}
    numbers: dict[str, Any] = {"layers": layers, "networks": networks}
    return Finding(
        independent(
            [layers["layer"], networks["layer"]], [layers.get("batch", 0.0), networks["batch"]]
        ),
        "one example's output when the rest of its batch is replaced, in training mode: relative "
        "change, in the layer alone and at the network's end",
        [
            "layer alone: " + ", ".join(f"{k} {number(v, 2)}" for k, v in layers.items()),
            "network: " + ", ".join(f"{k} {number(v, 2)}" for k, v in networks.items()),
        ],
        numbers,
        context.direct(5),
    )


CLAIMS.register("layer-independence")(
    Claim(
        5,
        "Layer norm treats each example on its own: its output does not depend on the rest of "
        "the batch.",
        examine,
    )
)
