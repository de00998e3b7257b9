"""PGD against linear networks, where it is exact, and against a loop over single images."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.noise import start, uniform
from scratchcard.metrics.attacks.pgd import pgd as attack
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.probe import logits
from tests.victims import (
    Cold,
    Hard,
    answered,
    digits_mlp,
    digits_test,
    distances,
    images,
    linear,
)


def examples(model: nn.Module, test: Images, **options: Any) -> np.ndarray:
    found = pgd(model, test, **options).examples
    assert found is not None
    return found


@pytest.mark.parametrize("eps", [2 / 255, 8 / 255, 30 / 255])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_two_linear_classes_fall_exactly_at_the_margin(eps: float, scale: float) -> None:
    # At scale 1e4 the cross-entropy's gradient underflows for most images.
    model, test = linear(scale=scale), images(500)
    robust = (distances(model, test) > eps).double().numpy()
    assert 0.02 < robust.mean() < 0.6
    assert np.array_equal(examples(model, test, eps=eps), robust)


def test_the_plain_cross_entropy_would_be_blunted_by_confidence() -> None:
    test = images(500)
    model = linear(scale=1e4)
    x = test.floats()
    for _ in range(20):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(cross_entropy(model(x), test.labels), x)
        x = (x + 2 / 255 * slope.sign()).clamp(test.floats() - 8 / 255, test.floats() + 8 / 255)
        x = x.detach()
    textbook = (logits(model, x).argmax(axis=1) == test.labels.numpy()).mean()
    assert textbook > pgd(model, test).value + 0.1


@pytest.mark.parametrize("eps", [2 / 255, 8 / 255, 16 / 255, 32 / 255, 64 / 255])
def test_many_steps_are_never_weaker_than_one(eps: float) -> None:
    for model, test in ((digits_mlp(), digits_test()), (linear(), images(300))):
        assert pgd(model, test, eps=eps).value <= fgsm(model, test, eps=eps).value


def test_accuracy_falls_with_eps() -> None:
    values = [pgd(digits_mlp(), digits_test(), eps=e / 255).value for e in (0, 4, 8, 16, 32, 64)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.02


def test_no_room_is_clean_accuracy() -> None:
    reading = pgd(digits_mlp(), digits_test(), eps=0.0)
    right = logits(digits_mlp(), digits_test().pixels).argmax(axis=1)
    assert reading.value == (right == digits_test().labels.numpy()).mean()
    assert reading.parts["clean"].value == reading.value


def one_by_one(
    model: nn.Module, x: Tensor, y: int, begin: Tensor, eps: float
) -> tuple[bool, Tensor]:
    """The definition, for one image [C, H, W]."""
    now = (x + eps * begin).clamp(0, 1)
    for _ in range(10):
        now = now.detach().requires_grad_()
        z = model(now[None])[0].double()
        if z.argmax() != y:
            return False, now.detach()
        others = torch.cat([z[:y], z[y + 1 :]])
        (slope,) = torch.autograd.grad(others.logsumexp(0) - z[y], now)
        now = now.detach() + eps / 4 * slope.sign()
        now = torch.minimum(torch.maximum(now, x - eps), x + eps).clamp(0, 1)
    return bool(model(now[None]).argmax() == y), now.detach()


def test_batches_give_what_single_images_give() -> None:
    model, test, eps = digits_mlp(), digits_test().take(torch.arange(60)), 24 / 255
    x, begin = test.floats(), start(test.floats(), 5, "pgd", 0)
    rows = zip(x, test.labels.tolist(), begin, strict=True)
    wanted, reached = zip(*(one_by_one(model, *row, eps) for row in rows), strict=True)
    found = examples(model, test, eps=eps, steps=10, seed=5)
    assert 0.3 < np.mean(wanted) < 0.8
    assert np.abs(found - np.array(wanted)).sum() <= 1
    made = attack(model, x, test.labels, eps=eps, steps=10, start=begin)
    assert (made - torch.stack(reached)).abs().flatten(1).amax(dim=1).lt(1e-6).sum() >= 57


def test_attacked_pixels_stay_in_the_box_and_the_ball() -> None:
    x, y = digits_test().floats(), digits_test().labels
    for to_the_end in (False, True):
        made = attack(
            digits_mlp(), x, y, eps=0.1, steps=7, start=start(x, 0), to_the_end=to_the_end
        )
        assert 0 <= made.min() <= made.max() <= 1
        assert (made - x).abs().max() == pytest.approx(0.1, rel=1e-6)


def test_what_is_fooled_stays_as_it_was_unless_it_shall_go_on() -> None:
    x, y = digits_test().floats(), digits_test().labels
    options: dict[str, Any] = {"eps": 0.2, "start": start(x, 0)}
    few = attack(digits_mlp(), x, y, steps=6, **options)
    more = attack(digits_mlp(), x, y, steps=9, **options)
    end = attack(digits_mlp(), x, y, steps=9, to_the_end=True, **options)
    with torch.no_grad():
        fooled = digits_mlp()(few).argmax(dim=1) != y
        lead = [cross_entropy(digits_mlp()(made), y).item() for made in (more, end)]
    assert fooled.float().mean() > 0.3
    assert torch.equal(few[fooled], more[fooled])
    assert lead[1] > 2 * lead[0]


def test_restarts_only_lower_it_and_start_elsewhere() -> None:
    one, three = (
        examples(digits_mlp(), digits_test(), eps=24 / 255, steps=3, restarts=n) for n in (1, 3)
    )
    assert (three <= one).all()
    assert three.sum() < one.sum()


def test_neither_batches_nor_the_order_matter() -> None:
    test = digits_test()
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(3))
    one = examples(digits_mlp(), test, eps=24 / 255)
    other = examples(digits_mlp(), test, eps=24 / 255, batch_size=7)
    shuffled = examples(digits_mlp(), test.take(order), eps=24 / 255)
    assert np.abs(one - other).sum() <= 1
    assert np.abs(one[order.numpy()] - shuffled).sum() <= 1


def test_starts_belong_to_the_image_and_fill_the_ball() -> None:
    x = digits_test().floats()
    whole = start(x, 0, "a")
    assert torch.equal(whole[5:9], start(x[5:9], 0, "a"))
    assert whole.min() < -0.99
    assert whole.max() > 0.99
    for other in (start(x, 1, "a"), start(x, 0, "b")):
        assert (other == whole).float().mean() < 0.01
    assert abs(np.corrcoef(whole[0].flatten(), whole[1].flatten())[0, 1]) < 0.5
    assert uniform(x, (2, 3), 0, "c").shape == (len(x), 2, 3)


def test_more_images_than_there_are_means_all() -> None:
    whole = examples(digits_mlp(), digits_test())
    assert np.array_equal(examples(digits_mlp(), digits_test(), images=4000), whole)
    assert np.array_equal(examples(digits_mlp(), digits_test(), stderr=0.001), whole)


def test_networks_without_gradients_are_left_standing() -> None:
    flat = pgd(Hard(linear()), images(100), eps=1 / 255)
    assert flat.value == pytest.approx(flat.parts["clean"].value, abs=0.05)
    assert Cold(linear())(images(2).floats()).requires_grad


def test_colour_images_of_odd_shape() -> None:
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (30, 3, 5, 9), generator=stream, dtype=torch.uint8)
    layer = nn.Linear(135, 3)
    nn.init.normal_(layer.weight, generator=stream)
    model = nn.Sequential(nn.Flatten(), layer)
    reading = pgd(model, answered(model, Images(pixels, torch.zeros(30).long())), eps=0.2)
    assert reading.value == 0
    assert reading.parts["clean"].value == 1


class Broken(nn.Module):
    """Logits that are not numbers on images brighter than grey."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-bright, (-bright).sqrt()], dim=1)


def test_logits_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="infinite or not a number"):
        pgd(Broken(), images(20))
    dark = answered(Broken(), images(20, low=100, high=120))
    with pytest.raises(ValueError, match="under attack"):
        pgd(Broken(), Images(dark.pixels, torch.ones(20).long()), eps=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 8.0}, "not 8.0"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"restarts": 0}, "restarts must be 1 or more"),
        ({"images": -1}, "images = -1"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"step": 0.0}, "step is"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pgd(linear(), images(4), **options)


def test_one_image_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="at least 2 examples"):
        pgd(linear(), images(1))
