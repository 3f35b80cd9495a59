"""Networks that are identical but for their norm: ordinary modules, and their assembly."""

from normbench.models.activations import ACTIVATIONS
from normbench.models.base import MODELS, Architecture, Block, Chain, ModelSettings
from normbench.models.init import INITS, MODULE
from normbench.models.residual import Residual
from normbench.models.trace import NormSite

__all__ = [
    "ACTIVATIONS",
    "INITS",
    "MODELS",
    "MODULE",
    "Architecture",
    "Block",
    "Chain",
    "ModelSettings",
    "NormSite",
    "Residual",
]
