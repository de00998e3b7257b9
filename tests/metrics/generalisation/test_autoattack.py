"""The ensemble against closed forms, and its attacks against loops over single images."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.apgd import apgd, checkpoints, targets_of_rank
from scratchcard.metrics.attacks.losses import log_odds, margin, targeted_dlr
from scratchcard.metrics.attacks.noise import start, uniform
from scratchcard.metrics.attacks.pgd import pgd as plain_pgd
from scratchcard.metrics.attacks.square import side, square
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.generalisation.autoattack import autoattack
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.pgd import pgd
from tests.victims import (
    Cold,
    Staircase,
    answered,
    digits_mlp,
    digits_test,
    distances,
    images,
    level,
    linear,
)

FORTY = torch.arange(40)


def examples(model: nn.Module, test: Images, **options: Any) -> np.ndarray:
    found = autoattack(model, test, **options).examples
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_ten_linear_classes_fall_at_the_nearest_of_nine_planes(scale: float) -> None:
    model, eps = linear(10, scale), 10 / 255
    test = answered(model, images(300))
    robust = (distances(model, test) > eps).double().numpy()
    assert 0.15 < robust.mean() < 0.5
    assert np.array_equal(examples(model, test, eps=eps), robust)
    # One loss that mixes the classes does not find them all.
    assert fgsm(model, test, eps=eps).value > robust.mean()
    assert pgd(model, test, eps=eps).value > robust.mean()


@pytest.mark.parametrize("eps", [2 / 255, 8 / 255])
def test_two_linear_classes_need_the_first_attack_only(eps: float) -> None:
    model, test = linear(), images(300)
    reading = autoattack(model, test, eps=eps)
    robust = float((distances(model, test) > eps).double().mean())
    assert reading.value == reading.parts["after APGD-CE"].value == robust


def test_three_classes_have_no_fourth() -> None:
    model = linear(3)
    test = answered(model, images(300))
    robust = (distances(model, test) > 8 / 255).double().numpy()
    assert np.array_equal(examples(model, test), robust)


def test_parts_fall_from_attack_to_attack() -> None:
    reading = autoattack(digits_mlp(), digits_test(), eps=32 / 255)
    names = ["clean", "after APGD-CE", "after APGD-T", "after Square"]
    assert list(reading.parts) == names
    values = [reading.parts[name].value for name in names]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9 > 0.5 > values[1] > values[2]
    assert reading.value == values[-1]
    assert all(part.n == 300 for part in reading.parts.values())


@pytest.mark.parametrize("eps", [16 / 255, 32 / 255])
def test_auto_pgd_raises_the_loss_more_than_pgd_at_equal_cost(eps: float) -> None:
    model, test = digits_mlp(), digits_test()
    x, y, begin = test.floats(), test.labels, start(test.floats(), 0)
    options: dict[str, Any] = {"eps": eps, "steps": 20, "start": begin}
    with torch.no_grad():
        plain = model(plain_pgd(model, x, y, **options))
        auto = model(apgd(model, x, y, **options))
    left = [z.argmax(dim=1) == y for z in (plain, auto)]
    both = left[0] & left[1]
    assert log_odds(auto, y)[both].mean() > log_odds(plain, y)[both].mean()
    # The highest loss is not always the wrong class's, so an image or two may be lost by it.
    assert int(left[1].sum()) <= int(left[0].sum()) + 2


def test_the_ensemble_is_stronger_than_pgd_at_equal_steps() -> None:
    test, eps = digits_test(), 32 / 255
    all_three = examples(digits_mlp(), test, eps=eps)
    alone = pgd(digits_mlp(), test, eps=eps).examples
    assert alone is not None
    assert all_three.sum() < alone.sum()
    assert (all_three > alone).sum() <= 1


def one_by_one(model: nn.Module, x: Tensor, y: int, begin: Tensor, eps: float, n: int) -> Tensor:
    """Algorithm 1 of the paper, for one image [C, H, W] until it is fooled."""

    def project(z: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(z, x - eps), x + eps).clamp(0, 1)

    def loss(z: Tensor) -> tuple[bool, float, Tensor]:
        z = z.detach().requires_grad_()
        logits = model(z[None])[0].double()
        lost = torch.cat([logits[:y], logits[y + 1 :]]).logsumexp(0) - logits[y]
        return bool(logits.argmax() != y), lost.item(), torch.autograd.grad(lost, z)[0]

    points = [project(x + eps * begin)]
    fooled, f, g = loss(points[0])
    best, best_f, best_g = points[0], f, g
    step, length, top, risen, last = 2 * eps, [2 * eps], [f], 0, 0
    for k in range(n):
        if fooled:
            return points[-1]
        if k in checkpoints(n):
            few = risen < 0.75 * (k - last)
            same = length[-1] == step and top[-1] == best_f
            length, top = [*length, step], [*top, best_f]
            if few or same:
                step /= 2
                points[-1], f, g = best, best_f, best_g
            risen, last = 0, k
        z = project(points[-1] + step * g.sign())
        if k:
            z = project(points[-1] + 0.75 * (z - points[-1]) + 0.25 * (points[-1] - points[-2]))
        points.append(z)
        before = f
        fooled, f, g = loss(z)
        risen += f > before
        if f > best_f:
            best, best_f, best_g = z, f, g
    return points[-1] if fooled else best


def test_auto_pgd_is_the_algorithm_of_the_paper() -> None:
    model, test, eps = digits_mlp(), digits_test().take(FORTY), 24 / 255
    x, begin = test.floats(), start(test.floats(), 0)
    made = apgd(model, x, test.labels, eps=eps, steps=30, start=begin)
    rows = zip(x, test.labels.tolist(), begin, strict=True)
    wanted = torch.stack([one_by_one(model, *row, eps, 30) for row in rows])
    # A last bit can turn the sign of a gradient near 0, and then a walk.
    assert (made - wanted).abs().flatten(1).amax(dim=1).lt(1e-5).sum() >= 38
    with torch.no_grad():
        left = model(made).argmax(dim=1) == test.labels
    assert 0.3 < left.float().mean() < 0.9


def test_when_the_length_of_the_step_is_thought_over() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == [1] * 8


def test_the_losses_by_hand() -> None:
    z = torch.tensor([[4.0, 1.0, 3.0, 0.0, 2.0]])
    y, t = torch.tensor([0]), torch.tensor([2])
    assert log_odds(z, y).item() == pytest.approx(math.log(sum(map(math.exp, (1, 3, 0, 2)))) - 4)
    assert margin(z, y).item() == -1
    assert targeted_dlr(z, y, t).item() == pytest.approx((3 - 4) / (4 - (2 + 1) / 2))
    assert targeted_dlr(z[:, :3], y, t).item() == pytest.approx((3 - 4) / (4 - 1))
    assert targeted_dlr(z[:, [0, 2]], y, torch.tensor([1])).item() == pytest.approx(-1)
    assert targeted_dlr(1e6 * z, y, t).item() == pytest.approx(-0.4)
    assert targeted_dlr(0 * z, y, t).item() == 0


def test_log_odds_order_and_point_as_the_cross_entropy() -> None:
    z = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    y = torch.arange(50) % 7
    entropy = nn.functional.cross_entropy(z, y, reduction="none")
    ours = log_odds(z, y)
    assert torch.equal(entropy.argsort(), ours.argsort())
    one, other = (torch.autograd.grad(loss.sum(), z)[0] for loss in (entropy, ours))
    assert torch.allclose(one / one.norm(dim=1)[:, None], other / other.norm(dim=1)[:, None])


def test_targets_are_the_best_other_classes() -> None:
    z = torch.tensor([[3.0, 5.0, 4.0], [1.0, 1.0, 1.0]])
    y = torch.tensor([2, 0])
    ranks = [targets_of_rank(nn.Identity(), z, y, rank).tolist() for rank in (1, 2)]
    assert ranks == [[1, 1], [0, 2]]


def test_square_finds_what_gradients_do_not_show() -> None:
    test, eps = digits_test(), 32 / 255
    hidden, honest = Staircase(digits_mlp()), digits_mlp()
    by_gradient, all_three = pgd(hidden, test, eps=eps), autoattack(hidden, test, eps=eps)
    assert by_gradient.value > 0.85
    assert all_three.parts["after APGD-T"].value > 0.85
    assert all_three.value < 0.65
    assert autoattack(honest, test, eps=eps).value < 0.4


def test_confidence_hides_nothing() -> None:
    test, eps = digits_test(), 32 / 255
    cold = autoattack(Cold(digits_mlp(), 1e-3), test, eps=eps)
    warm = autoattack(digits_mlp(), test, eps=eps)
    assert fgsm(Cold(digits_mlp(), 1e-3), test, eps=eps).value > 0.8
    assert cold.value == pytest.approx(warm.value, abs=0.02)


def square_by_one(
    model: nn.Module, x: Tensor, y: int, drawn: Tensor, stripes: Tensor, eps: float
) -> Tensor:
    """Algorithm 1 of the paper, for one image [C, H, W] until it is fooled."""
    channels, height, width = x.shape

    def lead(z: Tensor) -> float:
        logits = model(z[None])[0].detach()
        return float(torch.cat([logits[:y], logits[y + 1 :]]).max() - logits[y])

    now = (x + eps * (2 * (stripes >= 0.5).float() - 1)).clamp(0, 1)
    best = lead(now)
    for query in range(1, len(drawn)):
        if best > 0:
            break
        length = side(query, len(drawn), height, width)
        top = int(drawn[query, 0] * (height - length + 1))
        left = int(drawn[query, 1] * (width - length + 1))
        tried = now.clone()
        for channel in range(channels):
            sign = 1 if drawn[query, 2 + channel] >= 0.5 else -1
            window = (channel, slice(top, top + length), slice(left, left + length))
            tried[window] = (x[window] + sign * eps).clamp(0, 1)
        if lead(tried) > best:
            now, best = tried, lead(tried)
    return now


def colour() -> tuple[nn.Module, Images]:
    """A linear network of five classes, and 40 images of 3x6x9 that it has right."""
    stream = torch.Generator().manual_seed(0)
    layer = nn.Linear(162, 5)
    nn.init.normal_(layer.weight, generator=stream)
    layer.bias.data = -layer.weight.data.sum(dim=1) / 2
    model = nn.Sequential(nn.Flatten(), layer)
    pixels = torch.randint(0, 256, (40, 3, 6, 9), generator=stream, dtype=torch.uint8)
    return model, answered(model, Images(pixels, torch.zeros(40).long()))


@pytest.mark.parametrize("grey", [True, False])
def test_square_is_the_algorithm_of_the_paper(grey: bool) -> None:
    model, test = (digits_mlp(), digits_test().take(FORTY)) if grey else colour()
    eps = 32 / 255 if grey else 8 / 255
    x = test.floats()
    _, channels, _, width = x.shape
    made = square(model, x, test.labels, eps=eps, queries=80, seed=1)
    rows = zip(
        *(x, test.labels.tolist(), uniform(x, (80, 2 + channels), 1, "squares")),
        uniform(x, (channels, 1, width), 1, "stripes"),
        strict=True,
    )
    wanted = torch.stack([square_by_one(model, *row, eps) for row in rows])
    assert (made - wanted).abs().flatten(1).amax(dim=1).lt(1e-6).sum() >= 39
    with torch.no_grad():
        assert 0.2 < (model(made).argmax(dim=1) == test.labels).float().mean() < 0.95


class Valley(nn.Module):
    """The margin is smallest at grey level 128, so that every move makes it larger."""

    def forward(self, x: Tensor) -> Tensor:
        t = x.mean(dim=(1, 2, 3)) - 128.5 / 255
        return torch.stack([1 + t.abs(), torch.zeros_like(t)], dim=1)


def test_the_best_point_is_kept() -> None:
    x, y = level(10).floats(), level(10).labels
    # Every length of step until it is halved overshoots the valley.
    for steps in (1, 2, 5):
        assert torch.equal(apgd(Valley(), x, y, eps=0.1, steps=steps), x)
    assert (plain_pgd(Valley(), x, y, eps=0.1, steps=1) - x).abs().min() > 0.02


def test_squares_that_change_nothing_are_not_kept() -> None:
    x, y = images(10).floats(), torch.zeros(10).long()
    made = square(linear(scale=0), x, y, eps=0.1, queries=30)
    stripes = torch.where(uniform(x, (1, 1, 4), 0, "stripes") < 0.5, -0.1, 0.1)
    assert torch.equal(made, x + stripes)


def test_squares_shrink_and_fit() -> None:
    sides = [side(query, 1000, 32, 32) for query in range(1, 1000)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == round(math.sqrt(0.8 * 1024))
    assert sides[-1] == 1
    assert side(1, 10_000, 4, 64) == 4


class Counter(nn.Module):
    """Passes images on and counts them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        logits: Tensor = self.model(x)
        return logits


