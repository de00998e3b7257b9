"""Network dissection against closed forms and a slow copy of its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from scratchcard import models
from scratchcard.contracts import NotApplicable, Reading, Task, UserError
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.dissection import attainable, expected
from scratchcard.metrics.interpretability.matched import matched
from scratchcard.metrics.interpretability.netdissect import netdissect
from scratchcard.metrics.interpretability.units import Units
from scratchcard.stats import resamples
from tests.metrics.interpretability.dissected import (
    above,
    blobs,
    concepts,
    images,
    iou,
    noise,
    reader,
)
from tests.metrics.interpretability.seen import pictures


def of(own: Concepts, **options: object) -> Reading:
    """Of the units that are the images' channels."""
    options = {"permutations": 19} | options
    return netdissect(reader(own.images.pixels.shape[1]), {"s": own}, **options)  # type: ignore[arg-type]


def part(reading: Reading, label: str) -> float:
    return reading.parts[f"s, {label}"].value


def test_a_unit_that_is_a_concept_scores_one() -> None:
    masks = blobs((1, 60, 10, 10), 0.05)
    found = of(concepts(masks.swapaxes(0, 1), masks), quantile=0.05)
    assert found.value == 1
    assert found.stderr == 0
    assert part(found, "detectors") == part(found, "unique detectors") == 1
    assert part(found, "bound") == part(found, "matched quantile") == 1


@pytest.mark.parametrize(("quantile", "share"), [(0.005, 0.005), (0.005, 0.3), (0.2, 0.1)])
def test_noise_is_at_chance(quantile: float, share: float) -> None:
    n = 400
    masks = noise((1, n, 16, 16), seed=1) < share
    found = of(concepts(noise((n, 6, 16, 16)), masks), quantile=quantile)
    chance = quantile * share / (quantile + share - quantile * share)
    spread = (share / (quantile * n * 256 * 6)) ** 0.5 * quantile / max(quantile, share)
    assert abs(found.value - chance) < 4 * spread
    assert part(found, "chance") == pytest.approx(chance, rel=0.02)
    assert part(found, "permuted images") == pytest.approx(chance, abs=2 * spread)
    assert abs(part(found, "matched quantile")) < 0.02
    wanted = min(quantile, share) / max(quantile, share)
    assert part(found, "bound") == pytest.approx(wanted, rel=0.02)


def test_a_large_concept_cannot_be_detected_but_at_a_quantile_of_its_own() -> None:
    """A perfect unit of 29 % of all pixels: 0.0172, below the 0.04 of a detector."""
    road = blobs((1, 100, 10, 10), 0.29)
    small = blobs((1, 100, 10, 10), 0.01, seed=1)
    maps = (road + 0.5 * noise(road.shape)).swapaxes(0, 1)
    found = of(concepts(maps, np.concatenate([road, small])))
    assert part(found, "bound") == pytest.approx(0.0172, abs=5e-5)
    assert found.value == pytest.approx(0.0172, abs=5e-5)
    assert part(found, "detectors") == 0
    assert part(found, "matched quantile") == 1


def test_closed_forms_hold_of_shares() -> None:
    m, f = np.array([0.0, 0.0, 0.5, 0.005]), np.array([0.0, 0.2, 0.5, 0.29])
    np.testing.assert_allclose(attainable(m, f), [0, 0, 1, 0.005 / 0.29])
    np.testing.assert_allclose(expected(m, f), [0, 0, 1 / 3, 0.00145 / 0.29355])


def mixed() -> Concepts:
    """Five units, of which two see something and one is dead, and four concepts."""
    masks = np.concatenate([blobs((3, 30, 8, 8), 0.06), blobs((1, 30, 8, 8), 0.3, seed=5)])
    maps = noise((30, 5, 8, 8), seed=2)
    maps[:, 0] += masks[1]
    maps[:, 3] += 0.4 * masks[3]
    maps[:, 4] = 0
    return concepts(maps, masks, ["colour", "object", "colour", "object"])


