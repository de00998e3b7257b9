"""Sets whose networks are judged on the classes that both have, as ImageNet-O's are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, Source
from scratchcard.data.folder import Folder
from scratchcard.data.held_out import HeldOut
from scratchcard.data.noise import UniformNoise


@dataclass(frozen=True, kw_only=True)
class Named(Dataset):
    """Two grey images of every class."""

    names: tuple[str, ...] = ("ant", "bee", "cat", "dog", "eel")

    def source_task(self) -> Task:
        return Task(1, 4, 4, len(self.names))

    def load(self) -> Source:
        labels = torch.arange(2 * len(self.names)) % len(self.names)
        pixels = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
        return Source(Images(pixels, labels), Images(pixels, labels), None, self.names)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        for image in range(2):
            picture = Image.fromarray(np.full((4, 4), 60 * image, np.uint8))
            picture.save(root / name / f"{image}.png")
    return root


def test_folders_are_looked_up_by_their_names(tmp_path: Path) -> None:
    root = folder(tmp_path / "o", "n03", "n01")
    foreign = Folder(train=root, test=root, size=4, channels=1, own_classes=True)
    source = Folder(train=folder(tmp_path / "all", "n00", "n01", "n02", "n03"), size=4, channels=1)
    splits = source.splits()
    assert foreign.told_from(splits) == (1, 3)
    assert len(foreign.as_ood(source.task(), splits)) == 4


def test_without_the_option_it_is_told_from_all() -> None:
    assert Named().told_from(Named().splits()) is None
    assert UniformNoise().told_from(Named().splits()) is None


def test_numbers_are_those_of_the_networks_classes() -> None:
    foreign = Named(names=("eel", "bee"), own_classes=True)
    assert foreign.told_from(Named().splits()) == (1, 4)
    # The source's classes are renumbered once some are held out.
    assert foreign.told_from(Named(held_out=(0, 2)).splits()) == (0, 2)


def test_held_out_classes_of_the_foreign_set_do_not_count() -> None:
    foreign = Named(names=("yak", "bee", "dog"), held_out=(0,), own_classes=True)
    assert foreign.told_from(Named().splits()) == (1, 3)


@pytest.mark.parametrize(
    ("names", "source", "message"),
    [
        (
            ("yak", "bee", "asp"),
            Named(),
            r'no class of the name "yak", "asp" \(2 of 3 names\)',
        ),
        (("bee", "dog"), Named(held_out=(3,)), r'no class of the name "dog" \(1 of 2 names\)'),
        (("Bee", "dog"), Named(), '"Bee"'),
        (
            tuple(f"n{k}" for k in range(7)),
            Named(),
            r'"n0", "n1", "n2", "n3", "n4", ... \(7 of 7 names\)',
        ),
        # ImageNet has two cranes and two maillots.
        (
            ("crane", "bee"),
            Named(names=("crane", "bee", "crane")),
            r'several classes of the name "crane" \(1 of 2 names\)',
        ),
    ],
)
def test_names_that_do_not_match_are_named(
    names: tuple[str, ...], source: Named, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Named(names=names, own_classes=True).told_from(source.splits())


@pytest.mark.parametrize(
    "act",
    [
        lambda: Named(own_classes=True).task(),
        lambda: Named(own_classes=True).splits(),
    ],
)
def test_such_a_set_is_not_trained_on(act: Callable[[], object]) -> None:
    with pytest.raises(UserError, match="own_classes = true is for out-of-distribution sets"):
        act()


@pytest.mark.parametrize("kind", [UniformNoise, HeldOut])
def test_kinds_without_classes_refuse_it(kind: type[UniformNoise] | type[HeldOut]) -> None:
    with pytest.raises(UserError, match="own_classes means nothing"):
        kind(own_classes=True)
