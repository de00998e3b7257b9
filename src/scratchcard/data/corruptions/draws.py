"""Random numbers for whole batches, each image's from its own key: (seed, kind, image index).

A counter-based generator: no state, so neither the batch nor the order of the images matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scratchcard import seeds

if TYPE_CHECKING:
    import torch

# SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014),
# its unsigned constants written as int64.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
HALF = 2**24
"""One 64-bit word gives two numbers of 24 bits, all that a float32 in [0, 1) holds."""


@dataclass(frozen=True)
class Draws:
    """Random numbers for B images.

    Word j of part p is SplitMix64's output number 2^40 p + j for the image's key: uniform and
    independent over images, parts and positions for all that a corruption can notice. Two of a
    million images share a stretch of the sequence with a probability below 1e-4.

    Attributes:
        keys: One for each image, int64 [B]; numbers are drawn on their device.
    """

    keys: torch.Tensor

    @classmethod
    def of(cls, kind: str, seed: int, index: torch.Tensor) -> Draws:
        """Keys from the purpose, the seed and the numbers of the images, int64 [B]."""
        return cls(_mix(_mix(index * GOLDEN) ^ seeds.derive(seed, "corruption", kind)))

    def __getitem__(self, rows: slice) -> Draws:
        """The draws of some of the images."""
        return Draws(self.keys[rows])

    def words(self, n: int, part: int = 0) -> torch.Tensor:
        """Words of 64 random bits, int64 [B, n]."""
        import torch

        count = torch.arange(1, n + 1, device=self.keys.device) + (part << 40)
        return _mix(self.keys[:, None] + count * GOLDEN)

    def uniform(self, *shape: int, part: int = 0) -> torch.Tensor:
        """Uniform on [0, 1), in steps of 2^-24: float32 [B, ...]."""
        import torch

        n = math.prod(shape)
        halves = torch.cat(self._halves(n, part), 1)[:, :n]
        return halves.mul_(1 / HALF).view(-1, *shape)

    def normal(self, *shape: int, part: int = 0) -> torch.Tensor:
        """Standard normal by Box and Muller, beyond 5.8 never: float32 [B, ...]."""
        import torch

        n = math.prod(shape)
        one, other = self._halves(n, part)
        # Half a step up, so that no logarithm is of zero.
        radius = one.add_(0.5).mul_(1 / HALF).log_().mul_(-2).sqrt_()
        angle = other.mul_(2 * math.pi / HALF)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :n].reshape(-1, *shape)

    def integers(self, low: int, high: int, *shape: int, part: int = 0) -> torch.Tensor:
        """Uniform on low, ..., high - 1 for ranges far below 2^24: int64 [B, ...]."""
        import torch

        scaled = self.uniform(*shape, part=part).mul_(high - low).to(torch.int64)
        return scaled.clamp_(max=high - low - 1).add_(low)  # float32 may round up to the end

    def _halves(self, n: int, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole numbers below 2^24 as float32, twice [B, n / 2 rounded up]."""
        words = self.words((n + 1) // 2, part)
        return (words >> 40 & HALF - 1).float(), (words >> 16 & HALF - 1).float()


def _mix(z: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finalizer of int64, in place; the masks make the shifts logical."""
    z ^= z >> 30 & 2**34 - 1
    z *= FIRST
    z ^= z >> 27 & 2**37 - 1
    z *= SECOND
    z ^= z >> 31 & 2**33 - 1
    return z
