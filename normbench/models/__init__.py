"""Networks that are identical but for their norm: one architecture a file, found in ``MODELS``."""

from normbench.models.activations import ACTIVATIONS
from normbench.models.base import MODELS, Block, ModelSettings, Network
from normbench.models.init import INITS, initialize

__all__ = ["ACTIVATIONS", "INITS", "MODELS", "Block", "ModelSettings", "Network", "initialize"]
