"""Several seeds of one norm in one step: each run is what it would be alone, up to rounding."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
from _pytest.mark import ParameterSet
from tiny import (
    CNN,
    EVERYTHING,
    SHORT_EPOCHS,
    asks,
    by_norm,
    only,
    record,
    run_config,
    same,
    trained,
    weights,
)

from normbench.config import RunConfig
from normbench.errors import ConfigError
from normbench.models import Block
from normbench.norms import NORMS
from normbench.training import events
from normbench.training.loop import train_together
from normbench.training.run import Run
from normbench.training.stepper import SingleStepper, VmapStepper, make_stepper

STEPS = 11
BUDGET = (*SHORT_EPOCHS, f"training={{steps: {STEPS}, evaluate_every: 3}}")
CASES = {
    "sgd": BUDGET,
    "everything": (*BUDGET, *EVERYTHING),
    "cnn": (*BUDGET, *CNN),
    "bf16": (*BUDGET, f"training={{steps: {STEPS}, evaluate_every: 3, precision: bf16}}"),
}
SEEDS = range(3)
STACKED = f"runtime.stack={len(SEEDS)}"

Told = list[list[events.Event]]


def configs(*overrides: str, norm: str = "batch") -> list[RunConfig]:
    return [run_config(STACKED, *overrides, norm=norm, seed=seed) for seed in SEEDS]


def together(
    runs: list[RunConfig],
    dataset,
    *,
    resume: list[bytes] | None = None,
    stop_at: int | None = None,
) -> Told:
    """The events of each run."""
    found: Told = [[] for _ in runs]
    should_stop: Callable[[], bool] = lambda: False  # noqa: E731
    if stop_at is not None:
        should_stop = asks(stop_at, found[0])
    states = resume or [None] * len(runs)
    for index, event in train_together(runs, dataset, resume=states, should_stop=should_stop):
        found[index].append(event)
    return found


def fits(norm: str, overrides: tuple[str, ...]) -> bool:
    """Whether the norm makes sense in the tiny network."""
    try:
        run_config(*overrides, norm=norm)
    except ConfigError:
        return False
    return True


# Two values a group, the default in so small a network, would be chaotic: they normalize to +-1.
OPTIONS = {
    "group": "{kind: group, groups: 2}",
    # What grows without bounds, or learns at 64 times the rate, is as chaotic.
    "weight_standardization": "{kind: rms, weights: weight_standardization}",
    "batch_frozen_scale": "{kind: batch_frozen_scale, strict: true}",
}


def lasting(told: list[events.Event]) -> list[type]:
    """The kinds of a run's events but for signs of life."""
    return [type(event) for event in told if not isinstance(event, events.Progress)]


# Into the second epoch, with an evaluation and two probed updates after the start.
FEW = (*SHORT_EPOCHS, "training={steps: 6, evaluate_every: 3}", "probes={every: 3}")
SMALL_CNN = ("model={kind: cnn, depth: 4, stages: 2, width: 4}",)


def norms_in_networks() -> list[ParameterSet]:
    """Every norm in every network that it fits."""
    cases = []
    for norm in NORMS:
        if "stack" in NORMS[norm].conflicts:
            continue
        networks = {"mlp": (), "cnn": SMALL_CNN}
        found = {name: model for name, model in networks.items() if fits(norm, (*FEW, *model))}
        of_a_network = norm == "original" or "residual" in NORMS[norm].replaces
        assert found or of_a_network, f"{norm} fits neither"
        cases += [
            pytest.param(norm, model, id=f"{norm}-{name}", marks=by_norm(norm))
            for name, model in found.items()
        ]
    return cases


@pytest.mark.parametrize(("norm", "model"), norms_in_networks())
def test_each_run_of_a_stack_is_the_run_alone_up_to_rounding(digits, norm, model):
    overrides = (*FEW, *model, "optimizer.lr=0.02")
    runs = configs(*overrides, norm=OPTIONS.get(norm, norm))[:2]
    for told, config in zip(together(runs, digits), runs, strict=True):
        alone = trained(
            run_config(*overrides, norm=OPTIONS.get(norm, norm), seed=config.seed), digits
        )
        assert lasting(told) == lasting(alone)
        assert only(told, events.EpochStarted) == only(alone, events.EpochStarted)
        # Weights that are computed from others carry their rounding as well.
        allowed = 1e-3 if "weight" in NORMS[norm].replaces else 1e-4
        for name, tensor in weights(alone).items():
            torch.testing.assert_close(weights(told)[name], tensor, rtol=1e-3, atol=allowed)
        for ours, theirs in zip(only(told, events.Probed), only(alone, events.Probed), strict=True):
            assert ours.step == theirs.step
            for name, values in theirs.quantities.items():
                # A quantile may lie next to zero, and is one value, as uncertain as the weights.
                near_zero = allowed if "_in_q" in name else allowed / 10
                assert ours.quantities[name] == pytest.approx(
                    values, rel=2e-2, abs=near_zero, nan_ok=True
                ), name


