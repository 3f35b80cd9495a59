"""A gradient that is not there is missing, which is another thing than zero."""

from __future__ import annotations

import torch

from normbench.probes import PROBES
from normbench.probes.base import Capture


def test_a_weight_without_a_gradient_has_no_gradient_norm():
    with_one, without = torch.ones(2, 2), torch.ones(2, 2)
    with_one.grad = torch.zeros(2, 2)
    values = PROBES["weight_gradient"].measure(Capture(weights=[with_one, without]))
    assert values[0] == 0
    assert values[1].isnan()
