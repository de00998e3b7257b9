"""Parquet files in the layout of the Hugging Face Hub, small ones written here."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data.parquet import Parquet
from scratchcard.testing import check_dataset


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def pictures(n: int, seed: int, height: int = 6, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def write(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any],
    names: Sequence[str] = (),
) -> Path:
    structs = [{"bytes": data, "path": None} for data in images]
    table = pyarrow.table({"image": structs, "label": labels})
    if names:
        info = {"info": {"features": {"label": {"_type": "ClassLabel", "names": list(names)}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pyarrow.parquet.write_table(table, path, row_group_size=4)
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    images = [png(array) for array in pictures(12, 0)]
    return write(tmp_path / "train.parquet", images, [0, 1, 2] * 4, ["cat", "dog", "newt"])


@pytest.fixture
def test(tmp_path: Path) -> Path:
    return write(tmp_path / "test.parquet", [png(a) for a in pictures(6, 1)], [2, 1, 0] * 2)


def test_promises(train: Path, test: Path) -> None:
    check_dataset(Parquet(train=train, test=test))
    check_dataset(Parquet(train=train, test=test, size=4, channels=1, held_out=(1,), val_images=2))


def test_own_validation(train: Path, test: Path, tmp_path: Path) -> None:
    val = write(tmp_path / "val.parquet", [png(a) for a in pictures(3, 2)], [0, 1, 2])
    data = Parquet(train=train, test=test, val=val)
    check_dataset(data)
    assert list(data.files()) == ["train", "test", "val"]
    splits = data.splits()
    assert splits.val is not None
    assert (splits.val.pixels.permute(0, 2, 3, 1).numpy() == pictures(3, 2)).all()


def test_pixels_labels_and_names(train: Path, test: Path) -> None:
    splits = Parquet(train=train, test=test).splits()
    assert splits.classes == ("cat", "dog", "newt")
    assert (splits.train.pixels.permute(0, 2, 3, 1).numpy() == pictures(12, 0)).all()
    assert splits.test.labels.tolist() == [2, 1, 0] * 2


def test_chosen_rows_keep_their_labels(train: Path, test: Path) -> None:
    splits = Parquet(train=train, test=test, train_images=6, split_seed=4).splits()
    where = {array.tobytes(): row for row, array in enumerate(pictures(12, 0))}
    rows = [where[p.tobytes()] for p in splits.train.pixels.permute(0, 2, 3, 1).numpy()]
    assert splits.train.labels.tolist() == [row % 3 for row in rows]
    assert splits.train.labels.bincount().tolist() == [2, 2, 2]


def test_rows_not_chosen_are_not_decoded(tmp_path: Path, test: Path) -> None:
    broken = write(
        tmp_path / "broken.parquet", [png(pictures(1, 0)[0])] * 4 + [b"x"], [0, 1, 0, 1, 2]
    )
    Parquet(train=broken, test=test, held_out=(2,)).splits()
    with pytest.raises(UserError, match=r"row 4 of .*broken\.parquet cannot be decoded"):
        Parquet(train=broken, test=test).splits()


def test_task_decodes_one_image_at_most(tmp_path: Path, test: Path) -> None:
    images = [png(pictures(1, 0, height=5, width=7)[0]), b"x"]
    path = write(tmp_path / "t.parquet", images, [0, 8])
    assert Parquet(train=path, test=test).task() == Task(3, 5, 7, 9)
    assert Parquet(train=path, test=test, size=4, channels=1).task() == Task(1, 4, 4, 9)


def test_fingerprinted_files_carry_their_part(train: Path, test: Path) -> None:
    assert Parquet(train=test, test=train).files() == {"train": test, "test": train}


def rewritten(**change: Any) -> Callable[[Path], Path]:
    def write_bad(path: Path) -> Path:
        parts: dict[str, Any] = {"images": [png(pictures(1, 0)[0])] * 3, "labels": [0, 1, 2]}
        return write(path, **(parts | change))

    return write_bad


def garbage(path: Path) -> Path:
    path.write_text("not parquet")
    return path


def flat(path: Path) -> Path:
    table = pyarrow.table({"image": [b"x"] * 3, "label": [0, 1, 2]})
    pyarrow.parquet.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("write_bad", "message"),
    [
        (lambda path: path, r'test = ".*bad\.parquet" does not exist'),
        (garbage, "is not a Parquet file"),
        (flat, "is of type binary, but must hold structs"),
        (rewritten(labels=[0, 1, 3]), "label 3, but there are 3 classes, 0 to 2"),
        (rewritten(labels=[0, 1, -1]), "integers from 0"),
        (rewritten(labels=["a", "b", "c"]), "3 values of type string"),
        (rewritten(labels=[0, 1, None]), "integers from 0"),
        (rewritten(names=["cat", "newt", "dog"]), "classes cat, newt, dog, but train has cat, dog"),
        (rewritten(images=[None] * 3), r"row 0 of .* holds no image bytes"),
        (
            rewritten(images=[png(pictures(1, 0, 9, 8)[0])] * 3),
            r"images of test have the shape \(3, 9, 8\) .* train \(3, 6, 6\)",
        ),
        (
            rewritten(images=[png(pictures(1, 0, side, side)[0]) for side in (6, 6, 9)]),
            r"row 2 of .* has 9x9 pixels, the first 6x6; add size = 6",
        ),
        (
            rewritten(images=[png(np.zeros((6, 6), dtype=np.uint16))] * 3),
            "more than 8 bits a channel",
        ),
    ],
)
def test_bad_files(
    train: Path, tmp_path: Path, write_bad: Callable[[Path], Path], message: str
) -> None:
    bad = write_bad(tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=message):
        Parquet(train=train, test=bad).splits()


def test_bad_options(train: Path, test: Path) -> None:
    with pytest.raises(UserError, match=r'no column "fine_label" \(it has: image, label\)'):
        Parquet(train=train, test=test, label="fine_label").task()
    with pytest.raises(UserError, match="channels = 4"):
        Parquet(train=train, test=test, channels=4)
    with pytest.raises(UserError, match="size = 0"):
        Parquet(train=train, test=test, size=0)


def test_without_pyarrow_the_extra_is_named(
    train: Path, test: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'pip install "scratchcard\[parquet\]"'):
        Parquet(train=train, test=test).task()
