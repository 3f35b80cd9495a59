"""What a norm layer costs at a given shape: time, memory, bytes and operations.

Times are medians of ``torch.utils.benchmark`` with their interquartile range. One process alone on
the machine, please: two at once share caches and memory bandwidth, and both measure too much.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from normbench.norms import NORMS, NormPolicy, NormSlot, make_method

Mode = Literal["eager", "compiled"]

# Operations of ATen that normalize in one kernel.
_FUSED = re.compile(r"(native|cudnn|miopen|mkldnn|_fused)_\w*norm|_native_batch_norm_legit")
# Views and bookkeeping: no kernel, no bytes.
_FREE = re.compile(r"empty|view|as_strided|permute|squeeze|aten::(t|to)$|transpose|detach|alias")


@dataclass(frozen=True)
class Time:
    """Median and interquartile range of one call, in seconds."""

    seconds: float
    iqr: float


@dataclass(frozen=True)
class CostRow:
    """One layer at one shape in one mode; numbers are None where ``skipped`` says why.

    forward, backward, both: times; backward alone runs on a graph that is kept, or compiled, where
    none can be kept, is both less forward. peak_bytes: the most memory that forward and backward
    together hold beyond x, the gradient g of the output and the parameters. least_bytes_forward:
    read x, write y, read the parameters; least_bytes_backward: read g and x, write dx, read the
    parameters and write their gradients.
    bandwidth: the least bytes of both over the time of both; copy_bandwidth: what a copy of a
    tensor of this shape reached in the same run, reading and writing. operations: floating point
    operations of the formula, per element of x only (the few per statistic are left out); None
    where the method has not declared which.
    """

    norm: str
    shape: tuple[int, ...]
    mode: Mode
    device: str
    threads: int
    dtype: str
    kernel: str | None = None
    forward: Time | None = None
    backward: Time | None = None
    both: Time | None = None
    peak_bytes: int | None = None
    least_bytes_forward: int | None = None
    least_bytes_backward: int | None = None
    bandwidth: float | None = None
    copy_bandwidth: float | None = None
    operations_forward: int | None = None
    operations_backward: int | None = None
    parameters: int | None = None
    skipped: str | None = None


@dataclass(frozen=True)
class _Candidate:
    """declared: whether the method says that it divides by statistics, and what it centres."""

    name: str
    make: Callable[[], nn.Module]
    normalizes: bool
    centered: bool
    declared: bool = True
    problem: str | None = None


def parse_shape(text: str) -> tuple[int, ...]:
    """``128x256`` -> (128, 256), ``128x64x16x16`` -> (128, 64, 16, 16).

    [N, F] or [N, C, H, W], every size 1 or more; raises ValueError with a sentence otherwise.
    """
    parts = text.strip().lower().split("x")
    if len(parts) not in (2, 4) or not all(re.fullmatch(r"[1-9]\d*", part) for part in parts):
        raise ValueError(
            f"{text!r} is no shape: write examples x features, as in 128x256, or "
            "examples x channels x height x width, as in 128x64x16x16"
        )
    return tuple(int(part) for part in parts)


def measure(
    shapes: Sequence[tuple[int, ...]],
    *,
    norms: Sequence[str] | None = None,
    policy: NormPolicy = NormPolicy(),
    modes: Sequence[Mode] = ("eager", "compiled"),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    threads: int = 1,
    min_run_seconds: float = 0.2,
) -> Iterator[CostRow]:
    """One row for each shape, norm and mode, as they are measured; layers in training mode.

    norms: names of ``NORMS``, all by default; PyTorch's own LayerNorm and RMSNorm stand beside
    them as ``torch.nn.LayerNorm`` and ``torch.nn.RMSNorm``. Each timing takes at least
    ``min_run_seconds``.
    """
    for shape in shapes:
        seconds = _time(
            "y.copy_(x)",
            {"x": (x := _draw(shape, device, dtype)), "y": x.clone()},
            threads,
            min_run_seconds,
        ).seconds
        copy = 2 * x.numel() * x.element_size() / seconds
        for candidate in _candidates(shape, norms, policy):
            for mode in modes:
                name = str(dtype).removeprefix("torch.")
                row = CostRow(candidate.name, shape, mode, device, threads, name)
                if candidate.problem is not None:
                    yield replace(row, skipped=candidate.problem)
                    continue
                row = replace(row, copy_bandwidth=copy)
                yield _measure(row, candidate, dtype, min_run_seconds)


def _candidates(
    shape: tuple[int, ...], norms: Sequence[str] | None, policy: NormPolicy
) -> list[_Candidate]:
    slot = NormSlot.of(*shape[1:])
    candidates = []
    for name in norms if norms is not None else NORMS.names():
        method = make_method(name, policy)
        problem = method.problem(slot, shape[0])
        make, normalizes = (
            partial(method.norm, slot),
            not (
                method.traits.statistics == "none"
                and method.traits.centered is False
                and method.traits.plain
            ),
        )
        name = NORMS.canonical(name)
        declared = (
            method.traits.statistics in ("batch", "example")
            and method.traits.centered is not None
            and method.traits.plain
        )
        centered = bool(method.traits.centered)
        candidates.append(_Candidate(name, make, normalizes, centered, declared, problem))
    inner, eps, affine = shape[1:], policy.eps, policy.affine
    for kind, centered in ((nn.LayerNorm, True), (nn.RMSNorm, False)):
        make = partial(kind, inner, eps, affine)  # type: ignore[assignment]
        candidates.append(_Candidate(f"torch.nn.{kind.__name__}", make, True, centered))
    return candidates


def _measure(
    row: CostRow, candidate: _Candidate, dtype: torch.dtype, min_run_seconds: float
) -> CostRow:
    eager = candidate.make().to(device=row.device, dtype=dtype).train()
    x = _draw(row.shape, row.device, dtype).requires_grad_()
    g = torch.ones_like(x)
    inputs = (x, *eager.parameters())
    layer: Callable[[Tensor], Tensor] = eager
    if row.mode == "compiled":
        torch.compiler.reset()
        layer = torch.compile(eager)
        try:
            torch.autograd.grad(layer(x), inputs, g)
        except Exception as error:  # a compiler can fail in any way, and that is a row
            return replace(row, skipped=_why_not_compiled(error))

    def grad(y: Tensor, retain_graph: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, inputs, g, retain_graph=retain_graph)

    names = {"layer": layer, "x": x, "grad": grad}
    size, parameters = x.numel() * x.element_size(), sum(p.numel() for p in eager.parameters())
    parameter_bytes = parameters * x.element_size()
    normalizes = candidate.normalizes
    forward_bytes = 2 * size + parameter_bytes if normalizes else 0
    backward_bytes = 3 * size + 2 * parameter_bytes if normalizes else 0
    both = _time("grad(layer(x))", names, row.threads, min_run_seconds)
    forward = _time("layer(x)", names, row.threads, min_run_seconds)
    if row.mode == "compiled":
        backward = Time(max(both.seconds - forward.seconds, 0.0), both.iqr + forward.iqr)
    else:
        names["y"] = layer(x)
        backward = _time("grad(y, True)", names, row.threads, min_run_seconds)
    operations = _operations(candidate, parameters > 0)
    return replace(
        row,
        kernel=_kernel(row, candidate, layer, x),
        forward=forward,
        backward=backward,
        both=both,
        peak_bytes=_peak_bytes(lambda: grad(layer(x)), row.device),
        least_bytes_forward=forward_bytes,
        least_bytes_backward=backward_bytes,
        bandwidth=(forward_bytes + backward_bytes) / both.seconds if normalizes else None,
        operations_forward=operations[0] * x.numel() if operations else None,
        operations_backward=operations[1] * x.numel() if operations else None,
        parameters=parameters,
    )


def _operations(candidate: _Candidate, affine: bool) -> tuple[int, int] | None:
    """Floating point operations per element, forward and backward, each done once.

    Forward: square, sum, times 1/rms; centring adds a sum and a subtraction; the affine a product
    and, with a shift, a sum. Backward, with x^ the normalized x and h = g * gamma: h * x^ and its
    sum, x^ times that, subtract, times 1/rms (5; without a gamma x serves for x^). The affine adds
    h, g * x^ and its sum, and x^ = x/rms anew. Centring adds the subtraction in x^, the sum of h
    and its subtraction, the sum of g for the shift or, without an affine, x^ anew.
    None where the method has not declared what it does, or does none of this.
    """
    if not candidate.normalizes:
        return 0, 0
    if not candidate.declared:
        return None
    if candidate.centered:
        return (7, 13) if affine else (5, 9)
    return (4, 9) if affine else (3, 5)


def _time(statement: str, names: dict[str, object], threads: int, seconds: float) -> Time:
    timer = Timer(statement, globals=names, num_threads=threads)
    measured = timer.blocked_autorange(min_run_time=seconds)
    return Time(measured.median, measured.iqr)


def _draw(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> Tensor:
    """Values without a random number: a sine, of mean near 0 and square near a half."""
    count = math.prod(shape)
    return torch.sin(torch.arange(count, dtype=torch.float64)).reshape(shape).to(device, dtype)


def _kernel(
    row: CostRow, candidate: _Candidate, layer: Callable[[Tensor], Tensor], x: Tensor
) -> str:
    if row.mode == "compiled":
        return "inductor"
    with _profile() as profiled:
        layer(x)
    events = [event for event in profiled.events() if _works(event.name)]
    # On a CPU PyTorch's fused RMS norm exists by name only: it takes the root by a separate call.
    fused = [
        e.name
        for e in events
        if _FUSED.search(e.name) and not any("sqrt" in child.name for child in e.cpu_children)
    ]
    if fused:
        return f"{fused[-1]}, fused"
    leaves = [e for e in events if not any(_works(child.name) for child in e.cpu_children)]
    if not leaves:
        return "no operation"
    owner = "" if candidate.name.startswith("torch.") else "hand-derived gradient, "
    own = owner if candidate.name == "rms" and row.device == "cpu" else ""
    return f"{own}{len(leaves)} operations: PyTorch has no fused {row.device} kernel"


def _works(name: str) -> bool:
    return name.startswith("aten::") and not _FREE.search(name)


def _peak_bytes(call: Callable[[], object], device: str) -> int:
    """On CUDA the allocator's own peak; on a CPU from the profiler's record of every allocation."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _profile() as profiled:
        result = call()
    del result
    with tempfile.TemporaryDirectory() as folder:
        # The trace is the one public place with each allocation and release at its own time.
        path = os.path.join(folder, "trace.json")
        profiled.export_chrome_trace(path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    held = peak = 0
    for event in sorted(changes, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def _profile() -> profile:
    # The profiler's library writes two lines to stderr a use, unless told so before its first.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    return profile(activities=[ProfilerActivity.CPU], profile_memory=True)


def _why_not_compiled(error: Exception) -> str:
    text = f"{type(error).__name__} {error}"
    if "CppCompiler" in text or "CxxCompiler" in text or "compiler" in text.lower():
        return "not compiled: no working C++ compiler"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"not compiled: {type(error).__name__} {first}".strip()
