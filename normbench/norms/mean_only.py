"""Mean-only batch normalization: centring over the batch, without rescaling."""

from collections.abc import Mapping

from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import along, centred, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class MeanOnlyNormLayer(RunningNorm):
    """x less its mean over the batch, plus a shift; there is no scale."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy, var=False)
        self.weight = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, _ = self.moments(x)
            self.gather(x, mean, None)
        else:
            mean = self.running_mean
        return self.scaled(high(x) - against(mean, x)).to(x.dtype)


@NORMS.register("mean_only", aliases=("mean_only_batch", "mobn"))
class MeanOnlyBatchNorm(BatchMethod):
    """y = x - mean + beta, over the batch, per feature or channel.

    x: [N, F], the mean over N; or [N, C, H, W], over N,H,W. beta: [F] or [C]. In evaluation the
    running mean stands in. Salimans & Kingma 2016, arXiv:1602.07868, section 4.
    """

    traits = Traits(
        statistics="none",
        centered=True,
        over="the batch, of the mean alone",
        batch_dependent=True,
        formula="x - mean + beta, over the batch",
        year=2016,
        paper="Salimans & Kingma, arXiv:1602.07868",
        eps="none",
        state="running mean",
        train_differs=True,
        convention="momentum is the weight of the newest batch",
        reference="openai/weightnorm: there always with weight norm and data-dependent initial "
        "values ({kind: mean_only, weights: weight_norm})",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return MeanOnlyNormLayer(slot, self.policy)

    def law(self, slot: NormSlot) -> Law:
        return Law("none", centered=True, mixture=(1.0, 0.0, 0.0, 0.0))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = (0, *positions(x))
        y = centred(x, over) if training else x - kept(values, "running_mean", x)
        return y + along(values["bias"], x) if "bias" in values else y