def test_it_is_what_its_definition_says_and_so_is_every_resample() -> None:
    own = mixed()
    maps, masks = own.images.pixels.numpy(), np.stack([own.mask(k) for k in range(4)])
    active = [above(maps[:, unit], 0.05) for unit in range(4)]

    def by_definition(rows: np.ndarray) -> dict[str, float]:
        ious = np.array([[iou(one[rows], other[rows]) for other in masks] for one in active])
        best = ious.argmax(axis=1)
        return {
            "": ious.max(axis=1).mean(),
            ", colour": ious[:, ::2].max(axis=1).mean(),
            ", object": ious[:, 1::2].max(axis=1).mean(),
            ", detectors": (ious.max(axis=1) > 0.1).sum(),
            ", unique detectors": len(set(best[ious.max(axis=1) > 0.1])),
        }

    found = of(own, quantile=0.05, threshold=0.1)
    wanted = by_definition(np.arange(30))
    again = [by_definition(rows) for rows in resamples([30])]
    assert found.value == found.parts["s"].value == pytest.approx(wanted[""], rel=1e-12)
    assert found.replicates is not None
    np.testing.assert_allclose(found.replicates, [one[""] for one in again], rtol=1e-12)
    for label, value in wanted.items():
        shown = found.parts[f"s{label}"]
        assert shown.value == pytest.approx(value, rel=1e-12), label
        spread = np.std([one[label] for one in again], ddof=1)
        assert shown.stderr == pytest.approx(spread, rel=1e-9), label
    assert found.n == 30
    assert part(found, "live units") == 4
    assert part(found, "dead units") == 1


def test_the_quantile_that_matches_is_what_its_definition_says() -> None:
    own = mixed()
    maps, masks = own.images.pixels.numpy(), np.stack([own.mask(k) for k in range(4)])
    best = []
    for unit in range(4):
        scores = []
        for mask in masks:
            active = above(maps[:, unit], mask.mean())
            m, f = active.mean(), mask.mean()
            chance = m * f / (m + f - m * f)
            scores.append((iou(active, mask) - chance) / (1 - chance))
        best.append(max(scores))
    assert part(of(own, quantile=0.05), "matched quantile") == pytest.approx(np.mean(best))


def test_the_concept_that_matches_is_chosen_on_the_grid_of_the_layer() -> None:
    """Pixel by pixel and place by place, for masks four times as large as the maps."""
    masks, maps = blobs((4, 20, 24, 24), 0.2), noise((20, 3, 6, 6))
    covered = masks.reshape(4, 20, 6, 4, 6, 4).mean(axis=(3, 5))
    maps[:, 0] += covered[2]
    maps[:, 1] += 0.3 * covered[1]
    own = concepts(maps, masks)
    units = Units.of(reader(3), own, quantile=0.05)
    chosen, agreement = matched(units, Table(own), np.ones((20, 1)))
    for unit in range(3):
        scores = []
        for on, mask in zip(covered, masks, strict=True):
            active = above(maps[:, unit], mask.mean())
            shared, m, f = (active * on).sum() / on.size, active.mean(), mask.mean()
            chance = m * f / (m + f - m * f)
            scores.append((shared / (m + f - shared) - chance) / (1 - chance))
        best = int(np.argmax(scores))
        assert chosen[unit] == best
        answers = np.sort(maps[:, unit], axis=None)
        count = round(masks[best].mean() * answers.size)
        large = interpolate(torch.from_numpy(maps[:, unit])[None], (24, 24), mode="bilinear")
        active = large[0].numpy() > answers[[-count - 1, -count]].mean()
        m, f = active.mean(), masks[best].mean()
        chance = m * f / (m + f - m * f)
        wanted = (iou(active, masks[best]) - chance) / (1 - chance)
        assert agreement[unit, 0] == pytest.approx(wanted, rel=1e-3)
    assert chosen[0] == 2
    assert chosen[1] == 1


def test_the_order_of_images_changes_nothing() -> None:
    own = mixed()
    order = np.random.default_rng(0).permutation(30)
    masks = np.stack([own.mask(k)[order] for k in range(4)])
    pixels = own.images.take(order).pixels.numpy()
    one, other = of(own), of(concepts(pixels, masks, own.categories))
    assert one.value == other.value
    for label in ("colour", "detectors", "chance", "bound", "matched quantile", "untrained"):
        assert part(one, label) == pytest.approx(part(other, label), rel=1e-12), label


def test_few_units_of_noise_beat_permutations_and_units_that_see_do() -> None:
    masks = blobs((4, 80, 8, 8), 0.04)
    maps = noise((80, 200, 8, 8))
    found = of(concepts(maps, masks), permutations=39, quantile=0.05)
    assert 2 <= part(found, "above permutations") <= 22  # 10 are expected
    maps[:, :50] += 0.5 * masks[0][:, None]
    found = of(concepts(maps, masks), permutations=39, quantile=0.05)
    assert 50 <= part(found, "above permutations") <= 70


def test_a_unit_that_knows_its_place_alone_does_not_beat_permutations() -> None:
    """What is at the same place in every image stays where it is when images change places."""
    top = np.zeros((1, 40, 8, 8), bool)
    top[:, :, :4] = True
    maps = top.swapaxes(0, 1) + 0.9 * noise((40, 1, 8, 8))
    found = of(concepts(maps, top, ["position"]), quantile=0.1)
    assert found.value == pytest.approx(0.2, abs=0.01)
    assert part(found, "permuted images") == pytest.approx(found.value)
    assert part(found, "above permutations") == 0


