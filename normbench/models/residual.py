"""A residual block: what a method that changes branches takes hold of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """y = after(skip(x) * skip_scale + branch(before(x)) * scale).

    branch: the residual function; skip: the identity, or what changes the shape; before, after:
    where pre-activation and original order put what is shared. Both scales are plain numbers, 1 by
    default; a method may put modules into ``before``, ``branch_end`` and ``after``.
    """

    def __init__(
        self,
        branch: nn.Module,
        skip: nn.Module | None = None,
        *,
        before: nn.Module | None = None,
        after: nn.Module | None = None,
    ):
        super().__init__()
        self.before = before or nn.Identity()
        self.branch = branch
        self.branch_end: nn.Module = nn.Identity()
        self.skip = skip or nn.Identity()
        self.after = after or nn.Identity()
        self.scale, self.skip_scale = 1.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        inner = self.before(x)
        residual = self.branch_end(self.branch(inner))
        # A shape that changes is changed behind what is shared, as in He et al. 2016b.
        skip = self.skip(x if isinstance(self.skip, nn.Identity) else inner)
        if self.skip_scale != 1.0:
            skip = skip * self.skip_scale
        if self.scale != 1.0:
            residual = residual * self.scale
        return self.after(torch.add(skip, residual))
