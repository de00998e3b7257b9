"""What becomes of the dense network's detectors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import NotApplicable, Reading, Task
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.interpretability.concepts_kept import concepts_kept
from scratchcard.stats import resamples
from tests.metrics.interpretability.dissected import above, blobs, concepts, iou, noise


def choosing(*channels: int | None) -> nn.Sequential:
    """A network whose units answer with these channels of ten, or with nothing."""
    first = nn.Conv2d(10, len(channels), 1, bias=False)
    for unit, channel in enumerate(channels):
        first.weight.data[unit] = 0
        if channel is not None:
            first.weight.data[unit, channel] = 1
    head = nn.Linear(len(channels), 3)
    return nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def pictured(n: int = 40) -> Concepts:
    """Channels 0 to 3 are concepts, of which that of 4 is nearly one, and 5 to 9 noise."""
    masks = blobs((4, n, 16, 16), 0.1)
    maps = 0.5 * noise((n, 10, 16, 16))
    maps[:, :4] += masks.swapaxes(0, 1)
    maps[:, 4] += 0.1 * masks[0]
    return concepts(maps, masks, ["colour"] * 4)


DENSE, SPARSE = (0, 1, 2, 3, 5, 6, 7), (0, 1, 5, None, 2, 7, None)
"""Kept twice, lost to noise, lost by death; gained, and nothing twice."""


def of(dense: nn.Module, sparse: nn.Module, **sets: Concepts) -> Reading:
    return concepts_kept(sparse, dense, sets, quantile=0.1, threshold=0.2)


def test_units_are_sorted_by_what_became_of_them() -> None:
    found = of(choosing(*DENSE), choosing(*SPARSE), s=pictured())
    shown = {label: part.value for label, part in found.parts.items()}
    assert found.value == 0.5
    assert shown == {
        "kept": 0.5,
        "changed": 0.0,
        "lost": 0.5,
        "gained": pytest.approx(1 / 3),
        "dense detectors": 4,
        "s, kept": 0.5,
        "s, changed": 0.0,
        "s, lost": 0.5,
        "s, gained": pytest.approx(1 / 3),
        "s, dense detectors": 4,
    }


def test_another_concept_is_a_change() -> None:
    found = of(choosing(0, 1, 2), choosing(1, 0, 2), s=pictured())
    assert found.value == pytest.approx(1 / 3)
    assert found.parts["changed"].value == pytest.approx(2 / 3)
    assert found.parts["lost"].value == found.parts["gained"].value == 0


def test_a_network_keeps_all_its_own_concepts() -> None:
    network = choosing(*DENSE)
    found = of(network, copy.deepcopy(network), s=pictured())
    assert found.value == 1
    assert found.stderr == 0


def test_every_resample_is_what_the_definition_says() -> None:
    own = pictured(12)
    maps, masks = own.images.pixels.numpy(), np.stack([own.mask(k) for k in range(4)])

    def detected(channel: int, rows: np.ndarray) -> int:
        active = above(maps[:, channel], 0.1)
        ious = [iou(active[rows], mask[rows]) for mask in masks]
        return int(np.argmax(ious)) if max(ious) > 0.12 else -1

    pairs = ((0, 4), (1, 9), (5, 6), (4, 7), (7, 8))

    def by_definition(rows: np.ndarray) -> float:
        found = [(detected(d, rows), detected(s, rows)) for d, s in pairs]
        return sum(d == s for d, s in found if d >= 0) / max(1, sum(d >= 0 for d, _ in found))

    dense, sparse = (choosing(*channels) for channels in zip(*pairs, strict=True))
    found = concepts_kept(sparse, dense, {"s": own}, quantile=0.1, threshold=0.12)
    assert found.value == by_definition(np.arange(12))
    wanted = [by_definition(rows) for rows in resamples([12])]
    assert found.replicates is not None
    np.testing.assert_allclose(found.replicates, wanted)
    assert found.stderr == pytest.approx(np.std(wanted, ddof=1))
    assert found.stderr > 0


def test_sets_are_counted_together() -> None:
    own = pictured()
    noisy = concepts(own.images.pixels.numpy(), blobs((2, 40, 4, 4), 0.1, seed=7))
    found = of(choosing(*DENSE), choosing(*SPARSE), s=own, t=noisy)
    assert found.value == 0.5
    assert found.parts["t, dense detectors"].value == 0
    assert found.parts["t, kept"].value == 0
    assert found.n == 80


def test_a_pruned_network_keeps_some() -> None:
    torch.manual_seed(0)
    dense = models.build("cifar-resnet", Task(10, 16, 16, 3), {"depth": 8}, 0).eval()
    sparse = copy.deepcopy(dense)
    for name, weights in sparse.named_parameters():
        if weights.ndim == 4:
            weights.data[weights.abs() < weights.abs().median()] = 0
        assert dense.get_parameter(name).all() or weights.ndim < 4
    found = concepts_kept(sparse, dense, {"s": pictured()}, quantile=0.1, threshold=0.1)
    assert 0 < found.value < 1


def test_without_partners_or_detectors_there_is_nothing_to_keep() -> None:
    with pytest.raises(NotApplicable, match="0 of the dense network has 3, 0 of this one 2"):
        of(choosing(0, 1, 2), choosing(0, 1), s=pictured())
    with pytest.raises(NotApplicable, match="no unit of the dense network overlaps"):
        of(choosing(6, 7), choosing(0, 1), s=pictured())
    with pytest.raises(NotApplicable, match="no unit of the dense network overlaps"):
        of(choosing(None, None), choosing(0, 1), s=pictured())
    assert of(choosing(0, 1), choosing(None, None), s=pictured()).value == 0
