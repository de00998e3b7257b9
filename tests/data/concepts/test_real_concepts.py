"""Street scenes with masks that lie beside a development checkout; skipped elsewhere."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scratchcard.contracts import Task
from scratchcard.data import Images, Splits
from scratchcard.data.concepts.own import own_concepts
from scratchcard.data.concepts.segmentation import Segmentation

CAMVID = Path(__file__).parents[3].parent / "shared" / "data" / "camvid" / "val.parquet"

pytestmark = pytest.mark.skipif(
    not CAMVID.exists(), reason="CamVid does not lie beside this checkout (../shared/data)"
)

NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip


def test_streets() -> None:
    nothing = Images(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1).long())
    source = Splits(nothing, nothing, None, None, ("a", "b"))
    kind = Segmentation(images=CAMVID, names=NAMES, unlabelled=(11,), limit=40)
    concepts = kind.concepts(Task(3, 48, 64, 10), source)
    mask = {name: concepts.mask(k) for k, name in enumerate(concepts.names)}
    assert set(concepts.names) == set(NAMES)
    assert 0.9 < concepts.areas().sum() <= 1
    row = np.arange(48)[None, :, None]
    height = {name: float((m * row).sum() / m.sum()) for name, m in mask.items()}
    assert height["sky"] < height["tree"] < height["car"] < height["road"]
    # The sky is the brightest, and a smooth thing; a tree is not.
    light = concepts.images.floats().mean(dim=1).numpy()
    assert all(light[mask["sky"]].mean() > light[mask[name]].mean() + 0.2 for name in NAMES[1:])
    own = own_concepts(concepts.images)
    smooth, fine = (own.mask(own.names.index(name)) for name in ("smooth", "fine texture"))
    assert smooth[mask["sky"]].mean() > 2 * smooth[mask["tree"]].mean()
    assert fine[mask["tree"]].mean() > 2 * fine[mask["road"]].mean()
