"""Self-normalizing networks: no norm, another activation and other initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from normbench.norms.base import NORMS, Floats, NormMethod, NormSlot, Traits
from normbench.norms.laws import Law

if TYPE_CHECKING:
    from normbench.models.network import Network


@NORMS.register("selu", aliases=("snn", "self_normalizing"))
class SELU(NormMethod):
    """No norm; every activation becomes lambda (x, or alpha (exp(x) - 1) where x < 0).

    lambda 1.0507, alpha 1.6733: those with which mean 0 and variance 1 are a fixed point that
    attracts. Weights are drawn with variance 1 / fan_in, whatever the config's init. Klambauer,
    Unterthiner, Mayr & Hochreiter 2017, arXiv:1706.02515.
    """

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="lambda (x if x > 0 else alpha (exp(x) - 1)) for every activation",
        year=2017,
        paper="Klambauer, Unterthiner, Mayr & Hochreiter, arXiv:1706.02515",
        eps="none",
        train_differs=False,
        convention="weights drawn as LeCun does, variance 1 / fan_in; biases 0",
        reference="bioinf-jku/SNNs draws kaiming_normal_(fan_in, linear), the same; torch.nn.SELU "
        "is the activation",
    )
    replaces = frozenset({"norm", "activation", "init"})

    def norm(self, slot: NormSlot) -> nn.Module:
        return nn.Identity()

    def activation(self, slot: NormSlot, given: nn.Module) -> nn.Module:
        return nn.SELU()

    def reinitialize(self, network: Network) -> None:
        network.redraw("lecun_normal")

    def why_reinitialized(self) -> str:
        return "the variance of LeCun, at which its fixed point holds"

    def law(self, slot: NormSlot) -> Law:
        return Law("none", centered=False)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        return x
