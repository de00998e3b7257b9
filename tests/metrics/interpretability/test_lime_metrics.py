"""Fidelity and stability against loops, and what each of them can and cannot be won by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import cosine_distances
from torch import Tensor, nn

from scratchcard import models
from scratchcard.contracts import NotApplicable, Reading, Task, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability import lime
from scratchcard.metrics.interpretability.occlusion import scenes
from scratchcard.metrics.measure import call, measure, options, providers
from scratchcard.registry import METRICS
from tests.metrics.interpretability.seen import (
    Seeing,
    Shared,
    additive,
    additive_in_probability,
    convolutional,
    pictures,
)

Metric = Callable[..., Reading]


def named(name: str) -> Metric:
    def measured(model: nn.Module, test: Images, **options: Any) -> Reading:
        return measure(model, name, test, **options)

    return measured


fidelity, fidelity_r2, stability, stability_noise = METRICS_OF_LIME = [
    named(name) for name in ("fidelity", "fidelity-r2", "stability", "stability-noise")
]
RAW, RELATIVE = (fidelity, stability), (fidelity_r2, stability_noise)
SIZE = 3 * 16 * 16


class Loop:
    """LIME of one image, a mask at a time, by scikit-learn."""

    def __init__(self, model: nn.Module, test: Images, i: int, masks: int) -> None:
        target = Target.of(model, test, batch_size=8)
        scene = [s for s in scenes(target, masks=masks, seed=0) for _ in s.images][i]
        count = int(scene.segments[i].max()) + 1
        self.masks = scene.masks[i, :, :count].double().numpy()
        self.parts, self.model, self.image = scene.segments[i], model, test.floats()[i]
        self.top = int(model(self.image[None]).argmax())
        self.p = self.answers(self.image)

    def answers(self, image: Tensor) -> np.ndarray:
        found = []
        for mask in self.masks:
            covered = image.clone()
            for segment in np.flatnonzero(mask == 0):
                covered[:, self.parts == segment] = 0
            found.append(float(self.model(covered[None]).double().softmax(dim=1)[0, self.top]))
        return np.array(found)

    def near(self, centre: int) -> np.ndarray:
        distance = cosine_distances(self.masks, self.masks[centre : centre + 1])[:, 0]
        return np.asarray(np.sqrt(np.exp(-(distance**2) / 0.25**2)))

    def ridge(
        self, y: np.ndarray, centre: int = 0, rows: slice | np.ndarray = slice(None)
    ) -> Ridge:
        near = self.near(centre)[rows]
        return Ridge(alpha=1.0).fit(self.masks[rows], y[rows], sample_weight=near)


def logit(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p / (1 - p)))


def examples(reading: Reading) -> np.ndarray:
    assert reading.examples is not None
    return np.asarray(reading.examples)


@pytest.fixture
def model() -> nn.Module:
    return convolutional()


def test_fidelity_is_that_of_a_loop(model: nn.Module) -> None:
    test = pictures(3)
    found = fidelity(model, test, masks=40)
    for i in range(3):
        loop = Loop(model, test, i, 40)
        missed = loop.p - loop.ridge(loop.p).predict(loop.masks)
        assert examples(found)[i] == pytest.approx(np.mean(missed**2), rel=1e-4)
        weighted = np.average(missed**2, weights=loop.near(0))
        assert examples(found)[i] != pytest.approx(weighted, rel=1e-3)
    loops = [Loop(model, test, i, 40) for i in range(3)]
    assert found.parts["confidence"].value == pytest.approx(np.mean([o.p[0] for o in loops]))
    assert found.parts["variance"].value == pytest.approx(np.mean([o.p.var() for o in loops]))


def test_fidelity_r2_is_that_of_a_loop(model: nn.Module) -> None:
    test = pictures(3)
    found = fidelity_r2(model, test, masks=40)
    held = np.arange(40) % 4 == 3
    for i in range(3):
        loop = Loop(model, test, i, 40)
        y, near = logit(loop.p), loop.near(0)
        ridge = loop.ridge(y, rows=~held)
        missed = np.average((y - ridge.predict(loop.masks))[held] ** 2, weights=near[held])
        mean = np.average(y[~held], weights=near[~held])
        spread = np.average((y[held] - mean) ** 2, weights=near[held])
        assert examples(found)[i] == pytest.approx(1 - missed / spread, abs=1e-4)
        in_sample = r2_score(y, loop.ridge(y).predict(loop.masks), sample_weight=near)
        assert examples(found)[i] < in_sample - 0.01  # what is not held out flatters


def test_stability_is_that_of_a_loop(model: nn.Module) -> None:
    test = pictures(3)
    found = stability(model, test, masks=40, repeats=3)
    drawn = (uniform(test.floats(), (3,), 0, "centres") * 40).long()
    for i in range(3):
        loop = Loop(model, test, i, 40)
        whole = loop.ridge(loop.p).coef_
        moved = [((loop.ridge(loop.p, c).coef_ - whole) ** 2).sum() for c in drawn[i].tolist()]
        assert examples(found)[i] == pytest.approx(np.mean(moved), rel=1e-4)
    sizes = [(o.ridge(o.p).coef_ ** 2).sum() for o in (Loop(model, test, i, 40) for i in range(3))]
    assert found.parts["size"].value == pytest.approx(np.mean(sizes))


def test_stability_under_noise_is_that_of_a_loop(model: nn.Module) -> None:
    test = pictures(3)
    found = stability_noise(model, test, masks=40, eps=0.1, repeats=2)
    halves = []
    for i in range(3):
        loop = Loop(model, test, i, 40)
        y, alike = logit(loop.p), []
        for repeat in range(2):
            drawn = uniform(test.floats(), (3, 16, 16), 0, "noise", repeat)[i]
            noisy = (loop.image + 0.1 * (2 * drawn - 1)).clamp(0, 1)
            other = logit(loop.answers(noisy))
            alike.append(spearmanr(loop.ridge(y).coef_, loop.ridge(other).coef_).statistic)
        assert examples(found)[i] == pytest.approx(np.mean(alike), abs=1e-6)
        even, odd = (loop.ridge(y, rows=np.arange(40) % 2 == half).coef_ for half in (0, 1))
        halves.append(spearmanr(even, odd).statistic)
    assert found.parts["other masks"].value == pytest.approx(np.mean(halves), abs=1e-6)
    assert found.value < 1


def test_a_linear_network_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    test = pictures(5)
    assert fidelity_r2(additive(SIZE), test, masks=256).value > 0.99
    assert fidelity(additive_in_probability(SIZE), test, masks=256).value < 1e-4
    monkeypatch.setattr(lime, "RIDGE", 1e-9)
    assert fidelity_r2(additive(SIZE), test, masks=256).value == pytest.approx(1, abs=1e-9)
    assert fidelity(additive_in_probability(SIZE), test, masks=256).value < 1e-12
    assert stability(additive_in_probability(SIZE), test, masks=256).value < 1e-12
    monkeypatch.setattr(lime, "RIDGE", 1.0)
    assert fidelity_r2(convolutional(), test, masks=256).value < 0.9


def wavy(factor: float) -> Seeing:
    """Log-odds of a form that no linear function explains, times a factor."""
    return Seeing(lambda seen: torch.stack([factor * seen.sin(), 0 * seen], dim=1), SIZE)


def test_the_unsure_win_the_raw_forms_alone() -> None:
    test = pictures(5)
    sure, unsure = convolutional(scale=3), convolutional(scale=0.3)
    for network in (sure, unsure):
        network.get_parameter("5.bias").zero_()
    for metric in RAW:
        assert metric(unsure, test, masks=64).value < metric(sure, test, masks=64).value / 5
    two = [wavy(factor) for factor in (1.0, 0.01)]  # of two classes log-odds are logits
    for metric in RELATIVE:
        one, other = (metric(network, test, masks=64) for network in two)
        assert one.value == pytest.approx(other.value, abs=1e-5)
        assert one.value < 0.999


def test_all_is_the_same_with_no_noise(model: nn.Module) -> None:
    assert stability_noise(model, pictures(3), masks=32, eps=0.0).value == pytest.approx(1)


def test_more_noise_and_a_jagged_network_are_less_stable(model: nn.Module) -> None:
    test = pictures(6)
    smooth = [stability_noise(model, test, masks=64, eps=eps).value for eps in (0.02, 0.1, 0.5)]
    assert smooth[0] > smooth[1] > smooth[2]
    jagged = Seeing(lambda seen: torch.stack([(200 * seen).sin(), 0 * seen], dim=1), SIZE)
    assert stability_noise(jagged, test, masks=64, eps=0.02).value < 0.5 < smooth[0]


def test_under_noise_the_same_class_is_explained() -> None:
    """Where noise changes the prediction, log-odds of the new class would have the other sign."""
    test = pictures(1).take(torch.tensor([0, 0]))
    model = additive(SIZE)
    clean = float(test.floats()[0].double().flatten() @ model.get_buffer("pixels"))
    even = Seeing(lambda seen: torch.stack([seen - clean + 1e-4, 0 * seen], dim=1), SIZE)
    noisy = [uniform(test.floats(), (3, 16, 16), 0, "noise", r)[0] for r in range(6)]
    moved = [float((u - 0.5).double().flatten() @ model.get_buffer("pixels")) for u in noisy]
    assert min(moved) < -0.1  # so that the prediction changes
    assert stability_noise(even, test, masks=200, eps=0.02, repeats=6).value > 0.9


def test_noise_keeps_to_its_bounds() -> None:
    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = Shared()

        def forward(self, x: Tensor) -> Tensor:
            self.seen.extend(x)  # which cannot be traced
            return x.flatten(1)[:, :2]

    network, test = Noting(), pictures(2)
    stability_noise(network, test, masks=16, eps=0.05)
    moved = []
    for shown in network.seen:
        assert shown.min() >= 0
        assert shown.max() <= 1
        moved.append(min(float((shown - own)[shown > 0].abs().max()) for own in test.floats()))
    assert 0.045 < max(moved) <= 0.05 + 1e-6
    assert sum(one == 0 for one in moved) > 20  # without noise


@pytest.mark.parametrize("metric", METRICS_OF_LIME)
def test_each_network_meets_the_same_masks(metric: Metric, model: nn.Module) -> None:
    """So that a difference of two networks has less noise than the networks themselves."""
    test = pictures(40)
    other = convolutional(scale=3.1)
    one, two = (examples(metric(network, test, masks=24)) for network in (model, other))
    assert np.corrcoef(one, two)[0, 1] > 0.9
    again = examples(metric(other, test, masks=24, seed=1))
    assert np.abs(one - two).mean() < np.abs(one - again).mean()


@pytest.mark.parametrize("metric", METRICS_OF_LIME)
def test_samples_and_batches(metric: Metric, model: nn.Module) -> None:
    test = pictures(12)
    whole = metric(model, test, masks=16)
    assert whole.n == 12
    assert whole.stderr == pytest.approx(examples(whole).std(ddof=1) / 12**0.5)
    some = metric(model, test, masks=16, images=6)
    assert some.n == 6
    assert set(examples(some)) <= set(examples(metric(model, test, masks=16, batch_size=64)))
    small = metric(model, test, masks=16, batch_size=5)
    assert small.value == pytest.approx(whole.value, rel=1e-5)
    assert metric(model, test.take(torch.arange(2)), masks=16).n == 2  # the paper fails below 5


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 128, 128), (1, 224, 224)], ids=str)
def test_images_of_every_size(shape: tuple[int, int, int]) -> None:
    test, network = pictures(2, shape), convolutional(shape[0])
    for metric in METRICS_OF_LIME:
        reading = metric(network, test, masks=12, batch_size=16)
        assert np.isfinite(reading.value)
        assert reading.n == 2


@pytest.mark.parametrize("kind", ["vit", "cifar-resnet", "mlp"])
def test_every_kind_of_network(kind: str) -> None:
    network = models.build(kind, Task(3, 16, 16, 3), {}, seed=0)
    for metric in METRICS_OF_LIME:
        assert np.isfinite(metric(network, pictures(2), masks=12).value)
    assert network.training


def test_a_constant_answer() -> None:
    constant = Seeing(lambda seen: torch.tensor([[1.0, 0.0]]) + 0 * seen[:, None], SIZE)
    test = pictures(3)
    assert fidelity(constant, test, masks=16).value == pytest.approx(0, abs=1e-30)
    assert stability(constant, test, masks=16).value == pytest.approx(0, abs=1e-30)
    for metric in RELATIVE:
        with pytest.raises(NotApplicable, match="answers vary with no segment of any image"):
            metric(constant, test, masks=16)


def test_images_whose_answers_do_not_vary_count_as_nothing() -> None:
    test = pictures(4)
    pale = Seeing(lambda seen: torch.stack([seen, 0 * seen], dim=1), SIZE)
    pale.get_buffer("pixels").reshape(3, 256)[:, :-1] = 0  # it sees the last pixel alone
    pixels = test.pixels.clone()
    pixels[:2, :, -1, -1] = 0
    for metric in RELATIVE:
        reading = metric(pale, Images(pixels, test.labels), masks=32)
        assert reading.parts["images without variation"].value == 0.5
        assert examples(reading)[:2].tolist() == [0, 0]
        assert examples(reading)[2:].min() > 0.3


def test_a_single_segment_has_no_order() -> None:
    flat = Images(torch.full((2, 3, 8, 8), 90, dtype=torch.uint8), torch.tensor([0, 1]))
    for metric in (fidelity, fidelity_r2, stability):
        assert np.isfinite(metric(additive(3 * 8 * 8), flat, masks=16).value)
    with pytest.raises(NotApplicable, match="no image has two segments"):
        stability_noise(additive(3 * 8 * 8), flat, masks=16)


@pytest.mark.parametrize(
    ("metric", "given", "message"),
    [
        (fidelity, {"masks": 1}, "masks must be 2 or more, not 1"),
        (fidelity_r2, {"masks": 7}, "masks must be 8 or more, not 7"),
        (stability, {"repeats": 0}, "repeats must be 1 or more, not 0"),
        (stability_noise, {"masks": 3}, "masks must be 4 or more, not 3"),
        (stability_noise, {"repeats": 0}, "repeats must be 1 or more, not 0"),
        (stability_noise, {"eps": 2.0}, "eps is a share of the pixel range"),
        (fidelity, {"batch_size": -1}, "batch_size must be 1 or more, not -1"),
    ],
)
def test_options_out_of_range(
    metric: Metric, given: dict[str, float], message: str, model: nn.Module
) -> None:
    with pytest.raises(UserError, match=message):
        metric(model, pictures(1), **given)


def test_metrics_of_equal_options_share_one_pass() -> None:
    network, test = additive(SIZE), pictures(4)
    available = providers(network, test)

    def shown(name: str, **given: Any) -> int:
        before, spec = sum(network.shown), METRICS.get(name)
        call(spec, available, options(spec, "default", {"images": 0, "masks": 16, **given}))
        return sum(network.shown) - before

    alone = shown("fidelity")
    assert alone > 20
    assert shown("fidelity-r2") == shown("stability", repeats=3) == 0
    with_noise = shown("stability-noise", repeats=2)
    assert with_noise == pytest.approx(2 * alone, abs=8)  # the copy is tried on eight images
    assert shown("fidelity", seed=1) > 20
    assert shown("fidelity", batch_size=32) > 20


def test_masks_are_an_option_although_measure_takes_those_of_pruning(model: nn.Module) -> None:
    reading = measure(model, "fidelity", pictures(3), masks=17)
    assert reading.params["masks"] == 17
    with pytest.raises(UserError, match='metric "accuracy" has no option "masks"'):
        measure(model, "accuracy", pictures(3), masks=17)


@pytest.mark.parametrize("name", ["fidelity", "stability"])
def test_the_profile_of_the_paper(name: str) -> None:
    found = options(METRICS.get(name), "paper", {})
    assert found["masks"] == 1000
    assert found["images"] == 100
    assert found["first"]
    assert found.get("repeats", 5) == 5
    assert (lime.KERNEL_WIDTH, lime.RIDGE) == (0.25, 1.0)
