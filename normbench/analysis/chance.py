"""Which runs learned nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_GAIN = 0.05
"""Share of the way from chance to a perfect answer below which a run has learned nothing."""

STANDARD_ERRORS = 3.0


def at_chance(
    accuracy: ArrayLike, num_classes: ArrayLike, examples: ArrayLike = np.nan
) -> NDArray[np.bool_]:
    """Whether an accuracy cannot be told from guessing. The rule, the same for every norm:

    accuracy <= chance + max(0.05 (1 - chance), 3 standard errors), chance = 1 / num_classes, the
    standard error that of a guess on ``examples`` examples, sqrt(chance (1 - chance) / examples);
    where their number is unknown (NaN) the first alone. For ten classes and 300 examples: up to
    15.2 %.

    accuracy, num_classes, examples: [R], or one number. A missing accuracy (NaN) is not at chance.
    Where the classes are of unequal size, a constant answer can lie above this and is not noticed.
    """
    known = np.asarray(accuracy, dtype=float)
    chance = 1.0 / np.asarray(num_classes, dtype=float)
    margin = LEAST_GAIN * (1.0 - chance)
    noise = STANDARD_ERRORS * np.sqrt(chance * (1.0 - chance) / np.asarray(examples, dtype=float))
    margin = np.fmax(margin, noise)
    with np.errstate(invalid="ignore"):
        return known <= chance + margin
