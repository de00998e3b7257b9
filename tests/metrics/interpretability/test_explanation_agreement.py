"""Agreement of explanations: of networks whose sight is known."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability import lime, occlusion
from scratchcard.metrics.interpretability.lime import fit, weights
from scratchcard.metrics.interpretability.occlusion import log_odds, scenes
from scratchcard.metrics.interpretability.segments import segments
from scratchcard.metrics.measure import measure
from tests.metrics.interpretability.seen import Seeing, additive, convolutional, pictures

SIZE = 3 * 16 * 16


def explanation_agreement(
    model: nn.Module, dense: nn.Module, test: Images, **options: Any
) -> Reading:
    return measure(model, "explanation-agreement", test, dense=dense, **options)


def explained(model: nn.Module, test: Images, classes: Tensor, masks: int) -> Tensor:
    """The map of each image [N, H, W], one after the other."""
    found = []
    for i in range(len(test)):
        target = Target.of(model, test.take(torch.tensor([i])), batch_size=7)
        (scene,) = scenes(target, masks=masks, seed=0)
        answers, _ = log_odds(target, scene, classes=classes[i : i + 1])
        kept = scene.masks.double()
        slopes = fit(kept, answers, weights(kept, kept[:, 0])).coefficients
        found.append(slopes[0][scene.segments[0]])
    return torch.stack(found)


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
    monkeypatch.setattr(occlusion, "TOGETHER", 600)  # so that there are several parts
    model, test = additive(SIZE), pictures(5)
    opposed = copy.deepcopy(model)
    opposed.get_buffer("pixels").neg_()
    found = explanation_agreement(opposed, model, test, images=0, pictures=5).pictures
    order = [test.pixels.numpy().tolist().index(shown.tolist()) for shown in found["pixels"]]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert found["classes"].tolist() == model(test.floats()).argmax(dim=1)[order].tolist()
    assert set(found["classes"].tolist()) == {0, 1}
    signs = torch.from_numpy(1 - 2 * found["classes"])[:, None, None]
    wanted = (seen(model, test)[order] * signs).numpy()
    np.testing.assert_allclose(found["dense"], wanted, atol=1e-6)
    np.testing.assert_allclose(found["sparse"], -wanted, atol=1e-6)  # of the same class


def test_a_network_agrees_with_itself_and_with_any_multiple_of_it() -> None:
    model, test = additive(SIZE), pictures(6)
    louder = copy.deepcopy(model)
    louder.get_buffer("pixels").mul_(3)
    for other in (copy.deepcopy(model), louder):
        found = explanation_agreement(other, model, test, images=0, masks=600)
        assert found.value == pytest.approx(1, abs=0.01)


def test_a_network_that_sees_the_opposite_disagrees_wholly() -> None:
    model, test = additive(SIZE), pictures(6)
    opposed = copy.deepcopy(model)
    opposed.get_buffer("pixels").neg_()
    found = explanation_agreement(opposed, model, test, images=0, masks=600)
    assert found.value == pytest.approx(-1, abs=0.01)


def test_it_is_the_mean_cosine_of_the_maps_and_keeps_those_that_agree_least() -> None:
    torch.manual_seed(3)
    model, other, test = convolutional(), convolutional(), pictures(9)
    for p in other.parameters():
        p.data.add_(0.3 * torch.randn(p.shape))
    found = explanation_agreement(other, model, test, images=0, masks=40, pictures=3)
    classes = model(test.floats()).argmax(dim=1)
    assert not torch.equal(classes, other(test.floats()).argmax(dim=1))
    maps = torch.stack([explained(net, test, classes, 40) for net in (model, other)])
    cosines = [
        float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())
        for a, b in zip(*maps, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(cosines))
    assert found.n == 9
    least = np.argsort(cosines)[:3]
    np.testing.assert_allclose(found.pictures["cosines"], np.array(cosines)[least], atol=1e-5)
    np.testing.assert_allclose(found.pictures["dense"], maps[0, least], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.pictures["sparse"], maps[1, least], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(
        found.pictures["pixels"], (test.floats()[least] * 255).byte().numpy()
    )


def test_a_network_that_sees_nothing_agrees_with_none() -> None:
    model, test = additive(SIZE), pictures(4)
    blind = copy.deepcopy(model)
    blind.get_buffer("pixels").zero_()
    found = explanation_agreement(blind, model, test, images=0, masks=40)
    assert found.value == 0
