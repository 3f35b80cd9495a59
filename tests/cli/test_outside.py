"""A norm, a network and a dataset outside of the package, by path and as a package installs them:
every verb knows them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import normbench

ROOT = Path(normbench.__file__).parents[1]

PARTS = """\
import numpy as np
import torch
from torch import nn

from normbench.norms.base import Norm, NormMethod, Traits


class Layer(Norm):
    def forward(self, x):
        return self.scaled(x - x.mean(1, keepdim=True))


class OutsideMean(NormMethod):
    "y = (x - mean) * gamma + beta."

    traits = Traits(statistics="none", centered=True, train_differs=False)

    def norm(self, slot):
        return Layer(slot, self.policy)


class Net(nn.Module):
    "One convolution."

    def __init__(self, num_classes, image_shape):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(image_shape[2], 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


def make(count=300):
    "Noise with a stripe."
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 100, (count, 8, 8), dtype=np.uint8)
    images[np.arange(count), labels * 2] += 100
    return {"x_train": images, "y_train": labels, "classes": ["ant", "bee", "cat"]}
"""
CONFIG = """\
name: outside
norms: [batch, NORM]
model: {KIND: NET}
data: {WORD: DATA, batch_size: 32, validation: 60}
training: {steps: 3}
target: {val_accuracy: 0.5}
seeds: 2
"""
BY_PATH = {"NORM": "parts.py:OutsideMean", "KIND": "path", "NET": "parts.py:Net"}
BY_PATH |= {"WORD": "path", "DATA": "parts.py:make"}
BY_NAME = {"NORM": "outside_mean", "KIND": "kind", "NET": "outside_net"}
BY_NAME |= {"WORD": "dataset", "DATA": "outside_data"}


class Folder:
    """A folder with a config and, by path or as an installed package, what it names."""

    def __init__(self, home: Path, words: dict[str, str]):
        self.home, self.words = home, words
        text = CONFIG
        for word, value in words.items():
            text = text.replace(word, f'"{value}"' if word not in ("KIND", "WORD") else value)
        (home / "mine.yaml").write_text(text)
        site = home / "site"
        site.mkdir()
        if words is BY_PATH:
            (home / "parts.py").write_text(PARTS)
            return
        (site / "outside_parts.py").write_text(PARTS)
        about = site / "outside_parts-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-parts\nVersion: 1\n")
        (about / "entry_points.txt").write_text(
            "[normbench.norms]\noutside_mean = outside_parts:OutsideMean\n"
            "[normbench.models]\noutside_net = outside_parts:Net\n"
            "[normbench.datasets]\noutside_data = outside_parts:make\n"
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        path = os.pathsep.join([str(ROOT), str(self.home / "site")])
        done = subprocess.run(
            [sys.executable, "-m", "normbench", *words],
            cwd=self.home,
            env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1"),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(params=[BY_PATH, BY_NAME], ids=["by path", "by entry point"])
def outside(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    return Folder(tmp_path, request.param)


@pytest.mark.slow
def test_every_verb_knows_what_is_outside_of_the_package(outside: Folder):
    norm, net = outside.words["NORM"], outside.words["NET"]
    label = norm.rpartition(":")[2]
    done = json.loads(outside("train", "mine.yaml", "--jobs", "2", "-q", "--json"))
    assert [row["norm"] for row in done["convergence"]] == ["batch", label]
    assert done["fairness"]["backbones_identical"]
    assert done["fairness"]["runs_compared"] == 4
    swapped = done["fairness"]["swapped"][label]
    assert [(s["path"], s["before"]) for s in swapped] == [("bn", "nn.BatchNorm2d(8)")]
    probed = json.loads(outside("probe", "mine.yaml", "-q", "--json", "--seeds", "1"))
    assert label in {row["norm"] for row in probed["propagation"]}
    shape = ("--shape", "8x8", "--no-compile", "-q", "--json")
    cost = json.loads(outside("cost", "--norm", norm, *shape))["cost"]
    assert any(label in row["norm"] for row in cost)
    assert "slot bn: 8 features" in outside("check", net, "--size", "8x8x1", "--classes", "3")
    found = json.loads(outside("check", norm, "--json", code=1))  # float32 of bfloat16, as it says
    assert {f["check"] for f in found["findings"] if f["state"] == "wrong"} == {"shape and type"}
    claims = json.loads(outside("claims", "mine.yaml", "--only", "8", "-q", "--json"))
    assert label in json.dumps(claims)
    assert label in outside("list", "norms", norm)
    assert label in outside("list", "runs")
    outside("report", "outside")
    assert label in (outside.home / "results" / "outside" / "report.html").read_text()


@pytest.mark.slow
def test_ray_trains_what_is_outside_of_the_package_bit_for_bit_as_processes_do(outside: Folder):
    pytest.importorskip("ray")
    outside("train", "mine.yaml", "--jobs", "2", "-q")
    outside("train", "mine.yaml", "-q", "--executor", "ray", "--results", "elsewhere")

    def evaluations(results: str) -> dict[str, list[float]]:
        found = {}
        for file in (outside.home / results / "outside").glob("*/metrics.jsonl"):
            events = map(json.loads, file.read_text().splitlines())
            found[file.parent.name] = [e["val_loss"] for e in events if e["event"] == "eval"]
        return found

    assert len(evaluations("results")) == 4
    assert evaluations("results") == evaluations("elsewhere")


def test_a_dataset_that_a_package_installs_is_listed(tmp_path: Path):
    rows = json.loads(Folder(tmp_path, BY_NAME)("list", "datasets", "--json"))["datasets"]
    assert {"name": "outside_data", "what": "Noise with a stripe."} in rows
