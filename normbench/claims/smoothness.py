"""Statement 16: batch norm and the smoothness of the loss.

A weight before a norm can be scaled without a change of the function, which shrinks its gradient
and stretches the loss. So every weight is taken in units of its own length, and a change of the
gradient in units of the gradient: both are the same at every scale of the weights.

The rule, fixed here: mean over the relative steps ``STEPS`` along the negative gradient of
|g(w') - g(w)| / |g(w)|, in ln, under none less under batch norm, paired by seed, under each
initialization, at step 0 and after ``UPDATES`` updates at the shared rate. It holds where batch
norm's gradient changes less beyond doubt, and fails where it changes more or within 10 %.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context, first_batch, steps
from normbench.claims.family import Duel, judged
from normbench.claims.studies import inits
from normbench.claims.study import SHARED
from normbench.claims.verdicts import judge
from normbench.measure.landscape import landscape
from normbench.report.columns import number

STEPS = (0.003, 0.01, 0.03)
"""Lengths of a step in shares of the length of the weights."""
UPDATES = 15
WITHIN = math.log(1.1)


class RelativeWeights(nn.Module):
    """A network as a function of its matrices and kernels, each in units of its own length.

    Its gradient, |W| dL/dW, is the same at every scale that a norm behind W hides. Biases, scales
    and shifts stay as they are.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        # In a list, so that its parameters are not counted among these; a copy, so that its running
        # statistics may move.
        self._network = [copy.deepcopy(network)]
        self._lengths: dict[str, Tensor] = {}
        for name, p in network.named_parameters():
            if p.ndim > 1 and bool(p.detach().norm() > 0):
                self._lengths[name] = p.detach().norm()
                self.register_parameter(_key(name), nn.Parameter(p.detach() / self._lengths[name]))

    @property
    def length(self) -> float:
        """Length of all weights together."""
        return math.sqrt(len(self._lengths))

    def forward(self, x: Tensor) -> Tensor:
        """The network's output."""
        weights = {name: size * getattr(self, _key(name)) for name, size in self._lengths.items()}
        return functional_call(self._network[0], weights, (x,))


def _key(name: str) -> str:
    return name.replace(".", "/")


def gradient_change(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean over ``STEPS`` of the relative change of the gradient; NaN where it is zero."""
    relative = RelativeWeights(network)
    gradient = landscape(relative, x, y, [1.0]).gradient_norm
    if not gradient or not math.isfinite(gradient):
        return math.nan
    along = landscape(relative, x, y, [share * relative.length / gradient for share in STEPS])
    return sum(along.gradient_distances) / len(STEPS) / gradient


def measure(context: Context, kind: str, init: str | None, seed: int) -> tuple[float, float]:
    """ln of the gradient's change at step 0 and after the updates, on one batch."""
    run = context.network_run(kind, seed, [] if init is None else [f"model.init={init}"])
    x, y = first_batch(run)
    logs = []
    for count in (0, UPDATES):
        steps(run, count)
        change = gradient_change(run.network, x, y)
        logs.append(math.log(change) if change > 0 and math.isfinite(change) else math.nan)
    return logs[0], logs[1]


def examine(context: Context) -> Evidence:
    """How far the gradient can be trusted along its own direction, with batch norm and without."""
    context.say("smoothness of the loss with batch norm and without")
    threads = torch.get_num_threads()
    torch.set_num_threads(context.config.runtime.threads)
    duels, remarks = [], []
    try:
        known: list[str | None] = [*inits(context.config)]
        for init in known or [None]:
            pairs = {
                kind: [measure(context, kind, init, seed) for seed in context.seeds]
                for kind in ("none", "batch")
            }
            for index, when in enumerate(("at step 0", f"after {UPDATES} updates")):
                none, batch = ([pair[index] for pair in pairs[kind]] for kind in ("none", "batch"))
                situation = {"init": init} if init else {}
                duels.append(
                    Duel(
                        "smoother",
                        {**situation, "when": when, "rate": SHARED},
                        "none",
                        "batch",
                        "ln of the gradient's relative change",
                        [a - b for a, b in zip(none, batch, strict=True)],
                        WITHIN,
                    )
                )
                cells = ", ".join(
                    f"{kind} {number(_median(values))}"
                    for kind, values in (("none", none), ("batch", batch))
                )
                remarks.append(f"median relative change {when}{f', {init}' * bool(init)}: {cells}")
    finally:
        torch.set_num_threads(threads)
    return Evidence(
        judge([one.piece for one in judged(duels)]),
        "relative change of the gradient along its direction, steps in shares "
        f"{', '.join(map(str, STEPS))} of the weights' length, paired by seed",
        context.direct(16),
        remarks,
    )


def _median(logs: list[float]) -> float:
    known = sorted(math.exp(value) for value in logs if not math.isnan(value))
    return known[len(known) // 2] if known else math.nan


CLAIMS.register("smoothness")(
    Claim(
        16,
        "batch norm makes the loss smoother",
        "Batch norm makes the loss smoother: the gradient changes less along a step.",
        examine,
        "Santurkar et al. 2018, arXiv:1805.11604",
    )
)
