"""Configs: the schema, YAML with positions, overrides, and the bundled files."""

from normbench.bundled import bundled
from normbench.config.checks import image_shape
from normbench.config.components import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    NormalizationConfig,
    NormConfig,
)
from normbench.config.experiment import ExperimentConfig
from normbench.config.grid import SequentialSeeds, SweepPoint, TuneConfig
from normbench.config.loader import find_config, load, parse_sweep, written
from normbench.config.run import RunConfig
from normbench.config.training import (
    AdamConfig,
    AdamWConfig,
    FixedTarget,
    LionConfig,
    MuonConfig,
    OptimizerConfig,
    PilotTarget,
    ProbesConfig,
    RuntimeConfig,
    SgdConfig,
    TrainingConfig,
    VerdictConfig,
)

__all__ = [
    "AdamConfig",
    "AdamWConfig",
    "AugmentConfig",
    "DataConfig",
    "ExperimentConfig",
    "FixedTarget",
    "LionConfig",
    "ModelConfig",
    "MuonConfig",
    "NormConfig",
    "NormalizationConfig",
    "OptimizerConfig",
    "PilotTarget",
    "ProbesConfig",
    "RunConfig",
    "RuntimeConfig",
    "SequentialSeeds",
    "SgdConfig",
    "SweepPoint",
    "TrainingConfig",
    "TuneConfig",
    "VerdictConfig",
    "bundled",
    "find_config",
    "image_shape",
    "load",
    "parse_sweep",
    "written",
]
