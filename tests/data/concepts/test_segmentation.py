"""Segmented images whose pixels say their class, so that pictures and masks can be compared."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data import Images, Splits
from scratchcard.data.concepts.segmentation import Segmentation

NAMES = ("sky", "road", "tree", "car")
NOTHING = Images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1).long())
SOURCE = Splits(NOTHING, NOTHING, None, None, ("a", "b"))


def task(height: int = 8, width: int = 8, channels: int = 3) -> Task:
    return Task(channels, height, width, 2)


def labels(n: int, height: int = 8, width: int = 8, classes: int = 4, block: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, classes, (n, height // block, width // block), dtype=np.uint8)
    return np.kron(small, np.ones((1, block, block), dtype=np.uint8))


def picture(mask: np.ndarray) -> Image.Image:
    """Red is ten times the class."""
    return Image.fromarray(np.stack([10 * mask, mask * 0, mask * 0], axis=-1).astype(np.uint8))


def folders(root: Path, masks: np.ndarray) -> dict[str, Any]:
    """Written there; the options that name them."""
    for part in ("images", "masks"):
        (root / part / "deep").mkdir(parents=True)
    for k, mask in enumerate(masks):
        picture(mask).save(root / f"images/deep/{k}.png")
        Image.fromarray(mask).save(root / f"masks/deep/{k}.png")
    return {"images": root / "images", "masks": root / "masks"}


def parquet(path: Path, masks: np.ndarray) -> Path:
    def encoded(image: Image.Image) -> dict[str, bytes | None]:
        file = io.BytesIO()
        image.save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    columns = {
        "image": [encoded(picture(mask)) for mask in masks],
        "mask": [encoded(Image.fromarray(mask)) for mask in masks],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_folders_pixel_by_pixel(tmp_path: Path) -> None:
    truth = labels(6)
    kind = Segmentation(**folders(tmp_path, truth), names=NAMES)
    concepts = kind.concepts(task(), SOURCE)
    assert concepts.names == NAMES
    assert set(concepts.categories) == {"object"}
    assert (concepts.images.pixels[:, 0].numpy() == 10 * truth).all()
    for k in range(4):
        assert (concepts.mask(k) == (truth == k)).all()
    assert list(kind.files())[:2] == ["images/deep/0", "images/deep/1"]
    assert len(kind.files()) == 12


def test_parquet_is_the_same(tmp_path: Path) -> None:
    truth = labels(6)
    path = parquet(tmp_path / "t.parquet", truth)
    kind = Segmentation(images=path, names=NAMES)
    assert kind.files() == {"images": path}
    one = kind.concepts(task(), SOURCE)
    other = Segmentation(**folders(tmp_path, truth), names=NAMES).concepts(task(), SOURCE)
    assert torch.equal(one.images.pixels, other.images.pixels)
    assert (one.packed == other.packed).all()


def test_masks_of_their_own_size_take_the_nearest_pixel(tmp_path: Path) -> None:
    truth = labels(5, 16, 16, block=2)
    where = folders(tmp_path, truth)
    concepts = Segmentation(**where, names=NAMES, mask_size=(8, 8)).concepts(task(16, 16), SOURCE)
    assert concepts.size == (8, 8)
    for k in range(4):
        assert (concepts.mask(k) == (truth[:, ::2, ::2] == k)).all()
    assert (concepts.images.pixels[:, 0].numpy() == 10 * truth).all()


@pytest.mark.parametrize(("height", "width"), [(12, 20), (20, 12)])
def test_pictures_and_masks_are_cropped_alike(tmp_path: Path, height: int, width: int) -> None:
    truth = labels(5, height, width)
    concepts = Segmentation(**folders(tmp_path, truth), names=NAMES).concepts(task(12, 12), SOURCE)
    middle = truth[:, :, 4:16] if width == 20 else truth[:, 4:16]
    assert (concepts.images.pixels[:, 0].numpy() == 10 * middle).all()
    for k in range(4):
        assert (concepts.mask(k) == (middle == k)).all()


def test_coarser_masks_than_pictures(tmp_path: Path) -> None:
    """A mask of half the picture's size lies over all of it."""
    truth = labels(5, 16, 16, block=2)
    where = folders(tmp_path, truth)
    for k, mask in enumerate(truth):
        Image.fromarray(mask[::2, ::2]).save(where["masks"] / f"deep/{k}.png")
    concepts = Segmentation(**where, names=NAMES).concepts(task(16, 16), SOURCE)
    for k in range(4):
        assert (concepts.mask(k) == (truth == k)).all()


def test_no_class_arises_between_two_others(tmp_path: Path) -> None:
    """As it would if masks were resized like pictures: 0 and 2 would make 1."""
    truth = 2 * labels(6, 24, 24, classes=2, block=3)
    kind = Segmentation(**folders(tmp_path, truth), names=NAMES)
    smooth = np.asarray(Image.fromarray(truth[0]).resize((10, 10), Image.Resampling.BILINEAR))
    assert 1 in smooth
    assert kind.concepts(task(10, 10), SOURCE).names == ("sky", "tree")