@pytest.fixture(scope="module")
def whole_of(digits) -> Callable[[str], Told]:
    """What the runs of a case tell when nothing disturbs them, trained once."""
    return cache(lambda case: together(configs(*CASES[case]), digits))


@pytest.mark.parametrize("case", CASES)
def test_the_same_stack_gives_the_same_bits(digits, whole_of, case):
    once, again = whole_of(case), together(configs(*CASES[case]), digits)
    assert [record(told) for told in once] == [record(told) for told in again]
    assert all(same(weights(a), weights(b)) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize(
    ("case", "stop_at"),
    [
        *(("everything", step) for step in (0, 1, 4, 6, 10)),
        *itertools.product(("sgd", "cnn", "bf16"), (1, 6)),
    ],
)
def test_a_stack_stopped_anywhere_continues_as_if_it_had_not(digits, whole_of, case, stop_at):
    runs = configs(*CASES[case])
    before = together(runs, digits, stop_at=stop_at)
    assert all(told[-1] == events.Stopped(stop_at) for told in before)
    after = together(runs, digits, resume=[told[-2].state for told in before])
    for first, second, undisturbed in zip(before, after, whole_of(case), strict=True):
        assert record([*first, *second]) == record(undisturbed)
        assert same(weights(second), weights(undisturbed))


@pytest.mark.parametrize("case", CASES)
def test_a_runs_bits_do_not_depend_on_its_company(digits, whole_of, case):
    runs, whole = configs(*CASES[case]), whole_of(case)
    for company in ([0], [2, 0], [1, 2]) if case == "sgd" else ([2, 0],):
        found = together([runs[seed] for seed in company], digits)
        for seed, told in zip(company, found, strict=True):
            assert record(told) == record(whole[seed]), company
            assert same(weights(told), weights(whole[seed]))


@pytest.mark.parametrize("model", [(), CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "{kind: group, groups: 2}"])
def test_a_stack_in_bf16_computes_in_bf16_as_each_run_alone(digits, norm, model):
    overrides = (*BUDGET, *model, "training.precision=bf16", "optimizer.lr=0.02")
    stack, alone = (started(configs(*overrides, norm=norm), digits) for _ in range(2))
    stepper = VmapStepper(stack)
    types: list[torch.dtype] = []
    for module in stack[0].network.modules():
        if isinstance(module, Block | torch.nn.Linear):
            module.register_forward_hook(lambda module, args, output: types.append(output.dtype))
    for _ in range(3):
        stepper.update()
        for run in alone:
            run.update()
    assert set(types) == {torch.bfloat16}
    for ours, theirs in zip(stack, alone, strict=True):
        assert ours.losses[0] == pytest.approx(float(theirs.losses[0]), rel=2e-3)
        for name, parameter in theirs.network.named_parameters():
            found = ours.network.get_parameter(name)
            torch.testing.assert_close(found, parameter, rtol=3e-2, atol=3e-3)


@pytest.mark.parametrize("case", ["sgd", "everything"])
def test_stopped_at_the_first_step_and_again_a_stack_keeps_its_optimizer(digits, whole_of, case):
    runs = configs(*CASES[case])
    told = together(runs, digits, stop_at=0)
    for stop_at in (4, 7, None):
        told = together(runs, digits, resume=[t[-2].state for t in told], stop_at=stop_at)
    for found, undisturbed in zip(told, whole_of(case), strict=True):
        assert same(weights(found), weights(undisturbed))


def test_runs_that_stand_at_different_steps_are_trained_in_groups(digits, whole_of):
    runs, whole = configs(*BUDGET), whole_of("sgd")
    early, late = (together(runs, digits, stop_at=step) for step in (2, 7))
    told = together(
        runs, digits, resume=[early[0][-2].state, late[1][-2].state, early[2][-2].state]
    )
    for found, undisturbed in zip(told, whole, strict=True):
        assert same(weights(found), weights(undisturbed))


def test_a_checkpoint_of_a_stack_is_as_large_as_one_of_a_run_alone(digits):
    [told, *_] = together(configs(*BUDGET), digits)
    alone = trained(run_config(*BUDGET), digits)
    sizes = [len(only(t, events.Checkpointed)[-1].state) for t in (told, alone)]
    assert sizes[0] < 1.1 * sizes[1]


def test_probes_only_observe(digits):
    probed, plain = (
        together(configs(*CASES["everything"], f"probes={probes}"), digits)
        for probes in ("{every: 1}", "{steps: none}")
    )
    for one, other in zip(probed, plain, strict=True):
        assert len(only(one, events.Probed)) == STEPS
        assert not only(other, events.Probed)
        assert same(weights(one), weights(other))


def started(runs: list[RunConfig], dataset) -> list[Run]:
    made = [Run(config, dataset) for config in runs]
    for run in made:
        run.network.train()
        run.start_epoch()
    return made


def test_a_run_that_diverges_leaves_the_others_as_they_are(digits, whole_of, monkeypatch):
    undisturbed = whole_of("sgd")
    make = Run.__init__

    def poisoned(self, config, dataset, **options):
        make(self, config, dataset, **options)
        if config.seed == 1:
            with torch.no_grad():
                self.network.head.weight[0, 0] = torch.nan

    monkeypatch.setattr(Run, "__init__", poisoned)
    told = together(configs(*BUDGET), digits)
    assert only(told[1], events.Diverged) == [events.Diverged(0)]
    assert isinstance(told[1][-1], events.Finished)
    assert not only(told[1], events.Tested)
    for seed in (0, 2):
        assert record(told[seed]) == record(undisturbed[seed])
        assert same(weights(told[seed]), weights(undisturbed[seed]))


def test_clipping_is_each_runs_own(digits):
    runs = configs(*BUDGET, "optimizer={kind: sgd, lr: 0.1, clip_norm: 0.05}")
    stack, alone = VmapStepper(started(runs, digits)), started(runs, digits)
    for _ in range(2):
        stack.update()
        for run in alone:
            run.update()
    for ours, theirs in zip(stack.runs, alone, strict=True):
        for name, parameter in theirs.network.named_parameters():
            found = ours.network.get_parameter(name)
            torch.testing.assert_close(found, parameter, rtol=1e-4, atol=1e-6)


def test_a_runs_time_is_its_share_of_the_stack(digits):
    told = together(configs(*BUDGET), digits)
    times = {only(events_, events.Finished)[0].train_seconds for events_ in told}
    assert len(times) == 1


def test_one_run_is_stacked_only_where_its_step_is_compiled(digits, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, mode: function)
    [plain] = started([run_config(*BUDGET)], digits)
    [compiled] = started([run_config(*BUDGET, "runtime.compile=true")], digits)
    assert isinstance(make_stepper([plain]), SingleStepper)
    assert isinstance(make_stepper([compiled]), VmapStepper)


def test_the_warm_up_of_a_compiled_step_leaves_no_trace(digits, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, mode: function)
    plain, compiled = (
        together(configs(*BUDGET, *more), digits) for more in ((), ("runtime.compile=true",))
    )
    for one, other in zip(plain, compiled, strict=True):
        assert record(one) == record(other)
        assert same(weights(one), weights(other))


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms"])
def test_a_compiled_step_is_the_same_step_up_to_rounding(digits, norm):
    overrides = (*BUDGET, "optimizer.lr=0.02")
    compiled = trained(run_config(*overrides, "runtime.compile=true", norm=norm), digits)
    eager = trained(run_config(*overrides, norm=norm), digits)
    assert lasting(compiled) == lasting(eager)
    for name, tensor in weights(eager).items():
        torch.testing.assert_close(weights(compiled)[name], tensor, rtol=1e-3, atol=1e-4)


def test_attention_of_seeds_in_one_step_goes_side_by_side_without_a_warning(digits):
    vit = ("model={kind: vit, depth: 1, width: 8, heads: 2}", *BUDGET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = [Run(config, digits) for config in configs(*vit, norm="layer")]
        stepper = make_stepper(runs)
        for run in runs:
            run.network.train()
            run.start_epoch()
        stepper.update()
    for seed, run in enumerate(runs):
        alone = Run(run_config(*vit, norm="layer", seed=seed), digits)
        alone.network.train()
        alone.start_epoch()
        alone.update()
        for one, other in zip(run.network.parameters(), alone.network.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
