"""The keys a config may have, for those who look for one."""

from __future__ import annotations

import inspect
from typing import Any

from normbench.config.components import DATA, MODEL, AugmentConfig
from normbench.config.experiment import ExperimentConfig
from normbench.config.schema import Section, TaggedUnion
from normbench.config.training import OPTIMIZER, FixedTarget, PilotTarget

_UNIONS: dict[str, TaggedUnion[Any]] = {"data": DATA, "model": MODEL, "optimizer": OPTIMIZER}


def dotted_keys() -> list[str]:
    """Every key that ``--set`` may name, of all kinds together, sorted.

    A norm's own options, which stand in a list, and the swept keys are not among them.
    """
    keys = {"tune.seeds"}
    for name, field in ExperimentConfig.model_fields.items():
        if name in _UNIONS:
            keys |= {f"{name}.{key}" for key in _UNIONS[name].keys() - {"augment"}}
        elif inspect.isclass(field.annotation) and issubclass(field.annotation, Section):
            keys |= {f"{name}.{key}" for key in field.annotation.model_fields}
        elif name not in ("target", "sweep", "tune"):
            keys.add(name)
    keys |= {f"data.augment.{key}" for key in AugmentConfig.model_fields}
    targets = FixedTarget.model_fields | PilotTarget.model_fields
    keys |= {f"target.{field.alias or key}" for key, field in targets.items()}
    return sorted(keys)
