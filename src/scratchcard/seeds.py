"""Independent streams of random numbers from a seed and a purpose.

A stream depends on nothing else, so runs resume, rewind and move between workers unchanged.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for ``purpose``.

    >>> derive(0, "init") != derive(0, "order", 1) != derive(1, "init")
    True
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator of torch; draws are moved to a GPU afterwards, so both see the same."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))


def numpy_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of numpy."""
    return np.random.default_rng(derive(seed, *purpose))
