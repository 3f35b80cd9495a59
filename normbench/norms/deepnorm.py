"""DeepNorm: post-norm transformers of great depth, by a larger skip and smaller branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Branch, Traits
from normbench.norms.branches import PRODUCTS, PlacementMethod, to_post

if TYPE_CHECKING:
    from normbench.models.network import Network
    from normbench.models.residual import Residual

QUERIES_AND_KEYS = ("q", "k", "q_proj", "k_proj", "query", "key")
"""Last parts of the addresses of layers that keep their weights."""


@NORMS.register("deepnorm", aliases=("deep_norm",))
class DeepNorm(PlacementMethod):
    """y = norm(alpha x + f(x)), with weights of f times beta at the start.

    Of B branches (two a layer, so that B = 2N of the paper): alpha = B^(1/4), beta =
    (4B)^(-1/4), on all weights of a branch but those of queries and keys. Wang, Ma, Dong, Huang,
    Zhang & Wei 2022, arXiv:2203.00555.
    """

    traits = Traits(
        statistics=None,
        centered=None,
        plain=False,
        batch_dependent=False,
        formula="norm(alpha x + f(x)), alpha = (2N)^(1/4), f's weights times (8N)^(-1/4)",
        year=2022,
        paper="Wang, Ma, Dong, Huang, Zhang & Wei, arXiv:2203.00555",
        train_differs=False,
        convention="alpha and beta of networks of an encoder or a decoder alone; what is scaled is "
        "the config's init",
        reference="microsoft/torchscale: equal, there from Xavier's weights",
    )
    replaces = frozenset({"norm", "residual", "init"})
    revision = 1  # queries and keys of separate layers were scaled as well

    def residual(self, block: Residual, branch: Branch) -> None:
        to_post(block)
        block.skip_scale = branch.depth**0.25

    def why_reinitialized(self) -> str:
        return "branches times beta, smaller with depth"

    @torch.no_grad()
    def reinitialize(self, network: Network) -> None:
        blocks = network.blocks().values()
        beta = (4 * len(blocks)) ** -0.25
        for block in blocks:
            for path, layer in block.branch.named_modules():
                if not isinstance(layer, PRODUCTS) or _last(path) in QUERIES_AND_KEYS:
                    continue
                w = layer.weight
                assert isinstance(w, Tensor)
                (w[2 * len(w) // 3 :] if _last(path) == "qkv" else w).mul_(beta)
            for part in block.branch.modules():
                if isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
                    part.in_proj_weight[2 * part.embed_dim :].mul_(beta)


def _last(path: str) -> str:
    return path.rpartition(".")[2]
