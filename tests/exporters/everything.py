"""An experiment with everything that an export must carry: every state, a sweep of numbers and
words, a label with spaces, a loss that is no number. ``from everything import ...``.
"""

from __future__ import annotations

import math

from scripted import diverges, evaluated, fails, finishes, probed, stops

from normbench.plan import PlannedRun
from normbench.training import events

CURVE = {0: 0.1, 5: 0.4, 10: 0.6, 12: 0.7}
LABEL = "batch (eps = 1e-3)"
REASON = 'no memory,\n"left"'
OVERRIDES = (
    f"norms=[none, {{kind: batch, name: '{LABEL}'}}, layer, rms, group]",
    "seeds=1",
    "sweep={optimizer.clip_norm: [null, 1.0]}",
)


def script(run: PlannedRun) -> list[events.Event] | None:
    """One state a norm."""
    if run.norm == "none":
        begun, epoch, _, _, *end = diverges(3, 5)
        dead = probed(0, dead_units=[math.nan, 0.0, 1.0])
        return [begun, epoch, dead, evaluated(0, 0.1, math.nan), *end]
    return {
        LABEL: finishes(CURVE, probes=[probed(0), vanished(3), probed(11)]),
        "layer": fails(REASON),
        "rms": stops(4),
        "group": None,
    }[run.norm]


def vanished(step: int) -> events.Probed:
    """No gradient arrives at the first two layers."""
    return probed(step, activation_gradient=[0.0, 0.0, 0.25])
