"""The digits against scikit-learn's own arrays."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from scratchcard.contracts import Task, UserError
from scratchcard.data.digits import Digits
from scratchcard.testing import check_dataset


def test_digits_keep_the_promises() -> None:
    check_dataset(Digits())
    check_dataset(Digits(held_out=(3, 7), train_images=80, test_images=40))


def test_every_image_is_there_once() -> None:
    splits = Digits().splits()
    assert splits.val is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (749, 150, 898)
    assert splits.val.labels.bincount().tolist() == [15] * 10
    parts = (splits.train, splits.val, splits.test)
    ours = torch.cat([part.pixels for part in parts]).flatten(1).numpy()
    labels = torch.cat([part.labels for part in parts]).numpy()
    theirs, targets = load_digits(return_X_y=True)
    sixteenths = np.rint(ours / 255 * 16)
    assert ours.max() == 255
    assert sorted(map(tuple, np.column_stack([sixteenths, labels]))) == sorted(
        map(tuple, np.column_stack([theirs, targets]))
    )


def test_test_share() -> None:
    assert len(Digits(test_share=0.1).splits().test) == 180
    with pytest.raises(UserError, match=r"test_share = 1\.5"):
        Digits(test_share=1.5)


def test_planning_needs_neither_torch_nor_sklearn() -> None:
    program = (
        "import sys; from scratchcard.data import fingerprint;"
        "from scratchcard.registry import DATASETS;"
        "data = DATASETS.get('digits').target(held_out=(0,));"
        "print(data.task(), len(fingerprint(data.files())), len(DATASETS.names()));"
        "print(sorted({'torch', 'sklearn', 'PIL', 'pyarrow'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines() == [f"{Task(1, 8, 8, 9)} 64 6", "[]"]
