"""Spectral normalization: weights over their largest singular value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.norms.base import NORMS, Traits
from normbench.norms.weightwise import WeightMethod
from normbench.seeding import stream

if TYPE_CHECKING:
    from normbench.models.network import Network

AT_START = 15
"""Power iterations before the first step."""
EPS = 1e-12


class Spectral(nn.Module):
    """w over an estimate of its largest singular value. u: [out], v: [in * kernel].

    An estimate moves by one power iteration before every update, and never else: however often a
    forward pass, an evaluation or a probe asks for the weight, it is the same.
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Module, rng: np.random.Generator):
        super().__init__()
        assert isinstance(layer.weight, Tensor)
        rows = layer.weight.detach().flatten(1)
        # In a list, so that it is no part of this one. The layer and not its weight, which is
        # another object once the network has moved to another kind of device.
        self.layer = [layer]
        for name, size in (("u", rows.shape[0]), ("v", rows.shape[1])):
            drawn = torch.from_numpy(rng.standard_normal(size, dtype=np.float32)).to(rows.dtype)
            self.register_buffer(name, F.normalize(drawn, dim=0, eps=EPS))
        for _ in range(AT_START):
            self.iterate(rows)

    @torch.no_grad()
    def iterate(self, rows: Tensor) -> None:
        """One power iteration on rows [out, in * kernel]."""
        self.u.copy_(F.normalize(rows @ self.v, dim=0, eps=EPS))
        self.v.copy_(F.normalize(rows.T @ self.u, dim=0, eps=EPS))

    def on_progress(self, share: float) -> None:
        """Before an update."""
        held = self.layer[0].get_parameter("parametrizations.weight.original")
        self.iterate(held.detach().flatten(1))

    def forward(self, w: Tensor) -> Tensor:
        rows = w.flatten(1)
        sigma = self.u.clone().to(w.dtype) @ (rows @ self.v.clone().to(w.dtype))
        return w / sigma


@NORMS.register("spectral_norm", aliases=("spectral",))
class SpectralNorm(WeightMethod):
    """w = v / sigma(v), the largest singular value of the weights as a matrix [out, in * kernel].

    By power iteration: 15 at the start, then one an update. Miyato, Kataoka, Koyama & Yoshida
    2018, arXiv:1802.05957.
    """

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        over="the weights of a layer",
        formula="w = v / sigma(v), the largest singular value",
        year=2018,
        paper="Miyato, Kataoka, Koyama & Yoshida, arXiv:1802.05957",
        eps="none",
        parameters="0",
        state="its singular vectors",
        train_differs=False,
        convention="one power iteration an update, none in evaluation or for a probe; its vectors "
        "are kept, and drawn from a stream of the run's own",
        reference="torch.nn.utils.parametrizations.spectral_norm iterates in every training pass, "
        "and draws its vectors from the global generator",
    )

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        rng = stream(network.seed if network else 0, "spectral norm", path)
        return Spectral(layer, rng)
