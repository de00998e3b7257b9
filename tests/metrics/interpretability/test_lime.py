"""Fits: scikit-learn, lime and captum, and functions of the segments that are recovered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from scratchcard.data.base import Images
from scratchcard.metrics.interpretability import lime
from scratchcard.metrics.interpretability.lime import fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded, occlude
from scratchcard.metrics.interpretability.segments import segments
from tests.metrics.interpretability.seen import (
    Seeing,
    additive,
    additive_in_probability,
    pictures,
)

with np.load(Path(__file__).with_name("lime.npz"), allow_pickle=False) as _file:
    ORACLES: dict[str, np.ndarray] = dict(_file)

SIZE = 3 * 16 * 16


def whole(model: Seeing, test: Images, masks: int) -> tuple[Occluded, Tensor]:
    """Answers of few enough images for a single part, and the masks."""
    (found,) = occlude(model, test, images=0, masks=masks).parts()
    return found


def seen_in_segments(model: Seeing, test: Images, count: int) -> Tensor:
    """What it sees in each segment of each image [B, S]."""
    each = test.floats().double() * model.get_buffer("pixels").reshape(test.task_shape)
    found = torch.zeros(len(test), count, dtype=torch.float64)
    return found.scatter_add(1, segments(test.pixels).flatten(1), each.sum(dim=1).flatten(1))


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
    found, masks = whole(model, test, 300)
    answers, signs = found.log_odds, 1 - 2 * found.classes[:, None]  # of the class predicted
    wanted = seen_in_segments(model, test, masks.shape[2]) * signs
    if kind == "probability":
        answers, wanted = answers.sigmoid(), wanted / 20
    near = weights(masks, masks[:, 0])
    shrunk = fit(masks, answers, near).coefficients
    error = (shrunk - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert error.max() < 0.05
    monkeypatch.setattr(lime, "RIDGE", 1e-9)
    exact = fit(masks, answers, near)
    torch.testing.assert_close(exact.coefficients, wanted, atol=1e-6, rtol=0)
    assert (exact(masks) - answers).abs().max() < 1e-6


def test_segments_that_the_network_does_not_see_explain_nothing() -> None:
    model, test = additive(SIZE), pictures(3)
    hidden = segments(test.pixels)[0] == 1
    model.get_buffer("pixels").reshape(3, 16, 16)[:, hidden] = 0
    some, masks = whole(model, test.take(torch.arange(1)), 400)
    found = fit(masks, some.log_odds, weights(masks, masks[:, 0])).coefficients[0]
    assert found[1].abs() < 0.01 * found.abs().max()
