"""Image files in one folder a class, a small tree written here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data.folder import Folder
from scratchcard.testing import check_dataset


def write_tree(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Images of many shapes whose red channel says the class, by position."""
    rng = np.random.default_rng(seed)
    for number, (name, count) in enumerate(counts.items()):
        (root / name / "deeper").mkdir(parents=True)
        for k in range(count):
            height, width = rng.integers(8, 20, 2)
            array = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            array[..., 0] = 60 * number
            folder = root / name / ("deeper" if k % 2 else "")
            Image.fromarray(array).save(folder / f"{k}.PNG", "PNG")
        (root / name / "notes.txt").write_text("not an image")
    return root


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "train", {"cat": 10, "dog": 15, "newt": 5})


def test_promises(train: Path, tmp_path: Path) -> None:
    check_dataset(Folder(train=train, size=8))
    counts = {"cat": 2, "dog": 2, "newt": 2}
    test, val = (write_tree(tmp_path / f"part{seed}", counts, seed) for seed in (1, 2))
    check_dataset(Folder(train=train, test=test, val=val, size=6, channels=1, held_out=(1,)))


def test_labels_follow_the_folders(train: Path) -> None:
    data = Folder(train=train, size=8, test_share=0.4)
    splits = data.splits()
    assert data.task() == Task(3, 8, 8, 3)
    assert splits.classes == ("cat", "dog", "newt")
    assert splits.train.labels.bincount().tolist() == [6, 9, 3]
    assert splits.test.labels.bincount().tolist() == [4, 6, 2]
    for images in (splits.train, splits.test):
        assert (images.pixels[:, 0] == 60 * images.labels[:, None, None]).all()


def test_files_are_named_by_part_and_class(train: Path) -> None:
    files = Folder(train=train, size=8).files()
    assert len(files) == 30
    assert files["train/dog/deeper/3.PNG"] == train / "dog/deeper/3.PNG"


def test_refusals(train: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'train = ".*gone" does not exist'):
        Folder(train=tmp_path / "gone", size=8).task()
    with pytest.raises(UserError, match="is a file"):
        Folder(train=train / "cat/notes.txt", size=8).task()
    with pytest.raises(UserError, match="has no folders"):
        Folder(train=train / "cat/deeper", size=8).task()
    with pytest.raises(UserError, match="test_share = 0"):
        Folder(train=train, size=8, test_share=0)
    test = write_tree(tmp_path / "test", {"cat": 1, "dog": 1, "owl": 1})
    with pytest.raises(UserError, match='differ in the class "newt"'):
        Folder(train=train, test=test, size=8).task()
    (train / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no image"):
        Folder(train=train, size=8).splits()


def test_a_broken_file_is_named(train: Path) -> None:
    (train / "cat/0.PNG").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"cat/0\.PNG cannot be decoded"):
        Folder(train=train, size=8).splits()