def test_an_untrained_network_scores_too_and_its_draws_do_not_depend_on_the_trained() -> None:
    pixels = pictures(30, (3, 16, 16))
    bright = pixels.pixels.numpy() > np.quantile(pixels.pixels.numpy(), 0.9)
    own = Concepts.of(pixels, ["r", "g", "b"], ["colour"] * 3, bright.swapaxes(0, 1))
    one, other = (models.build("cifar-resnet", Task(3, 16, 16, 3), {"depth": 8}, s) for s in (0, 1))
    found = [
        netdissect(model, {"s": own}, permutations=19, quantile=0.05) for model in (one, other)
    ]
    assert found[0].value != found[1].value
    assert part(found[0], "untrained") == part(found[1], "untrained") > 0


@pytest.mark.parametrize(
    ("kind", "shape"), [("cifar-resnet", (1, 8, 8)), ("lenet", (3, 128, 128)), ("vit", (3, 32, 32))]
)
def test_it_works_on_networks_and_images_of_other_kinds(
    kind: str, shape: tuple[int, int, int]
) -> None:
    small = {"cifar-resnet": {"depth": 8}, "vit": {"dim": 24, "depth": 1, "patch": 4}, "lenet": {}}
    network, seen = models.build(kind, Task(*shape, 3), small[kind], 0), pictures(12, shape)
    masks = blobs((2, 12, shape[1] // 2, shape[2] // 2), 0.1)
    own = Concepts.of(seen, ["a", "b"], ["object"] * 2, masks)
    found = netdissect(network, {"s": own}, permutations=19, quantile=0.05)
    assert 0 < found.value < part(found, "bound") < 1
    assert netdissect(
        network, {"s": own}, permutations=19, quantile=0.05, batch_size=5
    ).value == pytest.approx(found.value, rel=1e-5)


def test_sets_count_alike_and_their_images_are_resampled_apart() -> None:
    one, other = mixed(), concepts(noise((12, 5, 8, 8), 3), blobs((2, 12, 16, 16), 0.1))
    empty = Concepts(images(noise((3, 5, 2, 2))), (), (), (2, 2), np.zeros((0, 3, 1), np.uint8))
    sets = {"s": one, "empty": empty, "t": other}
    found = netdissect(reader(5), sets, permutations=19, quantile=0.05)
    assert found.value == pytest.approx((found.parts["s"].value + found.parts["t"].value) / 2)
    assert found.parts["s"].value == of(one, quantile=0.05).value
    assert found.n == 42
    errors = found.parts["s"].stderr, found.parts["t"].stderr
    assert min(errors) > 0
    assert found.stderr == pytest.approx(np.hypot(*errors) / 2, rel=0.1)
    assert not [label for label in found.parts if label.startswith("empty")]


def test_the_order_of_sets_changes_nothing() -> None:
    sets = {"s": mixed(), "t": concepts(noise((12, 5, 8, 8), 3), blobs((2, 12, 16, 16), 0.1))}
    found, turned = (
        netdissect(reader(5), dict(order), permutations=19, quantile=0.05)
        for order in (sets.items(), reversed(sets.items()))
    )
    assert np.array_equal(np.asarray(found.replicates), np.asarray(turned.replicates))
    assert found.parts == turned.parts


def test_concepts_that_are_nowhere_do_no_harm() -> None:
    own = mixed()
    masks = np.stack([own.mask(0), np.zeros((30, 8, 8), bool)])
    found = of(concepts(own.images.pixels.numpy(), masks, ["colour", "object"]))
    assert part(found, "object") == 0
    assert found.value == part(found, "colour") > 0


def test_what_cannot_be_dissected_is_refused() -> None:
    with pytest.raises(NotApplicable, match="no set of concepts"):
        netdissect(reader(5), {})
    dead = concepts(np.zeros((4, 2, 3, 3)), blobs((1, 4, 3, 3), 0.2))
    with pytest.raises(NotApplicable, match="dead"):
        of(dead)
    single = concepts(noise((1, 2, 3, 3)), blobs((1, 1, 3, 3), 0.2))
    with pytest.raises(ValueError, match="at least 2"):
        of(single)
    for options in (
        {"permutations": 18},
        {"permutations": 0},
        {"threshold": 1.0},
        {"threshold": -0.1},
        {"layer": "9"},
        {"batch_size": 0},
    ):
        with pytest.raises(UserError, match=next(iter(options))):
            of(mixed(), **options)


def test_random_numbers_are_left_alone() -> None:
    network = reader(5)
    before = torch.get_rng_state()
    netdissect(network, {"s": mixed()}, permutations=19)
    assert torch.equal(torch.get_rng_state(), before)
