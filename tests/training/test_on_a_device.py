"""What a training step asks of an accelerator, without one.

PyTorch's meta device stands in for it: tensors there have a shape and a place but no values, so an
operation on tensors of two devices fails as it would on a real one, and so does everything that
would have to wait for a value.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny import CNN, EVERYTHING, by_norm, run_config

from normbench.models.assemble import anatomy, problem_of
from normbench.norms import NORMS, make_method
from normbench.probes import ProbeRecorder
from normbench.training.run import Run
from normbench.training.stepper import VmapStepper

CASES = {"mlp": (), "cnn": CNN, "everything": (*EVERYTHING, *CNN)}
NO_VALUES = (RuntimeError, NotImplementedError)


@pytest.fixture(autouse=True)
def bodiless(monkeypatch):
    """A fused optimizer knows no meta device; the one that is not fused has the same steps."""
    for name in ("SGD", "Adam"):
        cls = getattr(torch.optim, name)

        def unfused(self, *args, cls=cls, fused, **options):
            cls.__init__(self, *args, **options)

        plain = type(name, (cls,), {"__init__": unfused})
        monkeypatch.setattr(torch.optim, name, plain)


def make_run(dataset, *overrides: str, norm: str = "batch", seed: int = 0) -> Run:
    config = run_config(*overrides, norm=norm, seed=seed)
    there = config.runtime.model_copy(update={"device": "meta"})
    run = Run(config.model_copy(update={"runtime": there}), dataset)
    run.network.train()
    run.start_epoch()
    return run


def test_the_stand_in_notices_a_wait_and_a_tensor_left_behind():
    x = torch.ones(3, device="meta")
    with pytest.raises(NO_VALUES):
        x.sum().item()
    with pytest.raises(NO_VALUES):
        x.cpu()
    with pytest.raises(RuntimeError, match="device"):
        x + torch.ones(3)


def fitting(case: str) -> Iterator[str]:
    """The norms that make sense in the network, where groups hold more than two values."""
    config = run_config(*CASES[case])
    blueprint = config.model.blueprint()
    known = anatomy(blueprint, (8, 8, 1))
    for norm in NORMS:
        method = make_method(norm, config.normalization.policy())
        if norm not in ("instance", "group") and not problem_of(
            blueprint, known, method, config.data.batch_size
        ):
            yield norm


@pytest.mark.parametrize(
    ("case", "norm"), [pytest.param(c, n, marks=by_norm(n)) for c in CASES for n in fitting(c)]
)
def test_an_update_stays_on_the_device_and_never_waits_for_it(digits, case, norm):
    run = make_run(digits, *CASES[case], norm=norm)
    for _ in range(3):
        run.update()
    assert {p.device.type for p in run.network.parameters()} == {"meta"}
    assert run.losses.device.type == "meta"
    assert run.step == 3


def test_a_probed_update_waits_once_for_all_its_values(digits, monkeypatch):
    run = make_run(digits)
    recorder = ProbeRecorder(run.assembled)
    run.update(recorder)
    fetched = []

    def cpu(self):
        fetched.append(self.shape)
        return torch.zeros(self.shape)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    values = recorder.after_step()
    assert len(fetched) == 1
    assert fetched[0] == (len(values), len(run.assembled.layers))


@pytest.mark.parametrize("case", CASES)
def test_a_stack_stays_there_and_never_waits_either(digits, case):
    runs = [make_run(digits, *CASES[case], seed=seed) for seed in range(2)]
    stack = VmapStepper(runs)
    for _ in range(2):
        stack.update()
    assert {p.device.type for p in stack.parameters.values()} == {"meta"}
    assert all(run.step == 2 for run in runs)


def test_the_images_lie_on_the_device_once_for_all_runs_of_a_stack(digits):
    first = Run(run_config(), digits)
    second = Run(run_config(seed=1), digits, stacked_with=first)
    assert second.data is first.data
    assert second.test_data is first.test_data
