"""The activations that theory integrates are those that the networks use."""

import numpy as np
import pytest
import torch

from normbench.analysis.activations import functions
from normbench.models import ACTIVATIONS

Z = np.array([-800.0, -30.0, -2.0, -0.3, -1e-9, 0.4, 1.7, 25.0, 800.0])


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_every_activation_and_its_derivative_are_torchs(name):
    phi, dphi = functions(name)
    leaf = torch.from_numpy(Z.copy()).requires_grad_()
    values = ACTIVATIONS[name]()(leaf)
    values.sum().backward()
    np.testing.assert_allclose(phi(Z), values.detach().numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dphi(Z), leaf.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_an_activation_that_is_not_known_has_no_functions():
    assert functions("mine") is None
