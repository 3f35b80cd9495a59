"""How many updates a run makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.errors import ConfigError, Problem

if TYPE_CHECKING:
    from normbench.config import RunConfig


def steps_per_epoch(run: RunConfig, train_examples: int) -> int:
    """Whole batches in one epoch; the remainder is dropped under every norm.

    Raises ConfigError when there is not even one.
    """
    steps = train_examples // run.data.batch_size
    if not steps:
        message = (
            f"must be at most {train_examples}, the training images left after the validation "
            f"split, got {run.data.batch_size}"
        )
        fitting = max(1, train_examples // 8)
        hint = f"for example  --set data.batch_size={fitting}"
        raise ConfigError([Problem("data.batch_size", message, hint)])
    return steps


def total_steps(run: RunConfig, train_examples: int) -> int:
    """The budget of a run in updates. Raises ConfigError when the data is less than a batch."""
    per_epoch = steps_per_epoch(run, train_examples)
    if run.training.steps is not None:
        return run.training.steps
    assert run.training.epochs is not None
    return max(1, round(run.training.epochs * per_epoch))


def evaluation_steps(run: RunConfig, steps: int) -> list[int]:
    """After which updates a run of ``steps`` is evaluated, sorted; the last is among them.

    Every so many steps, or as many evaluations as are asked for, as evenly spaced as whole steps
    are. The evaluation of the initial weights comes on top.
    """
    count = run.training.evaluations
    if count is not None:
        count = min(count, steps)
        return [number * steps // count for number in range(1, count + 1)]
    assert run.training.evaluate_every is not None
    return [*range(run.training.evaluate_every, steps, run.training.evaluate_every), steps]
