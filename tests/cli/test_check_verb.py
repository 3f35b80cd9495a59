"""``normbench check`` on networks: what it finds, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HEAD = """
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.again, self.act = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.idle, self.head = nn.BatchNorm1d(7, affine=False), nn.Linear(8, num_classes)
"""
SOUND = """
    def forward(self, x):
        x = self.act(self.bn(self.again(self.act(self.bn(self.conv(x))))))
        return self.head(x.mean((2, 3)))
"""
FUNCTIONAL = """
    def forward(self, x):
        x = self.act(self.bn(self.again(self.act(self.bn(self.conv(x))))))
        return self.head(F.layer_norm(x, x.shape[1:]).mean((2, 3)))
"""
DETACHED = """
    def forward(self, x):
        x = self.act(self.bn(self.again(self.act(self.bn(self.conv(x).detach())))))
        return self.head(x.mean((2, 3)))
"""
NOT_A_NUMBER = """
    def forward(self, x):
        x = self.act(self.bn(self.again(self.act(self.bn(self.conv(x))))))
        return self.head(x.mean((2, 3))) * float("nan")
"""


def checked(cli, tmp_path: Path, forward: str, code: int, *more: str) -> str:
    file = tmp_path / "net.py"
    file.write_text(HEAD + forward, encoding="utf-8")
    done = cli("check", f"{file}:Net", "--size", "8x8x1", "--classes", "3", *more)
    assert done.code == code
    return done.out


def test_it_tells_the_slots_of_a_network_what_is_kept_and_that_all_is_well(cli, tmp_path):
    lines = checked(cli, tmp_path, SOUND, 0).splitlines()
    assert lines[0] == "network Net on 8x8x1"
    assert lines[1] == "slot bn: 8 features at 8x8x8, behind conv, called 2 times"
    assert lines[2] == "kept idle (BatchNorm1d): the forward pass never calls it"
    assert lines[-1].endswith(" checks are fine, nothing is wrong")
    assert "changes residual blocks, and this network has none" in "\n".join(lines)


def test_a_norm_that_is_a_function_is_told_with_its_line(cli, tmp_path):
    assert "(layer_norm: return self.head(F.layer_norm(" in checked(cli, tmp_path, FUNCTIONAL, 0)


@pytest.mark.parametrize(
    ("forward", "said"),
    [(DETACHED, "none reaches conv.weight, conv.bias"), (NOT_A_NUMBER, "it is not finite")],
)
def test_a_gradient_that_stays_away_or_is_no_number_is_found(cli, tmp_path, forward, said):
    told = json.loads(checked(cli, tmp_path, forward, 1, "--json"))
    gradients = [item for item in told["findings"] if item["check"] == "gradient"]
    assert said in {item["said"] for item in gradients}
    assert {item["state"] for item in gradients} == {"wrong"}


def test_what_is_wrong_is_counted_as_it_is_told(cli, tmp_path):
    lines = checked(cli, tmp_path, DETACHED, 1).splitlines()
    wrong = [line for line in lines if line.startswith("wrong: gradient (")]
    assert "original, " in "".join(wrong)
    assert lines[-1].endswith(f", {len(wrong)} things are wrong")


def test_a_network_of_ours_is_known_by_name_and_one_of_a_library_has_to_be_in_it(cli):
    assert "slot blocks.0.norm" in cli("check", "mlp", "--size", "4x4x1").out
    assert "did you mean 'resnet18'?" in cli("check", "torchvision:resnet19").err


@pytest.mark.slow
def test_a_network_of_a_library_is_tried_under_every_norm(cli):
    done = cli("check", "torchvision:squeezenet1_1")
    assert done.code == 0
    assert done.out.startswith("network squeezenet1_1 on 32x32x3")
    assert "no norm was found in this network" in done.out


@pytest.mark.parametrize("words", [("nothing",), ("mlp", "--size", "8x8"), ("no.py:Net",)])
def test_what_is_not_there_is_a_mistake_of_usage(cli, words):
    assert cli("check", *words).code == 2
