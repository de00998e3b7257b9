"""Pictures of units: the right images, masks and names."""

from __future__ import annotations

import numpy as np
import pytest

from scratchcard.contracts import UserError
from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.unit_pictures import arrays, beside, picture
from scratchcard.metrics.interpretability.units import Units
from tests.metrics.interpretability.dissected import above, blobs, concepts, iou, noise, reader
from tests.metrics.interpretability.test_concepts_kept import choosing, pictured


def test_a_unit_is_shown_on_the_images_it_answers_to_most() -> None:
    masks = blobs((3, 20, 9, 9), 0.1)
    maps = noise((20, 2, 9, 9))
    maps[:, 1] += 0.5 * masks[2]
    own = concepts(maps, masks)
    found = picture(Units.of(reader(2), own, quantile=0.1), Table(own), 1, count=4)
    active = above(maps[:, 1], 0.1)
    most = sorted(range(20), key=lambda image: -maps[image, 1].max())[:4]
    assert found.images.tolist() == most
    np.testing.assert_array_equal(found.active, active[most])
    np.testing.assert_array_equal(found.named, masks[2][most])
    assert (found.unit, found.live, found.concept) == (1, True, "c")
    assert found.iou == pytest.approx(iou(active, masks[2]))


def test_dense_and_sparse_are_shown_on_the_same_images() -> None:
    own = pictured()
    dense, sparse = choosing(6, 1, 4, 2), choosing(7, 1, 0, None)
    units = Units.of(dense, own, quantile=0.1), Units.of(sparse, own, quantile=0.1)
    pairs = beside(*units, Table(own), most=3, count=2)
    assert {one.unit for one, _ in pairs} == {1, 2, 3}  # unit 0 sees nothing
    scores = [one.iou for one, _ in pairs]
    assert scores == sorted(scores, reverse=True)
    for one, other in pairs:
        assert one.unit == other.unit
        assert one.images.tolist() == other.images.tolist()
        assert one.active.shape == other.named.shape == (2, 16, 16)
    by_unit = {one.unit: other for one, other in pairs}
    assert (by_unit[2].concept, by_unit[1].concept, by_unit[3].concept) == ("a", "b", "")
    assert not by_unit[3].live
    assert not by_unit[3].active.any()
    kept = arrays(pairs, own)
    assert bytes(kept["names"]).decode().split("\n") == [
        one.concept for pair in pairs for one in pair
    ]
    assert kept["pixels"].shape[:2] == (3, 2)
    for u, (one, other) in enumerate(pairs):
        first = own.images.floats()[one.images[0]]
        np.testing.assert_array_equal(kept["pixels"][u, 0], (first * 255).round().byte())
        np.testing.assert_array_equal(kept["active"][u, 1], other.active)
        np.testing.assert_array_equal(kept["named"][u, 0], one.named)
    with pytest.raises(UserError, match="count"):
        beside(*units, Table(own), count=0)