def test_attacks_cost_what_they_say_and_stop_at_success() -> None:
    test = digits_test()
    x, y = test.floats(), test.labels
    with torch.no_grad():
        right = digits_mlp()(x).argmax(dim=1) == y
    x, y = x[right], y[right]
    for eps, all_of_it in ((0.0, True), (0.5, False)):
        runs = {
            20: partial(plain_pgd, steps=20),
            31: partial(apgd, steps=30),
            50: partial(square, queries=50),
        }
        for cost, attack in runs.items():
            counter = Counter(digits_mlp())
            attack(counter, x, y, eps=eps)
            assert (counter.seen == cost * len(x)) is all_of_it
            assert counter.seen <= cost * len(x) * (1 if all_of_it else 0.7)


def to_the_next(network: nn.Module, x: Tensor, y: Tensor, *, eps: float) -> Tensor:
    return apgd(network, x, y, eps=eps, steps=12, targets=(y + 1) % 10)


ATTACKS = {
    "apgd": partial(apgd, steps=12),
    "apgd-t": to_the_next,
    "square": partial(square, queries=60),
}


@pytest.mark.parametrize("attack", list(ATTACKS.values()), ids=list(ATTACKS))
@pytest.mark.parametrize("eps", [0.0, 8 / 255, 0.4])
def test_attacked_pixels_stay_in_the_box_and_the_ball(attack: Any, eps: float) -> None:
    x, y = digits_test().floats(), digits_test().labels
    made = attack(digits_mlp(), x, y, eps=eps)
    assert 0 <= made.min() <= made.max() <= 1
    assert (made - x).abs().max() == pytest.approx(eps, rel=1e-6)


