"""Random numbers by name. There is no global seed and no generator state to save.

Every draw asks for the stream that carries its own name, so one consumer more or less (a norm
layer, a probe) cannot shift anyone else's numbers, and resuming at step k needs only k.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """The generator of the stream ``name`` under ``seed``: a pure function of both.

    The key is the first 128 bits of SHA-256 over the seed and the name's parts with their types,
    so ``("a", 1)``, ``("a", "1")`` and ``("a1",)`` are three different streams.
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in name)])
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))
