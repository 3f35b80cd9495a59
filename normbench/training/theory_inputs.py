"""What theory needs to know of a network at step 0, before anything has trained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from normbench.models import Chain
from normbench.models.activations import ACTIVATIONS
from normbench.models.base import Placement
from normbench.models.network import Network
from normbench.norms import NormSlot
from normbench.training.outline import Operation, Unknown, outline

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TheoryInputs:
    """A network at step 0 as theory sees it; see ``analysis.propagation.expected``.

    family: of the method, see ``NormMethod.family``; law: that of the norm (``norms.laws.Law``), as
    a mapping; None where there is none, and then no_law is why. chain: whether the network is a
    plain chain of blocks; activation: the function
    that stands after the norms, by name. gains: fan_in * mean(W^2) of each hidden layer;
    weight_gain, first_gain: of those after the first, averaged, and of the first;
    centered_weights: each output's weights sum to zero; bias_variance: mean square of the biases
    after the first; batch_size: values behind one statistic of a batch (examples times positions);
    blocks: of each layer the number of the residual block that it stands in; eps: the experiment's;
    outline: of a network of such blocks, see ``training.outline``, or None, and then no_outline is
    what theory does not know of it; group_size: values of one example, from so many channels;
    shapes: of one example at each layer, (F,) or (C, H, W).
    Of the first batch, None where the input is not known, as first_gain and depth then are:
    input_mean_square [B], of each example; input_map [H, W], at each position of images;
    input_products [N, N], mean product of two examples, for at most the examples that probes
    compare.
    """

    family: str
    law: dict[str, Any] | None
    no_law: str
    chain: bool
    placement: Placement
    activation: str
    weight_gain: float
    centered_weights: bool
    bias_variance: float
    batch_size: int
    blocks: tuple[int | None, ...]
    eps: float
    outline: tuple[Operation, ...] | None
    no_outline: str
    group_size: int | None
    channels: int | None
    shapes: tuple[tuple[int, ...], ...]
    gains: tuple[float, ...]
    depth: int | None = None
    first_gain: float | None = None
    input_mean_square: Floats | None = None
    input_map: Floats | None = None
    input_products: Floats | None = None

    def seen(self, x: Tensor, examples: int) -> TheoryInputs:
        """The same with the first batch. x: [B, F] or [B, C, H, W]; examples: as probes compare."""
        x = x.double().cpu()
        few = x[:examples].flatten(1)
        return replace(
            self,
            depth=len(self.shapes),
            first_gain=self.gains[0] if self.gains else None,
            input_mean_square=x.square().flatten(1).mean(1).numpy(),
            input_map=x.square().mean((0, 1)).numpy() if x.ndim == 4 else None,
            input_products=(few @ few.T / few.shape[1]).numpy(),
        )


def inputs_at_start(network: Network, batch_size: int) -> TheoryInputs:
    """Of a network at step 0, without its input. batch_size: in examples."""
    method, slots, products = network.method, network.slots, network.products()
    middle = slots[len(slots) // 2] if slots else NormSlot.of(1)
    law = method.law(middle)
    blocks, operations, unknown = network.block_of_layers(), None, ""
    if any(block is not None for block in blocks):
        try:
            operations = outline(network)
        except Unknown as error:
            unknown = str(error)
    gains = tuple(_gain(product) for product in products)
    biases = [_mean_square(bias) for p in products[1:] if isinstance(bias := p.bias, Tensor)]
    return TheoryInputs(
        family=method.family,
        law=None if isinstance(law, str) else asdict(law),
        no_law=law if isinstance(law, str) else "",
        chain=isinstance(network.module, Chain),
        placement=network.blueprint.settings.placement,
        activation=_activation(network),
        weight_gain=float(np.mean(gains[1:] or gains or math.nan)),
        centered_weights=bool(products[1:]) and all(map(_sums_to_zero, products[1:])),
        bias_variance=float(np.mean(biases)) if biases else 0.0,
        batch_size=batch_size * middle.positions,
        blocks=blocks,
        eps=method.policy.eps,
        outline=operations,
        no_outline=unknown,
        group_size=method.group_size(middle),
        channels=method.group_size(NormSlot.of(middle.features, 1, 1)),
        shapes=tuple(layer.shape for layer in network.layers),
        gains=gains,
    )


def name_of(activation: nn.Module) -> str:
    """The config's name of an activation, at step 0; that of its class where there is none."""
    kind = type(activation)
    if isinstance(same := getattr(activation, "starts_as", None), str):
        return same
    known = {made: name for name, made in ACTIVATIONS.items()}
    return "identity" if kind is nn.Identity else known.get(kind, kind.__name__)


def _activation(network: Network) -> str:
    if "activation" not in network.method.replaces:
        return network.blueprint.settings.activation
    behind = [slot.activation for slot in network.slots if slot.activation is not None]
    return name_of(network.module.get_submodule(behind[-1])) if behind else "identity"


def _sums_to_zero(module: nn.Module) -> bool:
    """Whether the weights of each output do, which of weights drawn independently none do."""
    assert isinstance(module.weight, Tensor)
    rows = module.weight.detach().double().flatten(1)
    return float(rows.sum(1).square().mean()) < 1e-6 * float(rows.square().sum(1).mean())


def _gain(module: nn.Module) -> float:
    """fan_in * mean(W^2). W: [out, in] or [out, in, kh, kw]."""
    assert isinstance(module.weight, Tensor)
    return module.weight[0].numel() * _mean_square(module.weight)


def _mean_square(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean())
