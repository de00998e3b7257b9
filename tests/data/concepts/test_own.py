"""Concepts of the images themselves: against pictures drawn to have them, and by brute force."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from scratchcard.contracts import Task, UserError
from scratchcard.data import Images, Splits
from scratchcard.data.concepts import own
from scratchcard.data.concepts.own import Own, own_concepts
from scratchcard.data.concepts.superclasses import CIFAR10, CIFAR100, known
from scratchcard.data.concepts.textures import NAMES, SHARES

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def random(n: int, channels: int, height: int, width: int, classes: int = 10) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8)
    labels = torch.from_numpy(np.arange(n) % classes)
    return Images(torch.from_numpy(pixels), labels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (32, 32), (128, 128), (24, 40)])
def test_every_size_grey_and_rgb(channels: int, height: int, width: int) -> None:
    concepts = own_concepts(random(12, channels, height, width), CIFAR)
    area = dict(zip(concepts.names, concepts.areas(), strict=True))
    assert concepts.size == (min(height, 112), min(width, 112))
    assert len(concepts.names) == (11 if channels == 3 else 3) + 11 + 5 + 10 + 7
    tones = [k for k, c in enumerate(concepts.categories) if c in ("colour", "brightness")]
    assert (np.sum([concepts.mask(k) for k in tones], axis=0) == 1).all()  # one of each pixel
    for name, share in zip(NAMES, SHARES, strict=True):
        if "edges" not in name and "stripes" not in name:
            assert area[name] == pytest.approx(share, abs=0.002 + 2 / (12 * height * width))
        assert area[name] <= share + 0.03


def test_masks_of_large_images_have_112_pixels() -> None:
    assert own_concepts(random(2, 1, 150, 300)).size == (56, 112)
    small = np.full((1, 3, 112, 112), 128, dtype=np.uint8)
    small[0, :, 20:60, 30:90] = np.array([230, 20, 20])[:, None, None]
    small[0, :, 70:100, 10:100] = 255
    large = small.repeat(2, axis=2).repeat(2, axis=3)
    one, other = (
        own_concepts(Images(torch.from_numpy(pixels), torch.zeros(1).long()))
        for pixels in (small, large)
    )
    assert other.size == (112, 112)
    for name, away in (("red", 1), ("white", 1), ("grey", 1), ("smooth", 4), ("top", 0)):
        masks = [each.mask(each.names.index(name))[0] for each in (one, other)]
        edge = binary_dilation(masks[0], iterations=away) & ~binary_erosion(
            masks[0], iterations=away, border_value=1
        )
        assert 0.05 < masks[0].mean() < 0.95, name
        assert not ((masks[0] ^ masks[1]) & (edge == 0)).any(), name


def test_positions_by_brute_force() -> None:
    for height, width in ((8, 8), (28, 28), (24, 40), (3, 5)):
        found = own.positions(height, width)
        for y in range(height):
            for x in range(width):
                expected = [
                    3 * (y + 0.5) < height,
                    3 * (y + 0.5) > 2 * height,
                    3 * (x + 0.5) < width,
                    3 * (x + 0.5) > 2 * width,
                    height < 4 * (y + 0.5) < 3 * height and width < 4 * (x + 0.5) < 3 * width,
                ]
                assert found[:, y, x].tolist() == expected


def test_a_drawn_picture_has_what_is_drawn() -> None:
    picture = np.full((1, 3, 64, 64), 128, dtype=np.uint8)
    picture[0, :, 8:24, 8:24] = np.array([230, 20, 20])[:, None, None]
    picture[0, :, 32:60, 32:60:4] = 255
    picture[0, :, 32:60, 33:60:4] = 255
    concepts = own_concepts(Images(torch.from_numpy(picture), torch.zeros(1).long()))
    mask = {name: concepts.mask(k)[0] for k, name in enumerate(concepts.names)}
    red = np.zeros((64, 64), dtype=bool)
    red[8:24, 8:24] = True
    assert (mask["red"] == red).all()
    assert (mask["white"] == (picture[0, 0] == 255)).all()
    striped = mask["vertical stripes"]
    assert striped[32:60, 32:60].sum() > 0.9 * striped.sum() > 0
    assert not (mask["smooth"] & (striped | mask["horizontal edges"])).any()
    assert mask["smooth"][:2, 40:].all()  # the tie of all that is flat


def test_a_flat_picture_is_smooth_and_nothing_else() -> None:
    flat = Images(torch.full((3, 1, 8, 8), 40, dtype=torch.uint8), torch.zeros(3).long())
    concepts = own_concepts(flat)
    area = dict(zip(concepts.names, concepts.areas(), strict=True))
    assert area["smooth"] == area["dark"] == 1
    assert not any(area[name] for name in (*NAMES[1:], "medium", "bright"))


def test_classes_and_superclasses_are_whole_images() -> None:
    images = random(20, 3, 8, 8)
    concepts = own_concepts(images, CIFAR)
    labels = images.labels.numpy()
    for k, (name, category) in enumerate(zip(concepts.names, concepts.categories, strict=True)):
        if category in ("class", "superclass"):
            members = CIFAR10[name] if category == "superclass" else (name,)
            expected = np.isin(labels, [CIFAR.index(member) for member in members])
            assert (concepts.mask(k) == expected[:, None, None]).all(), name


def test_own_superclasses_take_the_place_of_the_known() -> None:
    concepts = own_concepts(random(4, 3, 8, 8), CIFAR, {"swims": ["frog", "ship"]})
    assert [n for n, c in zip(concepts.names, concepts.categories, strict=True)
            if c == "superclass"] == ["swims"]  # fmt: skip
    assert not {"class", "superclass"} & set(own_concepts(random(4, 3, 8, 8)).categories)


def test_a_class_called_like_a_colour() -> None:
    concepts = own_concepts(random(4, 3, 8, 8, classes=2), ("apple", "orange"))
    assert {"orange (colour)", "orange (class)", "apple"} < set(concepts.names)


def test_known_superclasses() -> None:
    fine = [name for group in CIFAR100.values() for name in group]
    assert len(CIFAR100) == 20
    assert len(set(fine)) == len(fine) == 100
    assert all(len(group) == 5 for group in CIFAR100.values())
    assert known(fine) == dict(CIFAR100)
    assert known(CIFAR) == dict(CIFAR10)
    assert sorted(CIFAR10["animal"] + CIFAR10["vehicle"]) == sorted(CIFAR)
    assert known(["Aquarium fish", "shark", "lion"]) == {"fish": ("Aquarium fish", "shark")}
    assert known(["0", "1"]) == known([]) == {}


def test_floats_and_batches_give_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random(9, 3, 16, 16)
    whole = own_concepts(images, CIFAR).packed
    assert (own_concepts(Images(images.floats(), images.labels), CIFAR).packed == whole).all()
    monkeypatch.setattr(own, "BATCH_PIXELS", 600)
    assert (own_concepts(images, CIFAR).packed == whole).all()


def test_order_of_images_does_not_matter() -> None:
    images, order = random(9, 3, 16, 16), np.random.default_rng(0).permutation(9)
    one, other = own_concepts(images, CIFAR), own_concepts(images.take(order), CIFAR)
    assert (one.packed[:, order] == other.packed).all()


def test_mistakes() -> None:
    with pytest.raises(UserError, match='class "newt", which the data set has not'):
        own_concepts(random(4, 3, 8, 8), CIFAR, {"amphibian": ["frog", "newt"]})
    with pytest.raises(UserError, match="label 9, but there are names for 3"):
        own_concepts(random(10, 3, 8, 8), CIFAR[:3])
    with pytest.raises(UserError, match="4 images of 2 channels"):
        own_concepts(random(4, 2, 8, 8))
    with pytest.raises(UserError, match="images = 0"):
        Own(images=0)


def test_the_kind_draws_even_classes_and_drops_what_is_not_there() -> None:
    images = random(50, 3, 8, 8)
    splits = Splits(images, images, None, None, CIFAR)
    task = Task(3, 8, 8, 10)
    concepts = Own(images=20).concepts(task, splits)
    assert concepts.images.labels.bincount().tolist() == [2] * 10
    assert "animal" in concepts.names
    assert not set(CIFAR) & set(concepts.names)  # in two images each, fewer than five
    assert len(Own(images=500).concepts(task, splits).images) == 50
    assert set(CIFAR) < set(Own(images=500).concepts(task, splits).names)
