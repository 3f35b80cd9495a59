"""``benchmarks/gpu.py`` tried on the CPU: it trains what a config trains, sees what is wrong, and
needs nothing but PyTorch and torchvision.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import normbench

ROOT = Path(normbench.__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import gpu  # noqa: E402 - the folder is no part of the package
from benchmarks.gpu_parts import correct, speed, tasks  # noqa: E402

MLP, CNN, RESNET = tasks.TINY
OTHERS = (
    *(
        "pydantic",
        "annotated_types",
        "yaml",
        "_yaml",
        "pandas",
        "scipy",
        "sklearn",
        "typer",
        "rich",
    ),
    *(
        "platformdirs",
        "altair",
        "cloudpickle",
        "ray",
        "timm",
        "datasets",
        "normbench",
        "__editable",
    ),
)
"""What a machine with PyTorch and torchvision need not have."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def bare(tmp_path):
    """Runs the benchmark where no package is but PyTorch, torchvision and what these bring."""
    site = tmp_path / "site"
    site.mkdir()
    for entry in Path(torch.__file__).parents[1].iterdir():
        if not entry.name.lower().startswith(OTHERS):
            (site / entry.name).symlink_to(entry)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        script = str(ROOT / "benchmarks" / "gpu.py")
        return subprocess.run(
            [sys.executable, "-S", script, *arguments, "--out", str(tmp_path / "gpu.json")],
            env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run, tmp_path / "gpu.json"


@pytest.mark.slow
def test_it_needs_pytorch_and_torchvision_alone_and_ends_in_a_table_and_a_file(bare):
    run, file = bare
    done = run("--device", "cpu", "--tiny", "--no-compile")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert all(check["ok"] for check in found["checks"])
    names = [check["name"] for check in found["checks"]]
    assert "mlp, batch: cpu against cpu" in names
    assert "resnet: stack against single runs" in names
    rows = found["speed"]
    assert {row["task"] for row in rows} == {"mlp", "cnn", "resnet-20"}
    assert {row["setting"] for row in rows} >= {"plain script, fp32", "stack 2, bf16"}
    assert all(row["runs_per_hour"] > 0 for row in rows)
    assert len(done.stdout.splitlines()) >= len(rows) + len(names)


def test_a_machine_without_a_gpu_is_told_in_a_line(tmp_path, capsys):
    assert gpu.main(["--device", "cuda:9", "--out", str(tmp_path / "gpu.json")]) == 2
    assert "sees no GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", [MLP, RESNET], ids=lambda task: task.name)
