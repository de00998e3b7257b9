"""RigL against brute force over a whole training, and the cosine against its closed form."""

import math

import numpy as np
import pytest
import torch

from scratchcard import models
from scratchcard.contracts import Context, Moment, Task, UserError
from scratchcard.pruning.during.rigl import RiggedLottery
from scratchcard.registry import MODELS
from scratchcard.seeds import torch_stream
from scratchcard.testing import check_method
from tests.asking import Asked, backward, network, started, trained

END = 180  # 0.75 of 240 steps
MOMENT = Moment(step=100, per_epoch=20, total=10_000)


def wanted(update: Asked, share: float, name: str) -> np.ndarray:
    """The paper's algorithm 1 for one layer, by sorting."""
    before = update.before[name].numpy().ravel()
    magnitude = np.abs(update.weights[name].numpy().ravel())
    gradient = np.abs(update.gradients[name].numpy().ravel())
    count = math.floor(share * before.sum())
    active = np.flatnonzero(before)
    kept = active[np.argsort(-magnitude[active], kind="stable")][: len(active) - count]
    others = np.setdiff1d(np.arange(before.size), kept)
    grown = others[np.argsort(-gradient[others], kind="stable")][:count]
    mask = np.zeros(before.size, dtype=bool)
    mask[np.concatenate([kept, grown])] = True
    return mask


def agrees(update: Asked, share: float) -> bool:
    return all(
        np.array_equal(update.after[name].numpy().ravel(), wanted(update, share, name))
        for name in update.before
    )


def test_every_update_is_the_papers() -> None:
    """At multiples of 8 steps, until a share of the largest layer is less than a weight."""
    updates = trained(RiggedLottery())
    assert [update.step for update in updates] == list(range(8, 153, 8))
    for update in updates:
        assert agrees(update, 0.15 * (1 + math.cos(math.pi * update.step / END))), update.step


def test_the_share_falls() -> None:
    """The official code's flag is constant unless told otherwise."""
    updates = trained(RiggedLottery())
    assert not any(agrees(update, 0.3) for update in updates[3:])
    early, late = (sum(u.grown for u in part) for part in (updates[:5], updates[-5:]))
    assert late < early / 4
    shares = [RiggedLottery().share(step, 100) for step in (0, 25, 50, 75, 99, 100, 500)]
    half = math.sqrt(0.5)
    expected = [
        0.3,
        0.15 * (1 + half),
        0.15,
        0.15 * (1 - half),
        0.15 * (1 - math.cos(math.pi / 100)),
    ]
    assert shares == pytest.approx([*expected, 0, 0])


def test_gradients_that_were_masked_grow_nothing() -> None:
    """Which is why updates see them before they are: every dropped weight would return."""
    model = network()
    method = RiggedLottery()
    masks = started(method, model, 0.8)
    masks.apply_(model)
    backward(model, 0)
    context = Context(model, masks, 0.8, torch_stream(0, "update"))
    assert method.update(context, MOMENT) != masks
    for name, mask in masks.items():
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        # No active weight happens to be without gradient, as behind a dead unit.
        gradient.copy_(torch.where(mask, gradient + gradient.sign() + 1e-3, 0))
    assert method.update(context, MOMENT) == masks


def test_the_sign_of_a_gradient_does_not_matter() -> None:
    for update in trained(RiggedLottery()):
        new = {n: update.after[n] & ~update.before[n] for n in update.before}
        signs = torch.cat([update.gradients[n][new[n]].sign() for n in new])
        if len(signs) > 20:
            assert {-1.0, 1.0} <= set(signs.tolist())
            return
    pytest.fail("no update grew more than 20 weights")


def test_a_run_repeats_itself_and_another_seed_does_not() -> None:
    final = [trained(RiggedLottery(), total=60, seed=seed)[-1].after for seed in (0, 0, 1)]
    assert final[0] == final[1] != final[2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_diverged_are_refused(value: float) -> None:
    model = network()
    masks = started(RiggedLottery(), model, 0.8)
    backward(model, 0)
    gradient = model.get_parameter("6.weight").grad
    assert gradient is not None
    gradient[3, 3] = value
    context = Context(model, masks, 0.8, torch_stream(0, "update"))
    with pytest.raises(UserError, match=r"gradients of 6\.weight are infinite .* diverged"):
        RiggedLottery().update(context, MOMENT)


def test_a_layer_without_gradient_is_named() -> None:
    model = network()
    masks = started(RiggedLottery(), model, 0.8)
    model.get_parameter("3.weight").requires_grad_(False)
    backward(model, 0)
    context = Context(model, masks, 0.8, torch_stream(0, "update"))
    with pytest.raises(UserError, match=r"3\.weight has no gradient"):
        RiggedLottery().update(context, MOMENT)


def test_the_fraction_is_an_option() -> None:
    for update in trained(RiggedLottery(fraction=0.6), total=100):
        assert agrees(update, 0.3 * (1 + math.cos(math.pi * update.step / 75)))


def test_resnet20_starts_with_the_densities_of_erk() -> None:
    """Computed once with the published algorithm; the shortcuts have weights."""
    task = Task(3, 32, 32, 10)
    model = models.initialise(MODELS.get("cifar-resnet").target, task, {"shortcut": "B"}, 0)
    masks = started(RiggedLottery(), model, 0.9)
    golden = {
        "16x3x3x3": 0.9834,
        "16x16x3x3": 0.2803,
        "32x16x3x3": 0.1991,
        "32x32x3x3": 0.1291,
        "64x32x3x3": 0.0940,
        "64x64x3x3": 0.0618,
        "32x16x1x1": 1.0,
        "64x32x1x1": 0.8132,
        "10x64": 1.0,
    }
    for name, mask in masks.items():
        density = golden["x".join(str(side) for side in mask.shape)]
        assert abs(int(mask.sum()) - density * mask.numel()) <= 1 + 5e-5 * mask.numel(), name
    assert (masks.total, masks.kept) == (270_896, 27_090)
    assert not masks.collapsed


def test_conformance() -> None:
    check_method("rigl")
    check_method("rigl", allocation="uniform", fraction=0.5)
