"""What every kind of data set inherits: splits, held-out classes, limits and refusals."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, Source, fingerprint
from scratchcard.data import files as files_module


def numbered(counts: list[int], start: int) -> Images:
    """Images that carry their own number, so that they can be followed; labels in turn."""
    labels = torch.cat([torch.full((count,), k) for k, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(start))]
    numbers = torch.arange(start, start + len(labels))
    pixels = torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8)
    return Images(pixels[:, None, None, :], labels)


def numbers(images: Images) -> list[int]:
    flat = images.pixels.flatten(1).long()
    return (flat[:, 0] * 256 + flat[:, 1]).tolist()


TRAIN, TEST = numbered([30, 20, 10, 40], 0), numbered([8, 8, 4, 12], 1000)
LABELS = {
    n: int(k) for part in (TRAIN, TEST) for n, k in zip(numbers(part), part.labels, strict=True)
}


@dataclass(frozen=True, kw_only=True)
class Numbered(Dataset):
    """Four classes, 100 training and 32 test images."""

    own_val: bool = False

    def source_task(self) -> Task:
        return Task(1, 1, 2, 4)

    def load(self) -> Source:
        val = numbered([2, 2, 2, 2], 2000) if self.own_val else None
        return Source(TRAIN, TEST, val, ("a", "b", "c", "d"))


def test_without_options_the_splits_are_the_source() -> None:
    splits = Numbered().splits()
    assert torch.equal(splits.train.pixels, TRAIN.pixels)
    assert torch.equal(splits.test.labels, TEST.labels)
    assert splits.val is None
    assert splits.held_out is None
    assert splits.classes == ("a", "b", "c", "d")


def test_validation_is_taken_from_train_by_share() -> None:
    splits = Numbered(val_images=10).splits()
    assert splits.val is not None
    assert splits.val.labels.bincount().tolist() == [3, 2, 1, 4]
    assert sorted(numbers(splits.val) + numbers(splits.train)) == list(range(100))


def test_limits_are_balanced_and_leave_validation_alone() -> None:
    full, small = Numbered(val_images=10), Numbered(val_images=10, train_images=24, test_images=10)
    whole, splits = full.splits(), small.splits()
    assert whole.val is not None
    assert splits.val is not None
    assert numbers(splits.val) == numbers(whole.val)
    assert set(numbers(splits.train)) < set(numbers(whole.train))
    assert splits.train.labels.bincount().tolist() == [6, 6, 6, 6]
    assert sorted(splits.test.labels.bincount().tolist()) == [2, 2, 3, 3]


def test_held_out_classes_leave_every_split() -> None:
    data = Numbered(held_out=(0, 2), val_images=6, own_val=False)
    splits = data.splits()
    assert data.task() == Task(1, 1, 2, 2)
    assert splits.classes == ("b", "d")
    assert splits.val is not None
    for images in (splits.train, splits.test, splits.val):
        assert [{1: 0, 3: 1}[LABELS[n]] for n in numbers(images)] == images.labels.tolist()
    assert splits.held_out is not None
    assert splits.held_out.labels.tolist() == [LABELS[n] for n in numbers(splits.held_out)]
    assert splits.held_out.labels.bincount().tolist() == [8, 0, 4]


def test_a_test_limit_holds_for_held_out_images_too() -> None:
    splits = Numbered(held_out=(0, 2), test_images=6).splits()
    assert splits.held_out is not None
    assert splits.held_out.labels.bincount().tolist() == [3, 0, 3]


def test_own_validation_is_kept() -> None:
    splits = Numbered(own_val=True, held_out=(1,)).splits()
    assert splits.val is not None
    assert splits.val.labels.bincount().tolist() == [2, 2, 2]
    assert len(splits.train) == 80


def test_the_split_seed_decides() -> None:
    first, again, other = (Numbered(train_images=40, split_seed=s).splits() for s in (0, 0, 1))
    assert numbers(first.train) == numbers(again.train)
    assert numbers(first.train) != numbers(other.train)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Numbered(val_images=100).splits(), "leaves nothing of 100 training images"),
        (lambda: Numbered(val_images=-1), "negative"),
        (lambda: Numbered(val_images=5, own_val=True).splits(), "own validation split"),
        (lambda: Numbered(train_images=101).splits(), "train_images = 101, .* only 100 train"),
        (lambda: Numbered(train_images=95, val_images=10).splits(), "only 90 train"),
        (lambda: Numbered(test_images=33).splits(), "test_images = 33, .* only 32 test"),
        (lambda: Numbered(test_images=0), "keeps no image"),
        (lambda: Numbered(held_out=(4,)).task(), "class 4, .* 4 classes, 0 to 3"),
        (lambda: Numbered(held_out=(0, 1, 2)).task(), "leaves 1 of 4 classes"),
    ],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        act()


def test_images_refuse_other_types() -> None:
    with pytest.raises(UserError, match=r"float64 \[2, 1, 1, 1\], but must be uint8"):
        Images(torch.zeros(2, 1, 1, 1, dtype=torch.float64), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=r"labels are torch.int64 \[3\], .* int64 \[2\]"):
        Images(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))


def test_floats_are_kept_as_they_are() -> None:
    pixels = torch.rand(2, 1, 1, 1)
    assert torch.equal(Images(pixels, torch.zeros(2, dtype=torch.int64)).floats(), pixels)


def test_images_take_and_floats() -> None:
    images = TRAIN.take(torch.tensor([5, 2]))
    assert numbers(images) == [5, 2]
    assert images.task_shape == (1, 1, 2)
    assert images.floats().tolist() == [[[[0.0, pytest.approx(n / 255)]]] for n in (5, 2)]


def test_fingerprint_follows_contents_and_names_only(tmp_path: Path) -> None:
    paths = []
    for folder, text in (("one", "x"), ("two", "x"), ("three", "y")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "file")
        paths[-1].write_text(text)
    one, two, three = paths
    assert fingerprint({"train": one}) == fingerprint({"train": two})
    assert fingerprint({"train": one}) != fingerprint({"test": one})
    swapped = fingerprint({"train": three, "test": one})
    assert swapped != fingerprint({"train": one, "test": three})
    assert swapped == fingerprint({"test": one, "train": three})
    with pytest.raises(UserError, match="gone"):
        fingerprint({"train": tmp_path / "gone"})


def test_fingerprint_of_large_sets_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "MANY_FILES", 1)
    files = {name: tmp_path / name for name in ("a", "b")}
    for path in files.values():
        path.write_text("x")
    monkeypatch.setattr(Path, "open", None)
    before = fingerprint(files)
    assert before == fingerprint(files)
    files["a"].touch()
    assert fingerprint(files) != before
