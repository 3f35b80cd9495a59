"""No normalization, and a network's own: the two controls of every comparison."""

from collections.abc import Mapping

from torch import nn

from normbench.norms.base import NORMS, Floats, NormMethod, NormSlot, Traits, make_method
from normbench.norms.laws import Law


@NORMS.register("none", aliases=("identity",))
class NoNorm(NormMethod):
    """y = x; the network as it is without normalization. x: [N, F] or [N, C, *positions]."""

    traits = Traits(
        statistics="none",
        centered=False,
        formula="x",
        train_differs=False,
        convention="nothing is normalized, learned or kept",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return nn.Identity()

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        return x


@NORMS.register("original", aliases=("asis", "own"))
class Original(NormMethod):
    """The network as its authors wrote it, with their norms, eps and momentum.

    The layers of a network of one's own stay the very objects they are. At a placeholder of a
    built-in architecture stands the norm of its paper, under the experiment's policy.
    """

    replaces = frozenset()

    def norm(self, slot: NormSlot) -> nn.Module:
        assert slot.default is not None
        return make_method(slot.default, self.policy).norm(slot)

    def law(self, slot: NormSlot) -> Law | str:
        if not slot.default:
            return "theory is not told what the network's own norms do"
        return make_method(slot.default, self.policy).law(slot)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if slot.default is None:
            return "it is the norms of a network, and a layer by itself has none"
        if slot.default == "":
            return "this network is one without a norm of its own (name one, or none)"
        return None
