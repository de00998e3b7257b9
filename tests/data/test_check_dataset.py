"""The conformance suite for data sets finds what it should."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from scratchcard.contracts import Task
from scratchcard.data import Dataset, Images, Source, Splits
from scratchcard.registry import DATASETS
from scratchcard.testing import check_dataset


def random_images(n: int, seed: int | None = None) -> Images:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(n) % 2)


@dataclass(frozen=True, kw_only=True)
class Toy(Dataset):
    """A sound data set whose parts the tests spoil."""

    source: Callable[[], Source] = lambda: Source(
        random_images(20, 0), random_images(10, 1), None, ("a", "b")
    )

    def source_task(self) -> Task:
        return Task(1, 4, 4, 2)

    def load(self) -> Source:
        return self.source()


class WrongShape(Toy):
    def source_task(self) -> Task:
        return Task(3, 4, 4, 2)


class WrongClasses(Toy):
    def source_task(self) -> Task:
        return Task(1, 4, 4, 5)


class Unfitted(Toy):
    def as_ood(self, task: Task, source: Splits) -> Images:
        return source.test


def flaky() -> Source:
    return Source(random_images(20), random_images(10, 1), None, ("a", "b"))


def leaking() -> Source:
    images = random_images(20, 0)
    return Source(images, images, None, ("a", "b"))


def test_every_option_is_explained() -> None:
    common = DATASETS.get("held-out").parameters
    assert all(f"{option}:" in (Dataset.__doc__ or "") for option in common)
    for name in DATASETS.names():
        spec = DATASETS.get(name)
        assert all(f"{option}:" in spec.doc for option in spec.parameters.keys() - common.keys())
        assert "Source:" in spec.doc
        assert "Limits:" in spec.doc


def test_a_sound_one_passes() -> None:
    check_dataset(Toy(val_images=4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WrongShape(), "train has images of shape"),
        (WrongClasses(), "task.. says 5 classes, splits.. has 2"),
        (Unfitted(), "as_ood.. gives images of shape"),
        (Toy(source=flaky), "train differs between two calls"),
        (Toy(source=leaking), "100% of the images of test are in train too"),
    ],
)
def test_an_unsound_one_is_told_why(data: Dataset, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_dataset(data)
