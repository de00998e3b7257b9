"""FGSM against linear networks, where the attack is exact."""

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.probe import logits


def images(n: int, classes: int = 2, low: int = 0, high: int = 256) -> Images:
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(low, high, (n, 1, 4, 4), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, classes, (n,), generator=stream))


def linear(classes: int = 2, scale: float = 1.0) -> nn.Module:
    stream = torch.Generator().manual_seed(1)
    layer = nn.Linear(16, classes)
    layer.weight.data = torch.randn(classes, 16, generator=stream) * scale
    layer.bias.data = -layer.weight.data.sum(dim=1) / 2
    return nn.Sequential(nn.Flatten(), layer)


@pytest.mark.parametrize("eps", [2 / 255, 8 / 255, 30 / 255])
def test_two_linear_classes_fall_exactly_at_the_margin(eps: float) -> None:
    # Pixels in 31..224, so that clipping to [0, 1] never helps.
    model, test = linear(), images(500, low=31, high=225)
    w, b = model[1].weight.detach().double(), model[1].bias.detach().double()  # type: ignore[index]
    x = test.pixels.flatten(1).double() / 255
    own = test.labels
    margin = x @ (w[0] - w[1]) + b[0] - b[1]
    margin = torch.where(own == 0, margin, -margin)
    robust = margin > eps * (w[0] - w[1]).abs().sum()
    reading = fgsm(model, test, eps=eps)
    assert reading.value == float(robust.double().mean())
    assert reading.examples is not None
    assert np.array_equal(reading.examples, robust.double().numpy())


def test_no_step_is_clean_accuracy() -> None:
    model, test = linear(5), images(300, 5)
    clean = logits(model, test.pixels).argmax(axis=1) == test.labels.numpy()
    reading = fgsm(model, test, eps=0.0)
    assert reading.examples is not None
    assert np.array_equal(reading.examples, clean)


def test_a_linear_network_is_never_helped_by_a_larger_step() -> None:
    test = images(300, low=80, high=170)
    values = [fgsm(linear(), test, eps=eps / 255).value for eps in (0, 1, 2, 4, 8, 16, 32)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_attacked_pixels_stay_in_the_box_and_the_ball() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.detach().sum() >= 0:  # a branch, so that the spy is not traced away
                seen.append(x.detach().clone())
            return torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], dim=1)

    test = images(20)
    fgsm(Spy(), test)
    clean, attacked = test.floats(), seen[-1]
    assert 0 <= attacked.min() <= attacked.max() <= 1
    assert (attacked - clean).abs().max() == pytest.approx(8 / 255, rel=1e-5)


def test_gradients_that_vanish_are_counted() -> None:
    reading = fgsm(linear(scale=1e4), images(200))
    lost = reading.parts["zero-gradient"]
    assert 0.2 < lost.value < 1
    assert lost.n == 200
    assert fgsm(linear(), images(200)).parts["zero-gradient"].value == 0


def test_the_size_of_the_batches_is_not_seen() -> None:
    one, other = (fgsm(linear(3), images(100, 3), batch_size=size) for size in (100, 9))
    assert np.array_equal(np.asarray(one.examples), np.asarray(other.examples))


@pytest.mark.parametrize("eps", [-0.1, 8.0])
def test_eps_out_of_pixel_range_is_refused(eps: float) -> None:
    with pytest.raises(UserError, match=f"not {eps}"):
        fgsm(linear(), images(4), eps=eps)
