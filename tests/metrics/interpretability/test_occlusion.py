"""What is shown and what is answered, against loops and closed forms, and kept as arrays."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import NEED_OPTIONS, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability import occlusion
from scratchcard.metrics.interpretability.occlusion import (
    Occluded,
    Scene,
    log_odds,
    occlude,
    scenes,
)
from scratchcard.testing.metric_cases import Answering
from scratchcard.testing.metrics import WRONG_ANSWERS
from tests.metrics.interpretability.seen import Seeing, additive, convolutional, pictures

SIZE = 3 * 16 * 16


def target(model: nn.Module, test: Images, batch_size: int = 64) -> Target:
    return Target.of(model, test, batch_size=batch_size)


def first(model: nn.Module, test: Images, *, masks: int = 64, seed: int = 0) -> Scene:
    return next(scenes(target(model, test), masks=masks, seed=seed))


def counts(scene: Scene) -> list[int]:
    return [int(parts.max()) + 1 for parts in scene.segments]


def test_masks_keep_about_half_and_the_first_keeps_all() -> None:
    scene = first(convolutional(), pictures(8), masks=500)
    for masks, count in zip(scene.masks, counts(scene), strict=True):
        own = masks[:, :count].double()
        assert count > 3
        assert own[0].all()
        assert not masks[:, count:].any()
        assert (own[1:].mean(dim=0) - 0.5).abs().max() < 5 * (0.25 / 499) ** 0.5
        # and no two go together
        together = torch.corrcoef(own[1:].T) - torch.eye(count, dtype=torch.float64)
        assert together.abs().max() < 0.25


def test_masks_depend_on_image_and_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    test = pictures(5)
    (together,) = scenes(target(convolutional(), test), masks=20, seed=0)
    monkeypatch.setattr(occlusion, "TOGETHER", 1)
    single = list(scenes(target(additive(SIZE), test, 7), masks=20, seed=0))
    assert len(single) == 5
    for i, scene in enumerate(single):
        count = scene.masks.shape[2]
        assert torch.equal(scene.masks[0], together.masks[i, :, :count])
        assert torch.equal(scene.segments[0], together.segments[i])
    other = first(additive(SIZE), test, masks=20, seed=1)
    assert not torch.equal(other.masks, together.masks)
    assert not torch.equal(together.masks[0, :, :4], together.masks[1, :, :4])


def test_too_few_masks_are_refused() -> None:
    with pytest.raises(UserError, match="masks must be 2 or more, not 1"):
        first(convolutional(), pictures(1), masks=1)


def test_answers_are_those_of_a_loop() -> None:
    model, test = convolutional(), pictures(3)
    scene = first(model, test, masks=12)
    found, classes = log_odds(target(model, test, 5), scene)
    for i, image in enumerate(test.floats()):
        predicted = int(model(image[None]).argmax())
        assert classes[i] == predicted
        for m, mask in enumerate(scene.masks[i]):
            covered = image.clone()
            for segment in range(counts(scene)[i]):
                if not mask[segment]:
                    covered[:, scene.segments[i] == segment] = 0
            p = model(covered[None]).double().softmax(dim=1)[0, predicted]
            assert found[i, m] == pytest.approx(float(p.log() - (1 - p).log()), abs=1e-5)


def test_other_images_and_classes_can_be_asked_for() -> None:
    model, test = convolutional(), pictures(2)
    scene = first(model, test, masks=12)
    others = 1 - scene.images
    turned = dataclasses.replace(scene, images=others)
    found, _ = log_odds(target(model, test), turned, classes=torch.tensor([2, 0]))
    p = model(others).double().softmax(dim=1)
    wanted = torch.stack([p[0, 2], p[1, 0]]).logit()
    torch.testing.assert_close(found[:, 0], wanted, atol=1e-5, rtol=0)


def test_neither_batches_nor_neighbours_matter() -> None:
    model, test = convolutional(), pictures(4)
    scene = first(model, test, masks=50)
    whole, _ = log_odds(target(model, test, 256), scene)
    small, _ = log_odds(target(model, test, 3), scene)
    torch.testing.assert_close(whole, small, atol=1e-5, rtol=1e-5)


def test_a_mask_that_comes_twice_is_shown_once() -> None:
    halves = torch.full((2, 3, 8, 8), 50, dtype=torch.uint8)
    halves[..., 4:] = 200
    model, test = additive(3 * 8 * 8), Images(halves, torch.tensor([0, 1]))
    subject = target(model, test)
    (scene,) = scenes(subject, masks=300, seed=0)
    assert counts(scene) == [4, 4]  # edges are segments, too
    model.shown.clear()
    found, _ = log_odds(subject, scene)
    assert sum(model.shown) == 2 * 2**4
    each = (scene.images.double().flatten(1) * model.get_buffer("pixels")).reshape(2, 3, -1)
    added = torch.zeros(2, 4).double().scatter_add(1, scene.segments.flatten(1), each.sum(dim=1))
    exact = (scene.masks.double() @ added[:, :, None])[:, :, 0]
    torch.testing.assert_close(found.abs(), exact.abs(), atol=1e-6, rtol=0)


def test_boundless_confidence_is_a_number() -> None:
    model, test = convolutional(scale=1e6), pictures(2)
    found, _ = log_odds(target(model, test), first(model, test))
    assert found.isfinite().all()
    assert found.abs().max() > 1e5


def test_logits_that_are_no_numbers_are_refused() -> None:
    broken = Seeing(lambda seen: torch.stack([seen / (seen != seen[0]), seen], dim=1), SIZE)
    test = pictures(2)
    subject = dataclasses.replace(target(additive(SIZE), test), network=broken)
    with pytest.raises(ValueError, match="with segments in black, some logits are infinite"):
        log_odds(subject, first(additive(SIZE), test))


def parts_of(found: Occluded) -> list[tuple[Occluded, Tensor]]:
    return list(found.parts())


def test_all_images_together_are_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occlusion, "TOGETHER", 45)  # so that there are several parts
    model, test = convolutional(), pictures(7)
    found = occlude(model, test, images=0, masks=15)
    assert found.rows.tolist() == list(range(7))
    assert found.masks.shape == (7, 15, int(found.counts.max()))
    assert [len(part.rows) for part, _ in parts_of(found)] == [3, 3, 1]
    both = ((part, i) for part, _ in parts_of(found) for i in range(len(part.rows)))
    for image, (part, i) in enumerate(both):
        alone = test.take(torch.tensor([image]))
        scene = first(model, alone, masks=15)
        answers, classes = log_odds(target(model, alone), scene)
        count = int(part.counts[i])
        assert count == scene.masks.shape[2] == int(found.counts[image])
        assert torch.equal(part.masks[i, :, :count], scene.masks[0])
        assert not part.masks[i, :, count:].any()
        assert part.masks.shape[2] == part.counts.max()
        torch.testing.assert_close(part.log_odds[i], answers[0], atol=1e-5, rtol=1e-5)
        assert part.classes[i] == classes[0]


def test_masks_of_a_part_are_numbers_for_fits() -> None:
    ((part, masks),) = occlude(convolutional(), pictures(2), images=0, masks=9).parts()
    assert masks.dtype == torch.float64
    assert torch.equal(masks == 1, part.masks)
    assert torch.equal(masks == 0, ~part.masks)


def test_some_images_are_drawn_class_by_class_or_are_the_first() -> None:
    model, test = convolutional(), pictures(30)
    drawn = occlude(model, test, images=6, masks=8)
    assert drawn.rows.tolist() == sorted(drawn.rows.tolist())
    assert drawn.rows.tolist() != list(range(6))
    assert torch.bincount(test.labels[drawn.rows]).tolist() == [2, 2, 2]
    first_ones = occlude(model, test, images=6, masks=8, first=True)
    assert first_ones.rows.tolist() == list(range(6))
    everything = occlude(model, test, images=0, masks=8)
    for some in (drawn, first_ones):
        wanted = everything.log_odds[some.rows]
        torch.testing.assert_close(some.log_odds, wanted, atol=1e-5, rtol=1e-5)
        assert torch.equal(some.classes, everything.classes[some.rows])


def test_the_options_of_the_need_are_those_of_the_function() -> None:
    own = {
        name: one.default
        for name, one in inspect.signature(occlude).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    }
    for need in ("occluded_logits", "dense_occluded_logits"):
        assert own == {name: option.default for name, option in NEED_OPTIONS[need].items()}


@pytest.mark.parametrize("masks", [7, 8, 40])
def test_what_is_packed_comes_back_to_the_last_bit(masks: int) -> None:
    found = occlude(convolutional(), pictures(5), images=3, masks=masks)
    packed = found.pack()
    assert packed["masks"].nbytes <= found.masks.numel() / 8 + 1
    again = Occluded.unpack(packed)
    for field in dataclasses.fields(Occluded):
        old, new = getattr(found, field.name), getattr(again, field.name)
        assert old.dtype == new.dtype
        assert torch.equal(old, new), field.name


@pytest.mark.parametrize("change", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_what_are_no_logits_is_refused(change: Any) -> None:
    with pytest.raises(ValueError, match="logits"):
        occlude(Answering(convolutional(), change), pictures(3), images=0, masks=8)
