"""scikit-learn's handwritten digits: small, real, and there without a download."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Dataset, Images, Source
from scratchcard.data.choose import choose
from scratchcard.registry import dataset


@dataset("digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """Handwritten digits of scikit-learn: 1,797 grey images of 8x8 pixels in ten classes.

    Pixels 0 to 16 are scaled to 0 to 255. The set comes unsplit; test and validation are drawn by
    ``split_seed``, every class by its share.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository (its test part), as shipped in ``sklearn.datasets.load_digits``.
    Limits: the same writers are in train and test, and 900 test images tell accuracies apart only
    from about one point on. A set for demonstrations and tests.

    Attributes:
        val_images: As for every data set; here 150 unless said otherwise.
        test_share: Share of the images that is the test split.
    """

    val_images: int = 150
    test_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.test_share < 1:
            raise UserError(f"test_share = {self.test_share} is not between 0 and 1, such as 0.5")

    def files(self) -> Mapping[str, Path]:
        """The file inside scikit-learn, found without importing it."""
        spec = importlib.util.find_spec("sklearn")
        assert spec is not None, "scikit-learn is a dependency"
        assert spec.origin is not None
        return {"digits.csv.gz": Path(spec.origin).parent / "datasets/data/digits.csv.gz"}

    def source_task(self) -> Task:
        """1x8x8 images in 10 classes."""
        return Task(1, 8, 8, 10)

    def load(self) -> Source:
        """All images, split into train and test."""
        import torch
        from sklearn.datasets import load_digits

        bunch = load_digits()
        pixels = np.rint(bunch.images[:, None] * (255 / 16)).astype(np.uint8)
        images = Images(torch.from_numpy(pixels), torch.from_numpy(bunch.target.astype(np.int64)))
        rng = seeds.numpy_stream(self.split_seed, "split", "digits")
        test = choose(bunch.target, round(self.test_share * len(images)), rng, even=False)
        train = np.setdiff1d(np.arange(len(images)), test)
        return Source(
            images.take(train), images.take(test), None, tuple(str(digit) for digit in range(10))
        )
