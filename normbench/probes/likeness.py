"""How alike the examples of a batch have become by each layer.

A gradient that neither vanishes nor explodes is no use where every example looks the same:
Daneshmand et al. 2020, arXiv:2003.01652. The representation of an example is the output of the
activation function, all its channels and positions; at most ``base.EXAMPLES`` examples are looked
at, the first of the batch.
"""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe


def effective_rank(capture: Capture) -> Tensor:
    """exp(entropy of s_i^2 / sum_j s_j^2), s the singular values of the batch [N, F]. [L]

    Between 1 (all examples point one way) and the smaller of N and F. The entropy-based rank of
    Roy & Vetterli 2007, of the squared singular values, so that it is read off the Gram matrix.
    NaN where a value is not finite, or all are zero.
    """
    grams = capture.grams
    known = torch.isfinite(grams).all(-1).all(-1)
    # The decomposition raises an error on what is not finite.
    safe = torch.where(known[:, None, None], grams, torch.eye(grams.shape[-1]).to(grams))
    squares = _eigenvalues(safe).clamp(min=0)  # s_i^2, of which rounding makes -1e-7
    shares = squares / squares.sum(-1, keepdim=True)
    entropy = -torch.xlogy(shares, shares).sum(-1)
    return torch.where(known, entropy.exp(), torch.nan)


def _eigenvalues(grams: Tensor) -> Tensor:
    """[L, N, N] -> [L, N]; NaN where the decomposition does not converge in float64 either.

    It may fail in single precision on examples that are all but alike; a probe ends no run.
    """
    for kind in (grams.dtype, torch.float64):
        try:
            return torch.linalg.eigvalsh(grams.to(kind)).to(grams.dtype)
        except torch.linalg.LinAlgError:
            continue
    return torch.full_like(grams[..., 0], torch.nan)


def example_cosine(capture: Capture) -> Tensor:
    """Mean cosine between the representations of two different examples. [L]

    Examples whose units are all zero have no direction and are left out; NaN for fewer than two.
    """
    grams = capture.grams
    lengths = grams.diagonal(dim1=-2, dim2=-1).sqrt()
    cosines = grams / (lengths[:, :, None] * lengths[:, None, :])
    cosines.diagonal(dim1=-2, dim2=-1).fill_(torch.nan)
    return cosines.flatten(1).nanmean(1)


PROBES.register("effective_rank")(Probe(effective_rank))
PROBES.register("example_cosine")(Probe(example_cosine))
