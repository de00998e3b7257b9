"""Agreement of explanations: of networks whose sight is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from scratchcard.metrics.interpretability.explanation_agreement import explanation_agreement
from scratchcard.metrics.interpretability.maps import explanations
from tests.metrics.interpretability.seen import additive, convolutional, pictures

SIZE = 3 * 16 * 16


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
    maps = explanations([model, other], test, masks=40)
    cosines = [
        float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())
        for a, b in zip(*maps.values, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(cosines))
    assert found.n == 9
    least = np.argsort(cosines)[:3]
    np.testing.assert_allclose(found.pictures["cosines"], np.array(cosines)[least])
    np.testing.assert_allclose(found.pictures["dense"], maps.values[0, least], rtol=1e-6)
    np.testing.assert_allclose(found.pictures["sparse"], maps.values[1, least], rtol=1e-6)
    np.testing.assert_array_equal(
        found.pictures["pixels"], (test.floats()[least] * 255).byte().numpy()
    )


def test_a_network_that_sees_nothing_agrees_with_none() -> None:
    model, test = additive(SIZE), pictures(4)
    blind = copy.deepcopy(model)
    blind.get_buffer("pixels").zero_()
    found = explanation_agreement(blind, model, test, images=0, masks=40)
    assert found.value == 0
