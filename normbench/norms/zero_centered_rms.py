"""RMS norm whose gain is learned as its distance from one."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Axes,
    Floats,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Traits,
    high,
    over_positions,
)
from normbench.norms.kernels import rms_norm
from normbench.norms.reference import along, divided, everything


class ZeroCenteredRMSNormLayer(Norm):
    """RMS norm with gain 1 + weight. weight: [features], zeros."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, dims: tuple[int, ...]):
        super().__init__(slot, policy, shift=False)
        self.dims = dims
        if self.weight is not None:
            nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = rms_norm(high(x), None, self.eps, self.dims)
        if self.weight is not None:
            y = y * over_positions(1 + self.weight, y)
        return y.to(x.dtype)


@NORMS.register("zero_centered_rms", aliases=("gemma_rms", "rms_zero_centered"))
class ZeroCenteredRMSNorm(NormMethod):
    """y = x / sqrt(mean(x^2) + eps) * (1 + w), over the features of one example.

    The same function of x as RMS norm, and the same gradient: what differs is where weight decay
    pulls w to, and rounding. x: [N, F] or [N, C, H, W]; w: [F] or [C], zeros at the start; no
    shift. Of the Gemma models, Gemma Team 2024, arXiv:2403.08295.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        formula="x / sqrt(mean(x^2) + eps) * (1 + w)",
        year=2024,
        paper="Gemma Team, arXiv:2403.08295",
        eps="inside",
        train_differs=False,
        convention="eps of the models 1e-6, here the experiment's; no shift; multiplied in float32",
        reference="huggingface/transformers modeling_qwen3_next.py: equal at equal eps",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        return ZeroCenteredRMSNormLayer(slot, self.policy, (1, 2, 3) if whole else (1,))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        y = divided(x, everything(x, self.axes(slot)), self.policy.eps)
        return y + y * along(values["weight"], x) if "weight" in values else y