def test_neither_batches_nor_the_order_matter() -> None:
    test = digits_test().take(torch.arange(100))
    options = {"eps": 24 / 255, "queries": 50, "steps": 8}
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(3))
    one = examples(digits_mlp(), test, **options)
    other = examples(digits_mlp(), test, batch_size=7, **options)
    shuffled = examples(digits_mlp(), test.take(order), **options)
    assert np.abs(one - other).sum() <= 1
    assert np.abs(one[order.numpy()] - shuffled).sum() <= 1


def test_nobody_left_is_nobody_to_attack() -> None:
    test = digits_test()
    wrong = Images(test.pixels, (answered(digits_mlp(), test).labels + 1) % 10)
    reading = autoattack(digits_mlp(), wrong)
    assert reading.value == reading.parts["clean"].value == 0
    target = Target.of(digits_mlp(), wrong, batch_size=256)
    assert not target.left(partial(plain_pgd, eps=0.1, steps=1), np.zeros(300, dtype=bool)).any()


def test_gradients_that_are_switched_off_are_no_zero_gradients() -> None:
    test = digits_test().take(FORTY)
    with torch.no_grad():
        assert autoattack(digits_mlp(), test, eps=0.5).value == 0
    with torch.inference_mode(), pytest.raises(UserError, match="outside torch"):
        autoattack(digits_mlp(), test, eps=0.5)


@pytest.mark.parametrize("option", ["steps", "targets", "queries"])
def test_budgets_of_nothing_are_refused(option: str) -> None:
    with pytest.raises(UserError, match=f"{option} must be 1 or more, not 0"):
        autoattack(linear(), images(4), **{option: 0})