def test_palettes_and_many_classes(tmp_path: Path) -> None:
    """Of a palette the place counts, whatever its colours; 16 bits hold classes beyond 255."""
    truth = labels(5)
    where = folders(tmp_path, truth)
    colours = np.random.default_rng(0).integers(0, 256, 768).tolist()
    for k, mask in enumerate(truth):
        image = Image.fromarray(mask, "P")
        image.putpalette(colours)
        image.save(where["masks"] / f"deep/{k}.png")
        assert (np.asarray(image.convert("L")) != mask).any()  # what would be wrong
    concepts = Segmentation(**where, names=NAMES).concepts(task(), SOURCE)
    assert all((concepts.mask(k) == (truth == k)).all() for k in range(4))
    (tmp_path / "names.txt").write_text("\n".join(f"{300 + k} {n}" for k, n in enumerate(NAMES)))
    for k, mask in enumerate(truth):
        Image.fromarray(mask.astype(np.uint16) + 300).save(where["masks"] / f"deep/{k}.png")
    kind = Segmentation(**where, names_file=tmp_path / "names.txt")
    found = kind.concepts(task(), SOURCE)
    assert found.names == NAMES
    assert (found.packed == concepts.packed).all()
    assert "names" in kind.files()


def test_unlabelled_pixels_are_of_no_class(tmp_path: Path) -> None:
    truth = labels(5)
    kind = Segmentation(**folders(tmp_path, truth), names=NAMES[:3], unlabelled=(3, 255))
    concepts = kind.concepts(task(), SOURCE)
    assert concepts.names == NAMES[:3]
    assert concepts.areas().sum() == pytest.approx((truth != 3).mean())


def test_names_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("sky\nroad\n\ntall tree\n2 wheeler\n")
    kind = Segmentation(**folders(tmp_path, labels(5)), names_file=tmp_path / "names.txt")
    assert kind.concepts(task(), SOURCE).names == ("sky", "road", "tall tree", "2 wheeler")


def test_rare_classes_and_a_limit(tmp_path: Path) -> None:
    truth = labels(8, classes=3)
    truth[:4, 0, 0] = 3
    where = folders(tmp_path, truth)
    assert Segmentation(**where, names=NAMES).concepts(task(), SOURCE).names == NAMES[:3]
    kind = Segmentation(**where, names=NAMES, min_images=4)
    assert kind.concepts(task(), SOURCE).names == NAMES
    few = Segmentation(**where, names=NAMES, limit=5).concepts(task(), SOURCE)
    rows = [(10 * truth == p).all(axis=(1, 2)).argmax() for p in few.images.pixels[:, 0].numpy()]
    assert rows == sorted(set(rows))
    assert len(rows) == 5
    assert (few.mask(1) == (truth[rows] == 1)).all()
    with pytest.raises(UserError, match="no label is present in 9 of 8 images"):
        Segmentation(**where, names=NAMES, min_images=9).concepts(task(), SOURCE)


def test_grey_networks(tmp_path: Path) -> None:
    truth = labels(5)
    kind = Segmentation(**folders(tmp_path, truth), names=NAMES)
    assert kind.concepts(task(channels=1), SOURCE).images.task_shape == (1, 8, 8)


def test_mistakes_in_the_files(tmp_path: Path) -> None:
    where = folders(tmp_path, labels(5))
    with pytest.raises(UserError, match=r"0\.png has pixels of class [23], which has no name"):
        Segmentation(**where, names=NAMES[:2]).concepts(task(), SOURCE)
    mask = where["masks"] / "deep/3.png"
    picture(labels(1)[0]).save(mask)
    with pytest.raises(UserError, match=r"3\.png is a mask of mode RGB, but must hold class numb"):
        Segmentation(**where, names=NAMES).concepts(task(), SOURCE)
    Image.fromarray(labels(1, 8, 16)[0]).save(mask)
    with pytest.raises(UserError, match=r"3\.png has 16x8 pixels and its picture 8x8"):
        Segmentation(**where, names=NAMES).concepts(task(), SOURCE)
    mask.write_bytes(b"x")
    with pytest.raises(UserError, match=r"3\.png cannot be decoded"):
        Segmentation(**where, names=NAMES).concepts(task(), SOURCE)
    mask.unlink()
    with pytest.raises(UserError, match=r"no mask deep/3\.png for the picture .*deep/3\.png; add"):
        Segmentation(**where, names=NAMES).files()


def test_mistakes_in_the_options(tmp_path: Path) -> None:
    where = folders(tmp_path, labels(2))
    with pytest.raises(UserError, match=r'images = ".*none" does not exist'):
        Segmentation(images=tmp_path / "none", names=NAMES).files()
    with pytest.raises(UserError, match="is a folder; add masks"):
        Segmentation(images=where["images"], names=NAMES).files()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r'masks = ".*empty" holds no image'):
        Segmentation(images=where["images"], masks=tmp_path / "empty", names=NAMES).files()
    both: dict[str, Any] = {"names": NAMES, "names_file": tmp_path / "names.txt"}
    for names in ({}, both):
        with pytest.raises(UserError, match="but not by both"):
            Segmentation(**where, **names)
    with pytest.raises(UserError, match=r"mask_size = \[0, 8\]"):
        Segmentation(**where, names=NAMES, mask_size=(0, 8))
    with pytest.raises(UserError, match="limit = 0"):
        Segmentation(**where, names=NAMES, limit=0)
    path = parquet(tmp_path / "t.parquet", labels(2))
    with pytest.raises(UserError, match='no column "annotation"'):
        Segmentation(images=path, names=NAMES, mask="annotation").concepts(task(), SOURCE)


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    where = folders(tmp_path, labels(2))
    picture(labels(1)[0]).save(where["images"] / "deep/0.jpg")
    with pytest.raises(UserError, match="have one name"):
        Segmentation(**where, names=NAMES).files()
