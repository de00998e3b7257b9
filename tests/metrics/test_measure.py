"""``measure`` and ``call``: options, missing inputs, answers that are no numbers."""

from dataclasses import replace
from typing import SupportsIndex

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics import call, measure, options
from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.inputs import Data
from scratchcard.probe import Predictions, logits
from scratchcard.registry import METRICS


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


@pytest.fixture
def test_set() -> Images:
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (50, 1, 4, 4), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.arange(50) % 3)


def test_it_gives_what_the_metric_gives(model: nn.Module, test_set: Images) -> None:
    reading = measure(model, "ece", (test_set.floats(), test_set.labels), bins=9)
    direct = ece(Predictions(logits(model, test_set.pixels), test_set.labels.numpy()), bins=9)
    assert reading.value == pytest.approx(direct.value, abs=1e-6)
    assert reading.params == {"bins": 9}
    assert model.training


def test_every_input_reaches_a_metric(model: nn.Module, test_set: Images) -> None:
    foreign: dict[str, Data] = {
        "pixels": test_set.pixels,
        "pair": (test_set.pixels, test_set.labels),
    }
    reading = measure(model, "ood-auroc", test_set, ood=foreign)
    assert [part.value for part in reading.parts.values()] == [0.5, 0.5]
    assert measure(model, "fgsm", test_set, eps=0.0).value == pytest.approx(
        measure(model, "accuracy", test_set).value
    )


def test_named_sets_are_made_to_fit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 4, 6), nn.ReLU(), nn.Linear(6, 3))
    images = torch.rand(4, 3, 5, 4), torch.tensor([0, 1, 2, 0])
    reading = measure(
        network, "linear-probe", images, transfer={"digits": ("digits", "digits")}, l2=(0.1,)
    )
    assert reading.parts["digits"].value > 0.3


def test_the_profile_sets_the_constants_and_the_user_overrides_them() -> None:
    spec = METRICS.get("ece")
    assert options(spec, "default", {}) == {"bins": 15}
    assert options(spec, "paper", {}) == {"bins": 14}
    assert options(spec, "paper", {"bins": 20}) == {"bins": 20}


def test_wrong_wishes_are_refused_with_a_hint(model: nn.Module, test_set: Images) -> None:
    with pytest.raises(UserError, match='no option "bin"; did you mean "bins"'):
        measure(model, "ece", test_set, bin=3)
    with pytest.raises(UserError, match=r'no option "bins" \(known: none\)'):
        measure(model, "nll", test_set, bins=3)
    with pytest.raises(UserError, match='unknown metric "acuracy"; did you mean "accuracy"'):
        measure(model, "acuracy", test_set)
    with pytest.raises(UserError, match='unknown profile "papers"'):
        measure(model, "ece", test_set, profile="papers")
    with pytest.raises(UserError, match=r"needs ood_logits .*: pass ood="):
        measure(model, "ood-auroc", test_set)


def test_only_what_is_needed_is_computed() -> None:
    p = Predictions(np.zeros((4, 2), np.float32), np.zeros(4, int))

    def never() -> None:
        raise AssertionError("not needed")

    reading = call(METRICS.get("accuracy"), {"logits": lambda: p, "model": never}, {})
    assert reading.value == 1


def test_a_network_that_answers_nan_is_refused(test_set: Images) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) / 0 * 0

    with pytest.raises(ValueError, match="logits are infinite or not a number"):
        measure(Broken(), "accuracy", test_set)


def test_a_reading_that_is_no_number_is_refused() -> None:
    spec = replace(METRICS.get("accuracy"), target=lambda logits: Reading(float("nan"), 0.0, 4))
    with pytest.raises(ValueError, match='metric "accuracy" is nan'):
        call(spec, {"logits": lambda: None}, {})


def test_a_number_of_masks_is_an_option(model: nn.Module, test_set: Images) -> None:
    numbers: tuple[SupportsIndex, ...] = (9, np.int64(9))
    for number in numbers:
        reading = measure(model, "fidelity", test_set, images=3, masks=number)
        assert reading.params["masks"] == 9
        assert type(reading.params["masks"]) is int
    with pytest.raises(UserError, match='metric "accuracy" has no option "masks"'):
        measure(model, "accuracy", test_set, masks=9)
