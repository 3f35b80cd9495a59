"""Stopped anywhere and continued, a run tells the same and ends in the same bits."""

from __future__ import annotations

import pytest
from tiny import (
    CNN,
    EVERYTHING,
    SHORT_EPOCHS,
    only,
    record,
    run_config,
    same,
    state,
    trained,
)

from normbench.training import events, loop

STEPS = 11  # epochs of 4 steps, evaluations every 3, probes every 2
BUDGET = (*SHORT_EPOCHS, f"training={{steps: {STEPS}, evaluate_every: 3}}")
CASES = {
    "sgd": BUDGET,
    "everything": (*BUDGET, *EVERYTHING),
    "cnn": (*BUDGET, *EVERYTHING, *CNN, "data.batch_size=330"),
}


def ends_alike(one: list[events.Event], other: list[events.Event]) -> None:
    for part in ("step", "network", "batches_sha256", "losses", "first_loss_step"):
        assert same(state(one)[part], state(other)[part]), part


@pytest.fixture(scope="module")
def undisturbed(digits):
    return {name: trained(run_config(*overrides), digits) for name, overrides in CASES.items()}


@pytest.mark.parametrize("stop_at", range(STEPS))
@pytest.mark.parametrize("case", ["sgd", "everything"])
def test_a_run_stopped_anywhere_continues_as_if_it_had_not(digits, undisturbed, case, stop_at):
    config = run_config(*CASES[case])
    before = trained(config, digits, stop_at=stop_at)
    assert before[-1] == events.Stopped(stop_at)
    assert isinstance(before[-2], events.Checkpointed)
    assert before[-2].step == stop_at
    after = trained(config, digits, resume=before[-2].state)
    assert (after[0].step, after[0].steps) == (stop_at, STEPS)
    assert after[0].backbone_sha256 == before[0].backbone_sha256
    assert record([*before, *after]) == record(undisturbed[case])
    ends_alike(after, undisturbed[case])


@pytest.mark.parametrize("stop_at", [0, 4, 6, 7])
def test_a_cnn_continues_as_well(digits, undisturbed, stop_at):
    config = run_config(*CASES["cnn"])
    before = trained(config, digits, stop_at=stop_at)
    after = trained(config, digits, resume=before[-2].state)
    assert record([*before, *after]) == record(undisturbed["cnn"])
    ends_alike(after, undisturbed["cnn"])


def test_a_run_stopped_after_every_update_still_arrives(digits, undisturbed):
    config = run_config(*CASES["everything"])
    told: list[events.Event] = []
    resume = None
    for step in range(1, STEPS):
        told += trained(config, digits, resume=resume, stop_at=step)
        resume = told[-2].state
    told += trained(config, digits, resume=resume)
    assert record(told) == record(undisturbed["everything"])
    ends_alike(told, undisturbed["everything"])


def test_a_checkpoint_at_the_last_step_only_leaves_the_test(digits):
    config = run_config(*CASES["sgd"])
    whole = trained(config, digits)
    again = trained(config, digits, resume=only(whole, events.Checkpointed)[-1].state)
    assert [type(event).__name__ for event in again] == ["Started", "Tested", "Finished"]
    assert record(again) == record(whole)[-2:]


def test_from_every_periodic_checkpoint_the_rest_is_the_same(digits, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    config = run_config(*CASES["everything"])
    whole = trained(config, digits)
    saved = only(whole, events.Checkpointed)
    assert [event.step for event in saved] == [*range(1, STEPS + 1)]
    for event in saved:
        rest = trained(config, digits, resume=event.state)
        place = whole.index(event)
        assert record(rest) == record(whole[place:])
        if event.step < STEPS:
            ends_alike(rest, whole)


def test_a_checkpoint_that_is_due_does_not_wait_for_an_evaluation(digits, monkeypatch):
    times = iter(range(0, 10_000, 7))  # seconds: one reading an update, a checkpoint every third
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(times)))
    config = run_config("training={steps: 12, evaluate_every: 12}")
    found = trained(config, digits)
    assert [event.step for event in only(found, events.Checkpointed)] == [3, 6, 9, 12]
    assert [event.step for event in only(found, events.Evaluated)] == [0, 12]


def test_what_has_diverged_is_not_saved_between_evaluations_and_ends_at_the_next(
    digits, monkeypatch
):
    explodes = ("optimizer={kind: sgd, lr: 1e6}", "probes={steps: none}")
    config = run_config("training={steps: 12, evaluate_every: 12}", *explodes, norm="none")
    plain = trained(config, digits)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    found = trained(config, digits)
    assert record(found) == record(plain)
    for event in only(found, events.Checkpointed):
        assert all(t.isfinite().all() for t in state([event])["network"].values())


def test_no_checkpoint_is_made_more_often_than_it_should(digits):
    assert [e.step for e in only(trained(run_config(), digits), events.Checkpointed)] == [12]