def test_a_run_is_that_of_the_config_which_says_the_same(task):
    from normbench.config import RunConfig
    from normbench.config.loader import load

    data = tasks.made(task)
    options = ", ".join(f"{key}: {value}" for key, value in task.options.items())
    bias = str(task.bias).lower()
    config = load(
        f"""
norms: [{{kind: group, groups: 2}}]
data: {{dataset: digits, batch_size: {task.batch_size}, validation: {task.validation}}}
model: {{kind: {task.kind}, {options}, bias: {bias}, init: he_normal}}
optimizer: {{kind: sgd, lr: {task.lr}, momentum: 0.9, schedule: cosine}}
training: {{steps: {task.steps}, evaluate_every: 2}}
probes: {{every: {tasks.ONLY_THE_ENDS}}}
target: {{val_accuracy: 0.5}}
seeds: 1
"""
    )
    real = config.run({}, 0, 3)
    assert isinstance(real, RunConfig)
    ours = tasks.run_config(task, "group", groups=2, seed=3, evaluate_every=2)
    expected, found = correct.outcomes([real], data)[0], correct.outcomes([ours], data)[0]
    assert len(found.losses) == 1 + 2 * (task.steps // 2)
    assert found.losses == expected.losses
    assert all(value.equal(expected.weights[name]) for name, value in found.weights.items())


def test_a_difference_beyond_the_tolerance_and_one_between_two_runs_are_wrong(monkeypatch):
    runs = iter([correct.Outcome([1.0], {}), correct.Outcome([1.01], {})])
    monkeypatch.setattr(correct, "outcomes", lambda configs, data: [next(runs)])
    first = next(iter(correct.checks("cpu", compiled=False)))
    assert first.name == "mlp, none: cpu against cpu"
    assert first.difference == pytest.approx(0.01, rel=0.02)
    assert first.ok is False
    assert gpu.told_of(first).startswith("WRONG")


def test_a_check_that_raises_is_told_and_ends_no_other(monkeypatch):
    def broken(configs, data):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(correct, "outcomes", broken)
    found = list(correct.checks("cpu", compiled=True, kinds=["mlp"]))
    assert {check.reason for check in found} == {"RuntimeError: no compiler"}
    assert {check.ok for check in found} == {None}
    assert found[-1].name == "mlp: compiled against eager"


def test_what_is_measured_is_a_rate_against_the_plain_script_of_the_same_precision():
    ways = [speed.Setting(0), speed.Setting(2)]
    plain, ours = speed.measure([MLP], "cpu", ways, lambda: 1.0, {"fp32": 1e9})
    assert plain.runs_per_hour == pytest.approx(3600 / plain.seconds)
    assert ours.runs == len(ours.test_accuracy) == 2
    assert ours.times_plain == pytest.approx(ours.runs_per_hour / plain.runs_per_hour)
    # 2 runs of 4 steps of 3 products, forward and backward, of which the first needs no dL/dx.
    products = 3 * 2 * 32 * (64 * 16 + 2 * 16 * 16 + 16 * 10) - 2 * 32 * 64 * 16
    assert speed.flops_of_a_step(MLP, tasks.made(MLP)) == products
    least = 2 * 4 * products / 1e9 / ours.seconds
    assert least <= ours.share_of_peak <= 10 * least
    assert gpu.line_of(ours).startswith("mlp       stack 2, fp32")


def test_what_takes_long_is_timed_over_fewer_steps_and_what_has_no_time_is_left_out(monkeypatch):
    monkeypatch.setattr(speed, "LIMIT", 0.0)
    time_left = iter([1.0, 1.0, 0.0])
    ways = [speed.Setting(0), speed.Setting(1), speed.Setting(2)]
    cut, ours, none = speed.measure([MLP], "cpu", ways, lambda: next(time_left), {"fp32": 1e9})
    assert cut.cut_off
    assert cut.test_accuracy == []
    assert cut.runs_per_hour > 0
    assert gpu.line_of(cut).endswith("(from fewer steps)")
    assert ours.runs_per_hour > 0
    assert none.reason == "out of time"
    assert none.as_dict()["runs_per_hour"] is None


def test_no_room_on_the_device_is_a_row_and_no_end(monkeypatch):
    def full(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(speed, "_ours", full)
    (row,) = speed.measure([CNN], "cpu", [speed.Setting(8)], lambda: 1.0, {"fp32": 1e9})
    assert row.reason == "RuntimeError: CUDA out of memory. Tried to allocate"
    assert math.isnan(row.runs_per_hour)


def test_accuracies_are_alike_within_the_spread_of_seeds():
    ours = [0.90, 0.92, 0.91, 0.89]
    assert speed.alike(ours, [0.93]) is True
    assert speed.alike(ours, [0.80]) is False
    assert speed.alike([0.5] * 4, [0.505]) is True
    assert speed.alike(ours[:3], [0.9]) is None
    assert speed.alike(ours, []) is None


def test_the_images_can_be_learned_and_are_the_same_every_time():
    first, again = tasks.made(MLP), tasks.made(MLP)
    assert (first.train_images == again.train_images).all()
    assert first.train_images.std() > 20
    options = {"depth": 2, "width": 32}
    task = replace(MLP, side=16, options=options, training=1024, test=400, epochs=4)
    (row,) = speed.measure([task], "cpu", [speed.Setting(1)], lambda: 1.0, {"fp32": 1e9})
    assert row.test_accuracy[0] > 0.3  # chance is 0.1
