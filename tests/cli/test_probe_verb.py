"""``normbench probe`` as a user meets it."""

import json
import math
import sys

import pytest
import torch
from tiny import TEXT

from normbench.cli import main
from normbench.probes import PROBES

ROW = (
    *("norm", "step", "growth_per_layer", "growth_std", "weight_growth_per_layer", "theory"),
    *("ratio", "verdict", "depth_for_1e4", "dead_units", "seeds", "diverged", "layers"),
    *("log_growth_se", "theory_se", "z", "factor_over_depth", "effective_rank"),
    *("example_cosine", "example_cosine_theory"),
)


@pytest.fixture
def probe(tmp_path, monkeypatch, capsys, digits):
    """Runs the verb in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TEXT)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["normbench", "probe", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def rows(output: str) -> list[dict]:
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(output, parse_constant=refuse)["propagation"]


def test_json_holds_every_norm_with_every_layer_and_leaves_no_results(probe, tmp_path):
    code, out, _ = probe("tiny.yaml", "--json", "--set", "norms=[none, batch, layer, rms]")
    assert code == 0
    assert json.loads(out)["schema"] == 1
    assert json.loads(out)["experiment"] == "tiny"
    found = rows(out)
    assert [row["norm"] for row in found] == ["none", "batch", "layer", "rms"]
    for row in found:
        assert set(ROW) <= row.keys()
        assert row["ratio"] == pytest.approx(row["growth_per_layer"] / row["theory"])
        assert [layer["layer"] for layer in row["layers"]] == [1, 2, 3]
        of_blocks = {"identity_share", "block_square", "block_gradient"}
        keys = {"layer", "example_cosine_theory", *PROBES} - of_blocks
        assert all(layer.keys() == keys for layer in row["layers"])
        assert row["z"] == pytest.approx(math.log(row["ratio"]) / row["theory_se"])
        assert row["effective_rank"] == row["layers"][-1]["effective_rank"]
        assert row["factor_over_depth"] == pytest.approx(row["growth_per_layer"] ** 2)
        assert row["seeds"] == len(row["growth_by_seed"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_theory_alone_says_what_it_says_beside_a_measurement(probe):
    norms = ("--set", "norms=[none, batch, dyt, mean_only]", "--seeds", "2")
    code, out, _ = probe("tiny.yaml", "--theory", "--json", *norms)
    assert code == 0
    alone = rows(out)
    _, out, _ = probe("tiny.yaml", "--json", *norms)
    assert [row["norm"] for row in alone] == ["none", "batch", "dyt", "mean_only"]
    for row, beside in zip(alone, rows(out), strict=True):
        for name in ("theory", "forward_theory", "theory_se", "example_cosine_theory"):
            assert row[name] == beside[name]
        assert row["theory"] > 0
        assert "growth_per_layer" not in row
    _, out, _ = probe("tiny.yaml", "--theory", *norms)
    assert max(map(len, out.splitlines())) <= 80
    assert "backward" in out


def test_a_probe_says_which_gradient_it_sent(probe):
    few = ("--seeds", "1", "--set", "norms=[none]")
    sent = {}
    for words in ((), ("--gradient", "loss"), ("--steps", "2"), ("--gradient", "independent")):
        (row, *_) = rows(probe("tiny.yaml", "--json", *few, *words)[1])
        sent[words] = (row["gradient"], row["growth_per_layer"])
    assert sent[()] == sent["--gradient", "independent"]
    assert sent["--steps", "2"] == sent["--gradient", "loss"]
    assert sent[()][0] == "independent" != sent["--gradient", "loss"][0] == "loss"
    assert sent[()][1] != sent["--gradient", "loss"][1]
    assert "independently for each example" in " ".join(probe("tiny.yaml", *few)[1].split())


def test_steps_show_the_growth_at_both_ends(probe):
    code, out, _ = probe("tiny.yaml", "--json", "--steps", "5", "--seeds", "1")
    found = rows(out)
    assert code == 0
    assert [(row["norm"], row["step"]) for row in found] == [
        ("none", 0), ("none", 5), ("batch", 0), ("batch", 5),
    ]  # fmt: skip
    assert all((row["theory"] is None) == (row["step"] > 0) for row in found)
    assert all(row["growth_std"] is None for row in found)


def test_every_point_of_a_sweep_is_probed(probe):
    sweep = "sweep={model.depth: [5, 8], model.placement: [pre, post]}"
    few = ("--set", "data.batch_size=4", "--set", "probes={steps: none}")
    _, out, _ = probe("tiny.yaml", "--json", "--seeds", "1", "--set", sweep)
    found = rows(out)
    assert len(found) == 2 * 2 * 2
    assert {(row["model.depth"], len(row["layers"])) for row in found} == {(5, 5), (8, 8)}
    _, out, _ = probe("tiny.yaml", "--seeds", "1", "--set", sweep, *few)
    words = " ".join(out.split())
    assert "no theory for batch: theory needs 5 or more values behind a statistic" in words


def test_convolutions_are_measured_beside_theory(probe):
    cnn = ("--set", "model={kind: cnn, depth: 6, stages: 2, width: 16}")
    code, out, _ = probe("tiny.yaml", "--json", "--seeds", "2", *cnn)
    assert code == 0
    for row in rows(out):
        assert abs(row["z"]) < 3
        assert row["theory_note"] == ""
        assert row["example_cosine_theory"] is None


def test_of_a_norm_that_declares_nothing_only_measurements_are_told(probe, monkeypatch):
    from normbench.norms import NORMS
    from normbench.norms.base import NormMethod

    class Halves(NormMethod):
        """Half of the input."""

        def norm(self, slot):
            return torch.nn.Threshold(-1e9, 0.0)

    monkeypatch.setitem(NORMS._items, "halves", Halves)
    code, out, _ = probe("tiny.yaml", "--json", "--set", "norms=[none, halves]", "--seeds", "1")
    assert code == 0
    own = {row["norm"]: row for row in rows(out)}["halves"]
    assert own["theory"] is own["ratio"] is own["z"] is own["example_cosine_theory"] is None
    assert "does not declare" in own["theory_note"]
    assert own["growth_per_layer"] > 0
    assert all(layer["effective_rate"] is None for layer in own["layers"])


def test_the_landscape_stands_at_four_points_of_training(probe):
    arguments = ("tiny.yaml", "--landscape", "--steps", "8", "--seeds", "1")
    code, out, _ = probe(*arguments, "--json")
    assert code == 0
    found = json.loads(out)["landscape"]
    assert [row["step"] for row in found] == 2 * [0, 2, 4, 8]
    for row in found:
        assert row["learning_rate"] == pytest.approx(0.1)
        assert row["loss_low"] <= row["loss"] <= row["loss_high"]
        assert row["loss_range"] == pytest.approx(row["loss_high"] - row["loss_low"])
        assert row["gradient_distance_low"] <= row["gradient_distance_high"]
        assert row["effective_smoothness"] > 0
        assert row["hessian_eigenvalue"] != 0
        assert row["noise_scale"] is None or row["noise_scale"] > 0
    _, out, _ = probe(*arguments)
    assert "the loss around the weights" in out
    assert "eigenvalue" in out


def test_the_landscape_stops_at_the_budget(probe):
    _, out, _ = probe("tiny.yaml", "--landscape", "--seeds", "1", "--json")
    assert [row["step"] for row in json.loads(out)["landscape"]] == 2 * [0, 3, 6, 12]


def test_the_table_is_readable_at_80_columns(probe):
    _, out, err = probe("tiny.yaml", "--landscape", "--steps", "4", "--seeds", "1")
    assert max(map(len, out.splitlines())) <= 80
    for word in ("growth", "theory", "ratio", "verdict", "rank", "1e4 in", "squared norm"):
        assert word in out
    assert "probing" in err


def test_quiet_says_nothing_beside_the_table(probe):
    _, out, err = probe("tiny.yaml", "-q")
    assert "batch" in out
    assert err == ""


def test_a_diverged_norm_stays_in_the_table(probe):
    changes = ("--set", "optimizer.lr=1e18", "--steps", "10")
    code, out, _ = probe("tiny.yaml", *changes, "--seeds", "1", "--json")
    assert code == 0
    last = {row["norm"]: row for row in rows(out) if row["step"] == 10}["none"]
    assert (last["verdict"], last["diverged"], last["layers"]) == ("diverged", 1, [])
    _, out, _ = probe("tiny.yaml", *changes, "--seeds", "1")
    assert "1/1" in out
    assert "diverged" in out


def test_csv_holds_plain_numbers(probe):
    _, out, _ = probe("tiny.yaml", "--format", "csv", "--seeds", "1")
    header, *lines = out.strip().splitlines()
    assert header.startswith("norm,step,growth_per_layer")
    assert [line.split(",")[0] for line in lines] == ["none", "batch"]
    assert "[" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--steps", "99"), ("budget is 12 steps", "training.steps=99")),
        (("--set", "data.batch_size=5000"), ("data.batch_size",)),
        (("--set", "model.dept=3"), ("depth",)),
        (("--seeds", "0"), ("--seeds",)),
        (("--theory", "--landscape"), ("--theory", "measures nothing")),
    ],
)
def test_a_mistake_ends_with_2_and_a_remedy(probe, arguments, words):
    code, out, err = probe("tiny.yaml", *arguments)
    assert code == 2
    assert out == ""
    assert all(word in err for word in words)


def test_the_seeds_are_those_of_the_config_and_those_that_follow(digits):
    import normbench as nb

    config = nb.load_config("digits", overrides=["norms=[none]", "seeds=[7, 5]"])
    three = nb.probe(config, seeds=3).table["growth_by_seed"][0]
    for seed, growth in zip((7, 5, 8), three, strict=True):
        alone = nb.load_config("digits", overrides=["norms=[none]", f"seeds=[{seed}]"])
        assert nb.probe(alone, seeds=1).table["growth_per_layer"][0] == pytest.approx(growth)


@pytest.mark.parametrize(("init", "growth"), [("he_normal", 1.0), ("xavier_normal", 0.5)])
def test_relu_without_a_norm_has_the_growth_of_its_init(digits, init, growth):
    import normbench as nb

    changes = ["norms=[none]", f"model.init={init}", "model.width=256", "model.depth=20"]
    found = nb.probe("digits", overrides=changes, seeds=4).table
    assert found["theory"][0] == pytest.approx(growth, rel=0.01)
    assert found["growth_per_layer"][0] == pytest.approx(growth, rel=0.05)
