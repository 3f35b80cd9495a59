"""Which norms were exchanged, kept and why: from the network to the manifest to every output."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from scripted import finishes, manifest, play
from tiny import experiment

from normbench.cli import main
from normbench.results.load import compare
from normbench.training.events import Started

NET = """\
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
        self.last, self.never = nn.BatchNorm2d(4), nn.LayerNorm(3)
        self.head = nn.Sequential()
        self.head.norm, self.head.fc = nn.LayerNorm(4), nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.last(self.deep(F.relu(self.bn(self.conv(x)))))
        return self.head(F.layer_norm(x.mean((2, 3)), (4,)))
"""
KEPT = [
    {"path": "head.norm", "kind": "LayerNorm", "reason": "asked for"},
    {"path": "never", "kind": "LayerNorm", "reason": "the forward pass never calls it"},
    {"path": "net.py:9", "kind": "layer_norm", "reason": "called as a function"},
]


def told(after: str | None, *, again: int = 0, **more: object) -> dict[str, object]:
    """What a run's manifest tells of a network with two sizes of batch norm."""
    sizes = {"bn1": 64, "layer1.0.bn1": 64, "layer2.0.bn1": 128}
    swapped = [
        {"path": path, "before": f"nn.BatchNorm2d({n})", "after": after.replace("64", str(n))}
        for path, n in sizes.items()
        if after
    ]
    return {"swapped": swapped, "kept": KEPT, "reinitialized": [], "replaces": ["norm"], **more}


TOLD = {
    "original": told(None, replaces=[]),
    "batch": told("nn.BatchNorm2d(64)"),
    "layer": told(
        "nn.Identity()",
        reinitialized=["conv1.weight", "conv2.weight", "fc.weight"],
        replaces=["init", "norm"],
    ),
    "rms": told("nn.GroupNorm(8, 64)"),
}
ENDS = {"original": 0.3, "batch": 0.6, "layer": 0.5, "rms": 0.9}


@pytest.fixture(scope="module")
def played(tmp_path_factory, digits):
    """An experiment in which rms leads by far, and what its networks were made of."""
    folder = tmp_path_factory.mktemp("swaps")

    def script(run):
        end = ENDS[run.norm] + run.seed / 1000 * (1 + len(run.norm) % 2)
        return [
            replace(event, swaps=TOLD[run.norm]) if isinstance(event, Started) else event
            for event in finishes({0: 0.1, 6: end, 12: end})
        ]

    play(
        folder,
        experiment("norms=[{kind: none, name: original}, batch, layer, rms]", "seeds=10"),
        digits,
        script,
    )
    return folder


