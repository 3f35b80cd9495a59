"""What is looked at is computed under the settings of what is trained."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from tiny import experiment, run_config

from normbench.config import RuntimeConfig
from normbench.execution import estimate as estimating
from normbench.measure import signals as inspecting
from normbench.plan import expand
from normbench.training.settings import compute_on, kept

CUDNN = torch.backends.cudnn


def current() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": CUDNN.deterministic,
        "benchmark": CUDNN.benchmark,
        "tf32": CUDNN.allow_tf32,
    }


TRAINED = {
    "threads": 1,
    "precision": "highest",
    "deterministic": True,
    "benchmark": False,
    "tf32": False,
}


@pytest.fixture
def careless(monkeypatch):
    """The settings of a process that prefers speed, and a CUDA that is a CPU."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    with kept():
        torch.set_float32_matmul_precision("high")
        CUDNN.deterministic, CUDNN.benchmark, CUDNN.allow_tf32 = False, True, True

        def on_cuda(runtime):
            compute_on(runtime.model_copy(update={"device": "cuda"}))

        for module in (inspecting, estimating):
            monkeypatch.setattr(module, "compute_on", on_cuda)
        yield current()


def test_probe_computes_under_the_settings_of_training_and_leaves_those_it_found(
    digits, careless, monkeypatch
):
    seen = []
    inspect = inspecting.inspect
    monkeypatch.setattr(
        inspecting, "inspect", lambda *args, **kw: seen.append(current()) or inspect(*args, **kw)
    )
    inspecting.inspect_all([(0, "batch", run_config())], digits, signals_at={0}, landscape_at=())
    assert seen == [TRAINED]
    assert current() == careless


def test_estimate_computes_under_the_settings_of_training_and_leaves_those_it_found(
    digits, careless, monkeypatch
):
    seen = []
    monkeypatch.setattr(estimating, "_time", lambda run: seen.append(current()) or (0.1, 0.1))
    estimating.estimate(expand(experiment("norms=[batch]", "seeds=1")), digits, 1)
    assert seen == [TRAINED]
    assert current() == careless


def test_settings_come_back_after_an_error():
    before = current()
    with contextlib.suppress(ZeroDivisionError), kept():
        compute_on(RuntimeConfig(threads=2))
        raise ZeroDivisionError
    assert current() == before


def test_on_cuda_a_process_computes_without_atomics_and_in_full_fp32(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    for name, value in (("deterministic", False), ("benchmark", True), ("allow_tf32", True)):
        monkeypatch.setattr(CUDNN, name, value)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    compute_on(RuntimeConfig(device="cuda"))
    assert CUDNN.deterministic
    assert not CUDNN.benchmark
    assert not CUDNN.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    torch.set_float32_matmul_precision(precision)
