"""What a process computes under: threads, kernels, precision.

Training, ``probe`` and ``estimate`` all take it from here, so that what is looked at is what is
trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from normbench.config import RuntimeConfig


def compute_on(runtime: RuntimeConfig) -> None:
    """Set this process up so that the same run gives the same bits.

    On CUDA: kernels without atomics, and fp32 that is fp32; TF32, cuDNN's default, keeps 10 bits
    of the mantissa.
    """
    torch.set_num_threads(runtime.threads)
    if runtime.device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")


@contextmanager
def kept() -> Iterator[None]:
    """What ``compute_on`` sets within this context is as it was after it: a caller's own process.

    The environment variable stays: cuBLAS reads it once.
    """
    cudnn = torch.backends.cudnn
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    flags = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = flags
