"""Masks, answers under them and fits: closed forms, loops, scikit-learn, lime and captum."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability import lime
from scratchcard.metrics.interpretability.lime import Scene, fit, log_odds, scenes, weights
from scratchcard.metrics.interpretability.segments import segments
from tests.metrics.interpretability.seen import (
    Seeing,
    additive,
    additive_in_probability,
    convolutional,
    pictures,
)

with np.load(Path(__file__).with_name("lime.npz"), allow_pickle=False) as _file:
    ORACLES: dict[str, np.ndarray] = dict(_file)

SIZE = 3 * 16 * 16


def target(model: nn.Module, test: Images, batch_size: int = 64) -> Target:
    return Target.of(model, test, batch_size=batch_size)


def first(model: nn.Module, test: Images, *, masks: int = 64, seed: int = 0) -> Scene:
    return next(scenes(target(model, test), masks=masks, seed=seed))


def seen_in_segments(model: Seeing, scene: Scene) -> Tensor:
    """What it sees in each segment of each image [B, S]."""
    pixels = model.get_buffer("pixels").reshape(scene.images.shape[1:])
    each = (scene.images.double() * pixels).sum(dim=1).flatten(1)
    found = torch.zeros(len(each), scene.masks.shape[2], dtype=torch.float64)
    return found.scatter_add(1, scene.segments.flatten(1), each)


def test_masks_keep_about_half_and_the_first_keeps_all() -> None:
    scene = first(convolutional(), pictures(8), masks=500)
    for masks, count in zip(scene.masks, scene.counts.tolist(), strict=True):
        own = masks[:, :count]
        assert count > 3
        assert own[0].all()
        assert not masks[:, count:].any()
        assert set(own.unique().tolist()) == {0.0, 1.0}
        assert (own[1:].mean(dim=0) - 0.5).abs().max() < 5 * (0.25 / 499) ** 0.5
        # and no two go together
        together = torch.corrcoef(own[1:].T) - torch.eye(count, dtype=torch.float64)
        assert together.abs().max() < 0.25


def test_masks_depend_on_image_and_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    test = pictures(5)
    (together,) = scenes(target(convolutional(), test), masks=20, seed=0)
    monkeypatch.setattr(lime, "TOGETHER", 1)
    single = list(scenes(target(additive(SIZE), test, 7), masks=20, seed=0))
    assert len(single) == 5
    for i, scene in enumerate(single):
        count = int(scene.counts)
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
            for segment in range(int(scene.counts[i])):
                if not mask[segment]:
                    covered[:, scene.segments[i] == segment] = 0
            p = model(covered[None]).double().softmax(dim=1)[0, predicted]
            assert found[i, m] == pytest.approx(float(p.log() - (1 - p).log()), abs=1e-5)


def test_other_images_and_classes_can_be_asked_for() -> None:
    model, test = convolutional(), pictures(2)
    scene = first(model, test, masks=12)
    others = 1 - scene.images
    found, _ = log_odds(target(model, test), scene, images=others, classes=torch.tensor([2, 0]))
    turned, _ = log_odds(
        target(model, test), dataclasses.replace(scene, images=others), classes=torch.tensor([2, 0])
    )
    assert torch.equal(found, turned)
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
    assert scene.counts.tolist() == [4, 4]  # edges are segments, too
    model.shown.clear()
    found, _ = log_odds(subject, scene)
    assert sum(model.shown) == 2 * 2**4
    exact = (scene.masks @ seen_in_segments(model, scene)[:, :, None])[:, :, 0]
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


def test_weights_are_those_of_the_definition() -> None:
    masks = torch.tensor([[[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]]).double()
    distances = torch.tensor([0, 1 - 0.5, 1 - 0.5**0.5, 1]).double()
    wanted = torch.exp(-(distances**2) / 0.25**2).sqrt()
    torch.testing.assert_close(weights(masks, masks[:, 0])[0], wanted)
    to_the_last = weights(masks, masks[:, 3])[0]
    torch.testing.assert_close(to_the_last, torch.full((4,), float(wanted[3])).double())


@pytest.mark.parametrize("centre", [0, 7])
def test_a_fit_is_that_of_lime(centre: int) -> None:
    masks, answers = (torch.from_numpy(ORACLES[name])[None] for name in ("masks", "answers"))
    near = weights(masks, masks[:, centre])
    found = fit(masks, answers, near)
    wanted = ORACLES[f"coefficients {centre}"]
    np.testing.assert_allclose(found.coefficients[0].numpy(), wanted, rtol=0, atol=1e-10)
    assert float(found.intercept) == pytest.approx(float(ORACLES[f"intercept {centre}"]), abs=1e-10)
    mean = (near * answers).sum() / near.sum()
    missed = (near * (found(masks) - answers) ** 2).sum() / (near * (answers - mean) ** 2).sum()
    assert 1 - float(missed) == pytest.approx(float(ORACLES[f"score {centre}"]), abs=1e-10)


def test_a_fit_is_that_of_captum() -> None:
    masks, answers = (torch.from_numpy(ORACLES[name])[None] for name in ("masks", "answers"))
    found = fit(masks, answers, weights(masks, masks[:, 0])).coefficients[0].numpy()
    np.testing.assert_allclose(found, ORACLES["coefficients of captum"], rtol=0, atol=1e-6)


def test_many_fits_at_once_are_those_of_scikit_learn() -> None:
    stream = torch.Generator().manual_seed(0)
    masks = (torch.rand(6, 40, 9, generator=stream) < 0.5).double()
    for i in range(6):
        masks[i, :, 4 + i :] = 0  # images with fewer segments
    answers, near = torch.randn(2, 6, 40, generator=stream, dtype=torch.float64)
    near = near.exp()
    found = fit(masks, answers, near)
    for i in range(6):
        ridge = Ridge(alpha=1.0).fit(masks[i, :, : 4 + i], answers[i], sample_weight=near[i])
        np.testing.assert_allclose(found.coefficients[i, : 4 + i], ridge.coef_, atol=1e-12)
        assert not found.coefficients[i, 4 + i :].any()
        assert float(found.intercept[i]) == pytest.approx(ridge.intercept_, abs=1e-12)
        predicted = ridge.predict(masks[i, :, : 4 + i])
        np.testing.assert_allclose(found(masks)[i], predicted, atol=1e-12)


@pytest.mark.parametrize("kind", ["log-odds", "probability"])
def test_a_linear_set_function_is_recovered(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = additive(SIZE) if kind == "log-odds" else additive_in_probability(SIZE)
    test = pictures(6)
    scene = first(model, test, masks=300)
    answers, classes = log_odds(target(model, test), scene)
    wanted = seen_in_segments(model, scene) * (1 - 2 * classes[:, None])  # of the class predicted
    if kind == "probability":
        answers, wanted = answers.sigmoid(), wanted / 20
    near = weights(scene.masks, scene.masks[:, 0])
    shrunk = fit(scene.masks, answers, near).coefficients
    error = (shrunk - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert error.max() < 0.05
    monkeypatch.setattr(lime, "RIDGE", 1e-9)
    exact = fit(scene.masks, answers, near)
    torch.testing.assert_close(exact.coefficients, wanted, atol=1e-6, rtol=0)
    assert (exact(scene.masks) - answers).abs().max() < 1e-6


def test_segments_that_the_network_does_not_see_explain_nothing() -> None:
    model, test = additive(SIZE), pictures(3)
    hidden = segments(test.pixels)[0] == 1
    model.get_buffer("pixels").reshape(3, 16, 16)[:, hidden] = 0
    scene = first(model, test.take(torch.arange(1)), masks=400)
    answers, _ = log_odds(target(model, test), scene)
    found = fit(scene.masks, answers, weights(scene.masks, scene.masks[:, 0])).coefficients[0]
    assert found[1].abs() < 0.01 * found.abs().max()
