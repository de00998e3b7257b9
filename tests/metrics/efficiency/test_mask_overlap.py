"""Overlap of masks: sets that can be counted by hand."""

import pytest
import torch
from torch import nn

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.masks import Masks
from scratchcard.metrics import measure

IMAGES = torch.rand(4, 1, 1, 4), torch.tensor([0, 1, 0, 1])
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def of(*kept: int) -> Masks:
    mask = torch.zeros(8, dtype=torch.bool)
    mask[list(kept)] = True
    return Masks({"1.weight": mask.reshape(2, 4)})


def test_a_part_for_each_other_method_and_their_mean() -> None:
    others = {"same": of(0, 1, 2), "half": of(1, 2, 3), "none": of(6, 7)}
    reading = measure(MODEL, "mask-overlap", IMAGES, masks=of(0, 1, 2), others=others)
    assert {k: p.value for k, p in reading.parts.items()} == {"same": 1.0, "half": 0.5, "none": 0.0}
    assert reading.value == pytest.approx(0.5)


def test_alone_it_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no other method"):
        measure(MODEL, "mask-overlap", IMAGES, masks=of(0), others={})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="others="):
        measure(MODEL, "mask-overlap", IMAGES, masks=of(0))
