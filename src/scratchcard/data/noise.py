"""Noise as out-of-distribution images: far from everything, and drawn by seed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Images, OutOfDistribution, Splits
from scratchcard.registry import dataset


@dataclass(frozen=True, kw_only=True)
class Noise(OutOfDistribution):
    """Independent pixels; a kind of noise says how they are drawn."""

    images: int = 1000
    purpose: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images < 1:
            raise UserError(f"images = {self.images}, but at least one is needed")

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Pixels uint8 of ``shape``."""

    def foreign(self, task: Task, source: Splits) -> Images:
        """Noise of the task's shape; every label is 0."""
        import torch

        rng = seeds.numpy_stream(self.split_seed, self.purpose)
        pixels = self.draw(rng, (self.images, task.channels, task.height, task.width))
        return Images(torch.from_numpy(pixels), torch.zeros(self.images, dtype=torch.int64))


@dataset("gaussian-noise")
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(Noise):
    """Gaussian noise, only as an out-of-distribution set.

    Every pixel of every channel is clip(N(0, 0.5²), -1, 1) / 2 + 1/2, rounded to 8 bits.

    Source: the noise set of "Can You Win Everything with A Lottery Ticket?" (Chen et al., TMLR
    2022), there 10,000 images without a seed.
    Limits: easily told from photographs; a good score on it says little about nearer sets.

    Attributes:
        images: How many.
    """

    purpose: ClassVar[str] = "gaussian-noise"

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Clipped normal pixels."""
        values = np.clip(rng.normal(0, 0.5, shape), -1, 1) / 2 + 0.5
        return np.rint(values * 255).astype(np.uint8)


@dataset("uniform-noise")
@dataclass(frozen=True, kw_only=True)
class UniformNoise(Noise):
    """Uniform noise, only as an out-of-distribution set.

    Every pixel of every channel is uniform on 0 to 255.

    Source: a common far set, as in Hendrycks and Gimpel, A Baseline for Detecting Misclassified
    and Out-of-Distribution Examples, ICLR 2017.
    Limits: easily told from photographs; a good score on it says little about nearer sets.

    Attributes:
        images: How many.
    """

    purpose: ClassVar[str] = "uniform-noise"

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform pixels."""
        return rng.integers(0, 256, shape, dtype=np.uint8)