def out_of(capsys, monkeypatch, *words: object) -> str:
    monkeypatch.setattr("sys.argv", ["normbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_the_line_says_how_many_were_swapped_and_what_stayed_and_why(played):
    line = compare("tiny", results=played).fairness_text()
    assert line.endswith(
        "identical across norms (40 runs); 3 norms swapped (bn1, layer1.0.bn1, ...), none under "
        "original; kept head.norm (asked for); not called: never; kept net.py:9 (called as a "
        "function); re-initialized by layer: conv1.weight, conv2.weight, ..."
    )


def test_what_a_paper_fixes_is_not_told_twice(played):
    swaps = compare("tiny", results=played).swaps
    assert "re-initialized by layer" in swaps.text()
    told = ("rms (rate 2)", "layer (other values at the start of 3 parameters)")
    assert "re-initialized" not in swaps.text(told)


def test_json_has_every_slot_and_what_was_kept(played, capsys, monkeypatch):
    found = json.loads(
        out_of(capsys, monkeypatch, "compare", "tiny", "--results", played, "--json")
    )
    fairness = found["fairness"]
    assert fairness["swapped"]["rms"] == TOLD["rms"]["swapped"]
    assert "original" not in fairness["swapped"]
    assert fairness["kept"] == KEPT
    assert fairness["reinitialized"] == {"layer": ["conv1.weight", "conv2.weight", "fc.weight"]}
    assert found["verdict"]["recommended"] == "rms"


def test_after_a_verdict_one_line_says_what_to_write(played, capsys, monkeypatch):
    out = out_of(capsys, monkeypatch, "compare", "tiny", "--results", played)
    assert (
        "in PyTorch, for rms: nn.BatchNorm2d(64) -> nn.GroupNorm(8, 64), 2 times; "
        "nn.BatchNorm2d(128) -> nn.GroupNorm(8, 128) results:"
    ) in out
    assert "normbench compare tiny --swap rms --results" in out


def test_every_slot_is_told_on_request(played, capsys, monkeypatch):
    asked = ("compare", "tiny", "--results", played, "--swap")
    out = out_of(capsys, monkeypatch, *asked, "layer")
    assert "layer2.0.bn1 nn.BatchNorm2d(128) nn.Identity()" in out
    assert "besides it changes initial values" in out
    assert "parameter ─" in out
    assert "fc.weight" in out
    out = out_of(capsys, monkeypatch, *asked, "original")
    assert out.startswith("under original the norms stay as they are")
    found = json.loads(out_of(capsys, monkeypatch, *asked, "rms", "--json"))
    assert [slot["path"] for slot in found["swapped"]] == ["bn1", "layer1.0.bn1", "layer2.0.bn1"]


def test_the_page_has_the_line_and_every_pair_of_layers(played, tmp_path, capsys, monkeypatch):
    page = tmp_path / "page.html"
    out_of(capsys, monkeypatch, "report", "tiny", "--results", played, "--out", page)
    text = page.read_text()
    assert "in PyTorch, for rms: nn.BatchNorm2d(64) -&gt; nn.GroupNorm(8, 64), 2 times" in text
    assert "kept head.norm (asked for)" in text
    assert "nn.GroupNorm(8, 128)" in text


def test_runs_of_an_earlier_normbench_say_nothing_of_it(tmp_path, digits, capsys, monkeypatch):
    play(
        tmp_path, experiment("norms=[batch, layer]"), digits, lambda _: finishes({0: 0.1, 12: 0.5})
    )
    comparison = compare("tiny", results=tmp_path)
    assert comparison.swaps is None
    assert comparison.fairness_text().endswith("(4 runs)")
    assert "swapped" not in comparison.to_dict()["fairness"]
    monkeypatch.setattr(
        "sys.argv", ["normbench", "compare", "tiny", "--results", str(tmp_path), "--swap", "batch"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4
    assert "tells which norms were exchanged" in capsys.readouterr().err


def test_the_manifest_knows_it_from_step_zero_of_a_network_of_ones_own(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "own.yaml").write_text(
        "norms: [batch, {kind: group, groups: 4}]\nmodel: {path: net.py:Net, keep: [head.norm]}\n"
        "seeds: 1\ntraining: {steps: 2}\ndata: {batch_size: 16}\n"
    )
    monkeypatch.chdir(tmp_path)
    out = out_of(capsys, monkeypatch, "train", "own.yaml", "--jobs", "1", "-q")
    assert (
        "3 norms swapped (bn, deep.1, ...); kept head.norm (asked for); not called: never;" in out
    )
    (folder,) = (tmp_path / "results" / "own").glob("group*")
    found = manifest(folder)["swaps"]
    assert found["swapped"][2] == {
        "path": "last", "before": "nn.BatchNorm2d(4)", "after": "nn.GroupNorm(4, 4)"
    }  # fmt: skip
    assert [kept["path"] for kept in found["kept"]] == ["head.norm", "never", "net.py:15"]


def test_a_method_that_sets_weights_is_told_with_them(digits):
    from normbench.training.run import make_network

    config = experiment("model={kind: residual_mlp, depth: 2, width: 8}", "norms=[fixup]")
    network = make_network(config.run({}, 0, 0), digits)
    found = network.told_swaps()
    assert "init" in found["replaces"]
    assert "head.weight" in found["reinitialized"]
    assert all(slot["before"] is None for slot in found["swapped"])
