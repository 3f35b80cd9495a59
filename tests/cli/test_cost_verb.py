"""``normbench cost`` as a user meets it."""

import json
import sys
from dataclasses import fields
from functools import partial

import pytest

import normbench.measure.layer_cost
from normbench.cli import main
from normbench.measure.layer_cost import CostRow, measure
from normbench.norms import NORMS

PYTORCH = ["torch.nn.LayerNorm", "torch.nn.RMSNorm"]


@pytest.fixture
def cost(monkeypatch, capsys):
    """Runs the verb with short timings: (exit code, stdout, stderr)."""
    monkeypatch.setattr(
        normbench.measure.layer_cost, "measure", partial(measure, min_run_seconds=0.001)
    )

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["normbench", "cost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_json_holds_every_field_of_every_row(cost):
    shapes = ("--shape", "16x32", "--shape", "4x8x6x6")
    code, out, err = cost(*shapes, "--no-compile", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["schema"] == 1
    both = [*NORMS.names(), *PYTORCH]
    expected = [(shape, norm) for shape in ("16x32", "4x8x6x6") for norm in both]
    assert [(row["shape"], row["norm"]) for row in found["cost"]] == expected
    times = {"forward", "backward", "both"}
    for row in found["cost"]:
        assert {field.name for field in fields(CostRow)} - times <= row.keys()
        if row["skipped"]:
            assert row["both_seconds"] is None
            continue
        assert all(row[f"{time}_seconds"] > 0 and row[f"{time}_iqr"] >= 0 for time in times)
        assert isinstance(row["parameters"], int)
        if row["norm"] != "none":
            assert row["of_copy"] == pytest.approx(row["bandwidth"] / row["copy_bandwidth"])
    assert "16x32 instance, eager: skipped" in err


def test_the_tables_are_readable_at_80_columns_and_say_what_is_lacking(cost):
    code, out, _ = cost("--shape", "16x32", "--no-compile", "-q")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "16x32, float32, cpu, 1 thread" in text
    assert "instance: instance norm takes its statistics over the positions" in text
    assert "torch.nn.RMSNorm: 10 operations: PyTorch has no fused cpu kernel" in text


def test_compiled_times_stand_beside_the_eager_ones(cost, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "compile", lambda layer: layer)
    _, out, err = cost("--shape", "16x32", "--norm", "layer")
    assert "compiled" in out.splitlines()[2]
    assert "16x32 layer, compiled: both" in err


def test_without_a_compiler_the_table_says_so(cost, monkeypatch):
    import torch

    def broken(layer):
        def call(x):
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    code, out, _ = cost("--shape", "16x32", "--norm", "layer")
    assert code == 0
    reason = "torch.nn.LayerNorm, torch.nn.RMSNorm: not compiled: no working C++ compiler"
    assert reason in " ".join(out.split())


def test_nothing_is_measured_twice(cost):
    names = ("--norm", "bn", "--norm", "batch")
    _, out, _ = cost("--shape", "16x32", "--shape", "16X32", *names, "--no-compile", "--json")
    assert [row["norm"] for row in json.loads(out)["cost"]] == ["batch", *PYTORCH]


def test_bf16_is_measured(cost):
    _, out, _ = cost(
        "--shape", "16x32", "--norm", "rms", "--dtype", "bf16", "--no-compile", "--json"
    )
    assert {row["dtype"] for row in json.loads(out)["cost"]} == {"bfloat16"}


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_other_forms_are_printed(cost, form):
    code, out, _ = cost(
        "--shape", "16x32", "--norm", "layer", "--no-compile", "-q", "--format", form
    )
    assert code == 0
    assert "torch.nn.RMSNorm" in out


def test_all_mistakes_are_told_at_once_with_their_remedies(cost):
    code, out, err = cost("--shape", "12", "--norm", "batsh", "--device", "toaster")
    assert code == 2
    assert out == ""
    assert "128x256" in err
    assert "did you mean 'batch'?" in err
    assert "'toaster'" in err
