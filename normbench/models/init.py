"""Weight initialization. Every parameter is drawn from the stream that carries its own name.

Fan-in and fan-out count the kernel positions of a convolution: fan_in = in_channels * kh * kw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parametrize

from normbench.seeding import stream

Floats = npt.NDArray[np.float32]
Draw = Callable[[np.random.Generator, tuple[int, ...], int, int], Floats]


def _normal(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Floats:
        values = rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(math.sqrt(variance(fan_in, fan_out)))
        return values

    return draw


def _uniform_fan_in(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, _: int
) -> Floats:
    bound = 1 / math.sqrt(fan_in)
    return (rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(bound)


def _orthogonal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, _: int) -> Floats:
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    return (q if rows >= columns else q.T).astype(np.float32).reshape(shape)


INITS: dict[str, Draw] = {
    # He et al. 2015, arXiv:1502.01852: variance 2 / fan_in.
    "he_normal": _normal(lambda fan_in, fan_out: 2 / fan_in),
    # Glorot & Bengio 2010: variance 2 / (fan_in + fan_out).
    "xavier_normal": _normal(lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    # LeCun et al. 1998: variance 1 / fan_in.
    "lecun_normal": _normal(lambda fan_in, fan_out: 1 / fan_in),
    # What nn.Linear and nn.Conv2d do: uniform in +-1/sqrt(fan_in), variance 1 / (3 fan_in).
    "torch_default": _uniform_fan_in,
    # Saxe et al. 2014, arXiv:1312.6120: orthogonal rows or columns, gain 1.
    "orthogonal": _orthogonal,
}


# Where a parametrized weight's own parameters are.
_HELD = "parametrizations.weight."

MODULE = "module"
"""The init that lets the network's own constructor draw."""


def initialize(network: nn.Module, init: str, seed: int, drawn: Mapping[str, float]) -> set[str]:
    """Draw every Linear and Conv2d weight of ``network`` in place, each from its own stream.

    Biases start at zero, except under ``torch_default``, which draws them as PyTorch does. drawn:
    other parameters by name -> the standard deviation of the normal distribution they come from.
    Returns the names of the parameters that were set; all others are as their modules made them.
    """
    done: set[str] = set()
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                done |= {f"{name}.{part}" for part in draw_product(module, name, init, seed)}
        for name, deviation in drawn.items():
            parameter = network.get_parameter(name)
            rng = stream(seed, "init", name)
            values = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            parameter.copy_(torch.from_numpy(values * np.float32(deviation)))
            done.add(name)
    return done


@torch.no_grad()
def draw_product(module: nn.Module, name: str, init: str, seed: int) -> list[str]:
    """Draw a Linear or Conv in place from the streams of its own name; which parameters were set.

    Those of a weight that another way of holding it (an older weight norm, a parametrization
    without an inverse) hides are not among them.
    """
    draw = INITS[init]
    done: list[str] = []
    weight = module.weight
    if not isinstance(weight, torch.Tensor):
        return done
    shape = tuple(weight.shape)
    positions = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * positions, shape[0] * positions
    values = torch.from_numpy(draw(stream(seed, "init", f"{name}.weight"), shape, fan_in, fan_out))
    if parametrize.is_parametrized(module, "weight"):
        try:
            module.weight = values  # through the right inverse
        except (NotImplementedError, RuntimeError):
            return done
        done += [n for n, _ in module.named_parameters() if n.startswith(_HELD)]
    elif isinstance(weight, nn.Parameter):
        weight.copy_(values)
        done.append("weight")
    bias = module.bias
    if not isinstance(bias, nn.Parameter):
        return done
    if init == "torch_default":
        rng = stream(seed, "init", f"{name}.bias")
        bias.copy_(torch.from_numpy(draw(rng, tuple(bias.shape), fan_in, fan_out)))
    else:
        bias.zero_()
    done.append("bias")
    return done
