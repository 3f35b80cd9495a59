"""Effective rank and cosine of examples where their values are known, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from normbench.probes import PROBES, Capture


def likeness(output: Tensor) -> tuple[float, float]:
    capture = Capture(activation_outputs=[output])
    return tuple(
        PROBES[name].measure(capture).item() for name in ("effective_rank", "example_cosine")
    )


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rank_and_cosine_have_their_values_where_they_are_known(scale):
    alike = torch.ones(10, 32) * scale
    assert likeness(alike) == pytest.approx((1, 1), rel=1e-4)
    assert likeness(torch.eye(10, 32) * scale) == pytest.approx((10, 0))
    two = torch.cat([torch.eye(1, 32).expand(4, -1), torch.eye(2, 32)[1:].expand(4, -1)]) * scale
    assert likeness(two) == pytest.approx((2, 12 / 28))
    opposite = torch.stack([alike[0], -alike[0]])
    assert likeness(opposite) == pytest.approx((1, -1), rel=1e-4)


def test_rank_and_cosine_of_what_has_no_direction_are_missing():
    assert np.isnan(likeness(torch.zeros(4, 8))).all()
    for wrong in (np.nan, np.inf):
        broken = torch.eye(4, 8)
        broken[1, 2] = wrong
        assert np.isnan(likeness(broken)[0])
    silent = torch.eye(4, 8)
    silent[2:] = 0  # two examples of which nothing is left are no pair
    assert likeness(silent) == pytest.approx((2, 0))


@pytest.mark.parametrize("doubles", [True, False])
def test_a_decomposition_that_does_not_converge_ends_no_run(monkeypatch, doubles):
    real = torch.linalg.eigvalsh

    def fails(grams: Tensor) -> Tensor:
        if doubles and grams.dtype == torch.float64:
            return real(grams)
        raise torch.linalg.LinAlgError("the algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "eigvalsh", fails)
    rank, cosine = likeness(torch.eye(10, 32))
    assert cosine == pytest.approx(0)
    assert rank == pytest.approx(10) if doubles else np.isnan(rank)


def test_rank_and_cosine_look_at_the_first_128_examples():
    rng = np.random.default_rng(0)
    output = torch.from_numpy(rng.standard_normal((200, 50), dtype=np.float32)).relu()
    assert likeness(output) == likeness(output[:128]) != likeness(output[:127])
