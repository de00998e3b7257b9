"""Explanation maps: of networks whose sight is known."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from scratchcard.data.base import Images
from scratchcard.metrics.interpretability import lime
from scratchcard.metrics.interpretability.maps import explanations
from scratchcard.metrics.interpretability.segments import segments
from tests.metrics.interpretability.seen import Seeing, additive, convolutional, pictures

SIZE = 3 * 16 * 16


def seen(model: Seeing, test: Images) -> Tensor:
    """What it sees in the segment of each pixel [N, H, W]."""
    each = (test.floats().double() * model.get_buffer("pixels").reshape(3, 16, 16)).sum(dim=1)
    found = torch.zeros_like(each)
    for image, parts, own in zip(each, segments(test.pixels), found, strict=True):
        for segment in range(int(parts.max()) + 1):
            own[parts == segment] = image[parts == segment].sum()
    return found


def test_a_map_shows_what_each_segment_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lime, "RIDGE", 1e-9)
    monkeypatch.setattr(lime, "TOGETHER", 600)  # so that there are several scenes
    model, test = additive(SIZE), pictures(5)
    opposed = copy.deepcopy(model)
    opposed.get_buffer("pixels").neg_()
    maps = explanations([model, opposed], test)
    assert maps.values.shape == (2, 5, 16, 16)
    assert torch.equal(maps.classes, model(test.floats()).argmax(dim=1))
    assert set(maps.classes.tolist()) == {0, 1}
    wanted = seen(model, test) * (1 - 2 * maps.classes)[:, None, None]
    torch.testing.assert_close(maps.values[0], wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(maps.values[1], -wanted, atol=1e-6, rtol=0)  # of the same class


def test_other_classes_can_be_asked_for() -> None:
    model, test = convolutional(), pictures(3)
    wanted = (model(test.floats()).argmax(dim=1) + 1) % 3
    maps = explanations([model, copy.deepcopy(model)], test, classes=wanted, masks=40)
    assert torch.equal(maps.classes, wanted)
    assert torch.equal(maps.values[0], maps.values[1])
    assert not torch.allclose(maps.values, explanations([model], test, masks=40).values)
