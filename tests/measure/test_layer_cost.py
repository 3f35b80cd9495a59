"""Cost rows: what is counted, named and left out."""

import math

import pytest
import torch

from normbench.measure.layer_cost import CostRow, measure, parse_shape
from normbench.norms import NORMS, NormMethod, NormPolicy, NormSlot, make_method
from normbench.report.cost import sections

FEATURES, IMAGES = (16, 32), (4, 8, 6, 6)


def rows(shape: tuple[int, ...], **more) -> dict[str, CostRow]:
    found = measure([shape], modes=["eager"], min_run_seconds=0.001, **more)
    return {row.norm: row for row in found}


@pytest.fixture(scope="module")
def features() -> dict[str, CostRow]:
    return rows(FEATURES)


@pytest.fixture(scope="module")
def images() -> dict[str, CostRow]:
    return rows(IMAGES)


@pytest.mark.parametrize(
    ("text", "shape"),
    [("128x256", (128, 256)), (" 2X3x4x5 ", (2, 3, 4, 5)), ("1x1", (1, 1))],
)
def test_a_shape_is_read(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["", "128", "128x", "0x3", "1x2x3", "-1x2", "axb", "1x2x3x4x5"])
def test_what_is_no_shape_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="128x256"):
        parse_shape(text)


def test_every_norm_and_both_of_pytorch_have_a_row(features, images):
    wanted = {*NORMS, "torch.nn.LayerNorm", "torch.nn.RMSNorm"}
    assert set(features) == set(images) == wanted


def test_a_norm_that_makes_no_sense_at_a_shape_says_why(features, images):
    assert "positions of an image" in features["instance"].skipped
    assert features["instance"].both is None
    for norm in NORMS:
        assert images[norm].skipped == make_method(norm).problem(NormSlot.of(8, 6, 6), 4)


def test_times_are_positive_and_both_parts_are_there(features):
    for row in features.values():
        if row.skipped is None:
            assert row.forward.seconds > 0
            assert row.backward.seconds > 0
            assert row.both.seconds > 0
            assert row.both.iqr >= 0


def test_the_least_bytes_are_those_of_the_tensors_that_must_move(features):
    size = 4 * math.prod(FEATURES)
    layer, rms, none = features["layer"], features["rms"], features["none"]
    assert layer.parameters == 64
    assert rms.parameters == 32
    assert layer.least_bytes_forward == 2 * size + 4 * 64
    assert layer.least_bytes_backward == 3 * size + 2 * 4 * 64
    moved = layer.least_bytes_forward + layer.least_bytes_backward
    assert layer.bandwidth == pytest.approx(moved / layer.both.seconds)
    assert layer.copy_bandwidth > 0
    assert (none.least_bytes_forward, none.least_bytes_backward, none.bandwidth) == (0, 0, None)


def test_rms_norm_needs_fewer_operations_than_layer_norm(features):
    layer, rms = features["layer"], features["rms"]
    assert layer.operations_forward == 7 * math.prod(FEATURES)
    assert rms.operations_forward == 4 * math.prod(FEATURES)
    assert rms.operations_backward < layer.operations_backward
    assert features["torch.nn.RMSNorm"].operations_forward == rms.operations_forward
    assert features["none"].operations_forward == 0


def test_without_an_affine_there_are_fewer_operations_and_no_parameters(features):
    bare = rows(FEATURES, norms=["layer"], policy=NormPolicy(affine=False))["layer"]
    assert bare.parameters == 0
    assert bare.operations_backward < features["layer"].operations_backward


def test_peak_memory_holds_the_output_and_the_input_gradient(features):
    size = 4 * math.prod(FEATURES)
    assert 2 * size <= features["batch"].peak_bytes  # its kernel takes a workspace as well
    for name in ("layer", "rms"):
        assert 2 * size <= features[name].peak_bytes < 2.5 * size
    assert features["torch.nn.RMSNorm"].peak_bytes > features["rms"].peak_bytes
    assert features["none"].peak_bytes < size


def test_the_kernel_device_and_threads_are_named(features, images):
    assert features["layer"].kernel == "aten::native_layer_norm, fused"
    assert "batch_norm, fused" in features["batch"].kernel
    assert "group_norm, fused" in images["layer"].kernel
    assert "no fused cpu kernel" in features["rms"].kernel
    assert "no fused cpu kernel" in features["torch.nn.RMSNorm"].kernel
    assert (features["rms"].device, features["rms"].threads) == ("cpu", 1)


def test_measuring_leaves_the_number_of_threads_alone():
    before = torch.get_num_threads()
    rows(FEATURES, norms=["layer"], threads=1)
    assert torch.get_num_threads() == before


def test_without_a_compiler_the_compiled_row_says_so(monkeypatch):
    def broken(module):
        def call(x):
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    (row, *_) = measure([FEATURES], norms=["layer"], modes=["compiled"], min_run_seconds=0.001)
    assert row.skipped == "not compiled: no working C++ compiler"


@pytest.mark.slow
def test_compiled_rms_norm_is_no_slower_than_compiled_layer_norm():
    found = measure([(128, 256)], norms=["layer", "rms"], modes=["compiled"], min_run_seconds=0.3)
    compiled = {row.norm: row for row in found}
    if compiled["rms"].skipped:
        pytest.skip(compiled["rms"].skipped)
    assert compiled["rms"].kernel == "inductor"
    assert compiled["rms"].both.seconds <= 1.1 * compiled["layer"].both.seconds


@pytest.mark.slow
def test_eager_rms_norm_takes_at_most_2_2_times_layer_norm():
    found = measure([(128, 256)], norms=["layer", "rms"], modes=["eager"], min_run_seconds=0.5)
    eager = {row.norm: row for row in found}
    assert eager["rms"].both.seconds <= 2.2 * eager["torch.nn.LayerNorm"].both.seconds
    assert eager["rms"].both.seconds < eager["torch.nn.RMSNorm"].both.seconds


def test_of_a_norm_that_declares_nothing_no_operations_are_told(monkeypatch):
    class Undeclared(NormMethod):
        def norm(self, slot):
            return torch.nn.Tanh()

    monkeypatch.setitem(NORMS._items, "undeclared", Undeclared)
    rows = measure([(8, 4)], norms=["undeclared"], modes=["eager"], min_run_seconds=1e-4)
    row = next(iter(rows))
    assert row.norm == "undeclared"
    assert row.operations_forward is row.operations_backward is None
    assert row.both.seconds > 0
    (section,) = sections([row])
    assert {c.heading: c.text(section.rows.iloc[0]) for c in section.columns}["operations"] == "–"
