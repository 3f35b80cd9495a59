"""Training, from step 0 or from checkpoints, as a generator of events.

It never prints and never chooses a file name. The events are a pure function of the configs and
the data, clock readings aside: stopped and continued, or probed and not probed, a run ends in the
same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from normbench.probes import probe_steps
from normbench.training import events
from normbench.training.run import Run, step_of
from normbench.training.stepper import Stepper, make_stepper

if TYPE_CHECKING:
    from normbench.config import RunConfig
    from normbench.data import Dataset

CHECKPOINT_SECONDS = 20.0
PROGRESS_SECONDS = 0.25


def train(
    config: RunConfig,
    dataset: Dataset,
    *,
    resume: bytes | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[events.Event]:
    """Train one run and yield its events as they happen.

    resume: the state of an earlier ``Checkpointed`` event of the same config; events up to its
    step are not repeated. should_stop: asked before every update; when it says so, the run yields
    a checkpoint and ``Stopped``. Raises ConfigError when the data cannot serve the config.
    """
    for _, event in train_together([config], dataset, resume=[resume], should_stop=should_stop):
        yield event


def train_together(
    configs: Sequence[RunConfig],
    dataset: Dataset,
    *,
    resume: Sequence[bytes | None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, events.Event]]:
    """Train runs in step, several seeds of one norm at once; yield (index, event).

    configs: equal but for the seed, each of another lane; resume: a state of each, or None; the
    rest as for ``train``. Runs that stand at different steps are trained one group after
    the other. Each run's training time is an equal share of its group's.
    """
    groups: dict[int | None, list[int]] = {}
    for index, state in enumerate(resume):
        groups.setdefault(None if state is None else step_of(state), []).append(index)
    for group in groups.values():
        here = [(configs[index], resume[index]) for index in group]
        for member, event in _train_group(here, dataset, should_stop):
            yield group[member], event


def _train_group(
    wanted: Sequence[tuple[RunConfig, bytes | None]],
    dataset: Dataset,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, events.Event]]:
    # Each run stands in its own lane; in those that stay empty stands the first run, of which
    # nothing more is told: a run's last bits depend on its lane and on how many there are.
    lanes = {config.lane: index for index, (config, _) in enumerate(wanted)}
    filled = [wanted[lanes.get(lane, 0)] for lane in range(wanted[0][0].runtime.stack)]
    first = Run(filled[0][0], dataset)
    runs = [first, *(Run(config, dataset, stacked_with=first) for config, _ in filled[1:])]
    stepper = make_stepper(runs)
    resumed = wanted[0][1] is not None
    for run, (_, state) in zip(runs, filled, strict=True):
        if state is not None:
            run.restore(state)
        run.network.train()
    if resumed:
        stepper.resumed()
    active = {lane: runs[lane] for lane in lanes}
    for lane, run in list(active.items()):
        yield lanes[lane], run.started()
        if not resumed:
            told = list(_told_of_evaluation(run))
            yield from ((lanes[lane], event) for event in told)
            if isinstance(told[-1], events.Finished):
                del active[lane]
    for lane, event in _train_to_end(stepper, active, should_stop):
        yield lanes[lane], event


def _train_to_end(
    stepper: Stepper, active: dict[int, Run], should_stop: Callable[[], bool]
) -> Iterator[tuple[int, events.Event]]:
    """active: the runs to tell of, less those that have diverged, which go on unseen."""
    lead = stepper.runs[0]
    probed = set(_probe_schedule(lead))
    evaluated = set(lead.evaluation_steps)
    last_checkpoint = last_progress = time.monotonic()
    mark = lead.clock.now()

    def pause() -> None:
        seconds = (lead.clock.now() - mark) / len(stepper.runs)
        for run in stepper.runs:
            run.clock.seconds += seconds

    while active and lead.step < lead.steps:
        if should_stop():
            pause()
            for index, run in active.items():
                if (diverged := _diverged_at(run)) is not None:
                    yield index, events.Diverged(diverged)
                    yield index, _finished(run)
                else:
                    yield index, run.checkpoint()
                    yield index, events.Stopped(run.step)
            return
        if lead.step % lead.per_epoch == 0:
            pause()
            started = [run.start_epoch() for run in stepper.runs]
            yield from ((index, started[index]) for index in active)
            mark = lead.clock.now()

        if lead.step in probed:
            pause()
            yield from ((i, e) for i, e in enumerate(_probed(stepper)) if i in active)
            mark = lead.clock.now()
        else:
            stepper.update()
            for run in stepper.runs:
                run.clock.steps += 1

        now = time.monotonic()
        due = now - last_checkpoint > CHECKPOINT_SECONDS
        if lead.step in evaluated:
            pause()
            due = due or lead.step == lead.steps
            for index, run in list(active.items()):
                told = list(_told_of_evaluation(run))
                yield from ((index, event) for event in told)
                if isinstance(told[-1], events.Finished):
                    # Its last checkpoint stays the last good one.
                    del active[index]
                elif due:
                    yield index, run.checkpoint()
            for run in stepper.runs:
                run.first_loss_step = run.step
            last_checkpoint = now if due else last_checkpoint
            mark = lead.clock.now()
        elif due:
            pause()
            for index, run in active.items():
                # What has diverged is told at the next evaluation: when a run ends must not
                # depend on the clock.
                if _diverged_at(run) is None and run.is_finite():
                    yield index, run.checkpoint()
            last_checkpoint = now
            mark = lead.clock.now()
        elif now - last_progress > PROGRESS_SECONDS:
            pause()
            for index, run in active.items():
                loss = float(run.losses[run.step - run.first_loss_step - 1])
                yield index, events.Progress(run.step, loss)
            last_progress = now
            mark = lead.clock.now()

    for index, run in active.items():
        precise = run.precise_accuracy()
        with run.evaluation():
            loss, accuracy = run.evaluate(run.test_data, np.arange(len(run.test_data)))
            wrong = run.misclassified()
        if math.isfinite(loss):
            yield index, events.Tested(run.step, loss, accuracy, precise, wrong)
        else:
            yield index, events.Diverged(run.step)
        yield index, _finished(run)


def _probe_schedule(run: Run) -> list[int]:
    probes = run.config.probes
    if not run.assembled.layers:
        return []  # nothing to look into
    if probes.every is not None:
        return probe_steps(run.steps, probes.every)
    return probe_steps(run.steps) if probes.steps == "log" else []


def _probed(stepper: Stepper) -> list[events.Probed]:
    clock, step = stepper.runs[0].clock, stepper.runs[0].step
    start = clock.now()
    measured = stepper.probed_update()
    seconds = (clock.now() - start) / len(stepper.runs)
    for run in stepper.runs:
        run.clock.probed_seconds += seconds
        run.clock.probed_steps += 1
    return [events.Probed(step, quantities) for quantities in measured]


def _told_of_evaluation(run: Run) -> Iterator[events.Event]:
    """The evaluation that is due, or the end of a run whose losses are no longer finite."""
    diverged = _diverged_at(run)
    if diverged is None:
        losses = run.logged_losses()
        train_loss = losses.double().mean().item() if len(losses) else None
        with run.evaluation():
            loss, accuracy = run.evaluate(run.data, run.validation_indices)
            train_accuracy = run.train_accuracy()
        if math.isfinite(loss):
            run.first_loss_step = run.step
            yield events.Evaluated(
                run.step,
                run.step / run.per_epoch,
                run.step * run.config.data.batch_size,
                train_loss,
                loss,
                accuracy,
                run.clock.train_seconds,
                train_accuracy,
            )
            return
        diverged = run.step
    yield events.Diverged(diverged)
    yield _finished(run)


def _diverged_at(run: Run) -> int | None:
    """The first update since the last evaluation whose loss was not finite."""
    bad = torch.nonzero(~torch.isfinite(run.logged_losses())).flatten()
    return run.first_loss_step + int(bad[0]) if len(bad) else None


def _finished(run: Run) -> events.Finished:
    clock = run.clock
    return events.Finished(
        run.step, clock.train_seconds, clock.evaluate_seconds, clock.probe_seconds
    )
