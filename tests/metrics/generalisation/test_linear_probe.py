"""The linear probe: its features by hand, its optimum by torch, and what it must refuse."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scratchcard import models
from scratchcard.contracts import NotApplicable, Reading, Task, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.features import Backbone
from scratchcard.metrics.generalisation.linear_probe import fitted, held_out, linear_probe
from scratchcard.models.vit import ViT
from scratchcard.registry import MODELS
from tests.victims import digits_mlp, digits_test

TASK = Task(1, 8, 8, 4)


def network(kind: str = "cifar-resnet", **changed: object) -> nn.Module:
    spec = MODELS.get(kind)
    given = {name: default for name, (_, default) in spec.parameters.items()} | changed
    made: nn.Module = models.initialise(spec.target, TASK, given, 0).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.linspace(-0.2, 0.2, module.num_features)
    return made


def images(n: int, classes: int = 3, seed: int = 0) -> Images:
    """Noise, brighter in a corner that tells the class."""
    stream = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 200, (n, 1, 8, 8), generator=stream, dtype=torch.uint8)
    labels = torch.arange(n) % classes
    for k in range(min(classes, 4)):
        rows, columns = (slice(0, 4), slice(4, 8))[k // 2], (slice(0, 4), slice(4, 8))[k % 2]
        pixels[labels == k, :, rows, columns] += 30
    return Images(pixels, labels)


def pixels_only(size: int = 64, classes: int = 2) -> nn.Sequential:
    """A network whose penultimate features are its pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(size, classes))


def flat(pixels: Tensor) -> np.ndarray:
    return pixels.flatten(1).numpy().astype(np.float64)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Around(nn.Module):
    """A network with something done to its answer."""

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.net(x))


# Features


def test_of_a_residual_network_they_are_the_pooled_channels() -> None:
    net, shown = network(depth=8, width=4), images(9)
    truncated = copy.deepcopy(net)
    (head,) = (name for name, m in net.named_modules() if isinstance(m, nn.Linear))
    setattr(truncated, head, nn.Identity())
    backbone = Backbone.of(net, shown.pixels)
    with torch.no_grad():
        wanted = truncated(shown.floats()).numpy()
    found = backbone.features(shown.pixels, batch_size=4)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert backbone.head.in_features == found.shape[1] == 16


def test_of_a_transformer_they_are_the_class_token() -> None:
    net = network("vit", dim=12, depth=2, heads=3)
    assert isinstance(net, ViT)
    with torch.no_grad():
        patches = net.conv_proj(net.normalise(images(5).floats())).flatten(2).transpose(1, 2)
        tokens = torch.cat([net.class_token.expand(5, 1, 12), patches], dim=1)
        wanted = net.encoder(tokens)[:, 0].numpy()
    found = Backbone.of(net, images(5).pixels).features(images(5).pixels)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_dropout_is_off() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)).train()
    found = Backbone.of(net, images(4).pixels).features(images(4).pixels)
    np.testing.assert_allclose(found, flat(images(4).pixels) / 255, rtol=1e-6)
    assert net.training


@pytest.mark.parametrize(
    "change", [lambda z: z / 2.5, lambda z: z.log_softmax(dim=1), nn.Identity()], ids=str
)
def test_a_temperature_or_log_softmax_behind_the_last_layer_changes_nothing(
    change: Callable[[Tensor], Tensor],
) -> None:
    wanted = Backbone.of(digits_mlp(), digits_test().pixels).features(digits_test().pixels)
    found = Backbone.of(Around(digits_mlp(), change), digits_test().pixels)
    assert np.array_equal(found.features(digits_test().pixels), wanted)


def test_a_linear_layer_that_runs_later_but_is_not_the_answer_is_passed_over() -> None:
    class Projecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head, self.aside = nn.Linear(64, 7), nn.Linear(7, 3), nn.Linear(64, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.body(x.flatten(1)).relu())
            self.aside(x.flatten(1))
            return out

    assert Backbone.of(Projecting(), images(8).pixels).head.in_features == 7


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.Tanh(), nn.Unflatten(1, (3, 3)))
        .append(nn.AvgPool1d(3))
        .append(nn.Flatten()),
        Around(pixels_only(64, 3), lambda z: (z - z.mean()).relu()),
        Around(pixels_only(64, 3), lambda z: z * torch.tensor([1.0, 2.0, 3.0])),
    ],
    ids=["convolution", "pooling", "ReLU", "scales"],
)
def test_no_linear_layer_at_the_end_is_not_applicable(net: nn.Module) -> None:
    with pytest.raises(NotApplicable, match="not the output of a Linear layer"):
        linear_probe(net, {"a": (images(30), images(9))})


def test_what_is_not_a_number_is_refused() -> None:
    net = pixels_only()
    net.get_parameter("1.weight").data[0, 0] = math.nan
    with pytest.raises(ValueError, match="logits are infinite"):
        linear_probe(net, {"a": (images(30), images(9))})
    with pytest.raises(UserError, match="returns tuple"):
        linear_probe(Around(pixels_only(), lambda z: (z,)), {"a": (images(30), images(9))})  # type: ignore[arg-type, return-value]


# The optimum


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("l2", [0.1, 1e-4])
def test_the_optimum_is_the_one_of_torch(classes: int, l2: float) -> None:
    stream = np.random.default_rng(0)
    x = stream.normal(size=(200, 6))
    y = (x[:, :classes] * 2 + stream.gumbel(size=(200, classes))).argmax(axis=1)
    model = fitted(x, y, l2)
    rows = 1 if classes == 2 else classes
    w = torch.zeros(rows, 6, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(rows, dtype=torch.float64, requires_grad=True)

    def loss(w: Tensor, b: Tensor) -> Tensor:
        z = torch.from_numpy(x) @ w.T + b
        z = torch.cat([torch.zeros_like(z), z], dim=1) if rows == 1 else z
        return functional.cross_entropy(z, torch.from_numpy(y)) + l2 / 2 * w.square().sum()

    how = {"tolerance_grad": 1e-10, "tolerance_change": 0, "line_search_fn": "strong_wolfe"}
    solver = torch.optim.LBFGS([w, b], max_iter=500, **how)  # type: ignore[arg-type]

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss(w, b)
        torch.autograd.backward(value)
        return value.detach()

    solver.step(closure)  # type: ignore[no-untyped-call]
    found = [torch.from_numpy(a).requires_grad_() for a in (model.coef_, model.intercept_)]
    gradients = torch.autograd.grad(loss(*found), found)
    assert max(float(g.abs().max()) for g in gradients) < 1e-6
    assert loss(*found).item() == pytest.approx(loss(w, b).item(), abs=1e-10)
    np.testing.assert_allclose(model.coef_, w.detach(), atol=1e-3)


def test_a_warm_start_does_not_move_the_optimum() -> None:
    stream = np.random.default_rng(1)
    x, y = stream.normal(size=(300, 8)), stream.integers(4, size=300)
    cold = fitted(x, y, 0.01)
    warm = fitted(x, y, 0.01, fitted(x, y, 1.0))
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-4)


def test_every_fifth_image_of_a_class_is_held_out() -> None:
    labels = np.random.default_rng(0).integers(3, size=50)
    wanted = np.zeros(50, dtype=bool)
    for k in range(3):
        wanted[np.flatnonzero(labels == k)[4::5]] = True
    assert np.array_equal(held_out(labels), wanted)


def naive(train: Images, test: Images, candidates: tuple[float, ...]) -> tuple[float, float]:
    """The whole recipe on pixels once more: accuracy and penalty, by Newton's method."""
    x, y = flat(train.pixels), train.labels.numpy()
    mean, spread = x.mean(axis=0), x.std(axis=0)
    x, new = (x - mean) / spread, (flat(test.pixels) - mean) / spread

    def newton(x: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
        z = np.hstack([x, np.ones((len(x), 1))])
        ridge = l2 * np.diag([1.0] * x.shape[1] + [0.0])
        w = np.zeros(z.shape[1])
        for _ in range(50):
            p = 1 / (1 + np.exp(-z @ w))
            gradient = z.T @ (p - y) / len(y) + ridge @ w
            hessian = (z * (p * (1 - p))[:, None]).T @ z / len(y) + ridge
            w = w - np.linalg.solve(hessian, gradient)
        return w

    def margin(w: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray(x @ w[:-1] + w[-1])

    out = np.zeros(len(y), dtype=bool)
    for k in range(2):
        out[np.flatnonzero(y == k)[4::5]] = True
    losses = {}
    for l2 in candidates:
        z = margin(newton(x[~out], y[~out], l2), x[out])
        losses[l2] = np.logaddexp(0, np.where(y[out] == 1, -z, z)).mean()
    best = min(losses, key=losses.__getitem__)
    right = (margin(newton(x, y, best), new) > 0) == (test.labels.numpy() == 1)
    return float(right.mean()), best


@pytest.mark.parametrize("candidates", [(10.0, 1.0, 0.1, 0.01), (0.03,)])
def test_the_whole_recipe_agrees_with_newtons_method(candidates: tuple[float, ...]) -> None:
    train, test = images(80, 2), images(101, 2, seed=1)
    reading = linear_probe(pixels_only(), {"noise": (train, test)}, l2=candidates)
    accuracy, best = naive(train, test, candidates)
    assert 0.6 < accuracy < 1
    assert (reading.value, reading.parts["noise, l2"].value) == (accuracy, best)


# The reading


def probe(net: nn.Module, **options: object) -> Reading:
    sets = {"three": (images(120), images(50, seed=1)), "two": (images(60, 2), images(31, 2, 1))}
    return linear_probe(net, sets, **options)  # type: ignore[arg-type]


def test_the_value_is_the_mean_over_sets_whatever_their_sizes() -> None:
    reading = probe(pixels_only())
    three, two = reading.parts["three"], reading.parts["two"]
    assert (three.n, two.n, reading.n) == (50, 31, 81)
    assert reading.value == pytest.approx((three.value + two.value) / 2, abs=1e-15)
    for part in (three, two):
        exact = math.sqrt(part.value * (1 - part.value) / part.n)
        assert part.stderr == pytest.approx(exact, rel=0.15)
    assert reading.stderr == pytest.approx(math.hypot(three.stderr, two.stderr) / 2, rel=0.15)


def test_it_repeats_itself_and_does_not_see_batches() -> None:
    net = network(depth=8, width=4)
    first, again, batched = probe(net), probe(net), probe(net, batch_size=7)
    assert first.replicates is not None
    assert np.array_equal(first.replicates, again.replicates)  # type: ignore[arg-type]
    assert first.parts == again.parts
    assert batched.value == pytest.approx(first.value, abs=1e-5)


def hidden(units: int = 20) -> nn.Sequential:
    """A network of one hidden layer whose units are awake."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 3))
    net.get_parameter("1.bias").data.fill_(1.0)
    return net


def changed(net: nn.Module, **values: Tensor) -> nn.Module:
    """A copy with other values of some parameters, such as ``weight1``."""
    other = copy.deepcopy(net)
    for name, value in values.items():
        other.get_parameter(f"{name[-1]}.{name[:-1]}").data.copy_(value)
    return other


def test_hidden_units_may_stand_in_any_order() -> None:
    net, order = hidden(), torch.randperm(20, generator=torch.Generator().manual_seed(0))
    w1, b1, w3 = (net.get_parameter(name).data for name in ("1.weight", "1.bias", "3.weight"))
    other = changed(net, weight1=w1[order], bias1=b1[order], weight3=w3[:, order])
    assert probe(other).value == pytest.approx(probe(net).value, abs=1e-5)


def test_the_scale_of_a_feature_says_nothing() -> None:
    """Without standardising, the penalty would fall on small features."""
    net, scale = hidden(), torch.logspace(-2, 2, 20)
    w, b = (net.get_parameter(f"1.{name}").data for name in ("weight", "bias"))
    other = changed(net, weight1=w * scale[:, None], bias1=b * scale)
    assert probe(other).value == pytest.approx(probe(net).value, abs=1e-5)


# Dead features


def half_dead(shift: float, noise: float) -> nn.Module:
    """Of 20 hidden units, 12 that answer every image alike, but for noise."""
    net = hidden()
    w, b = (net.get_parameter(f"1.{name}").data.clone() for name in ("weight", "bias"))
    w[8:], b[8:] = w[8:] * noise, shift
    return changed(net, weight1=w, bias1=b)


@pytest.mark.parametrize(
    ("shift", "noise"), [(-1.0, 0.0), (0.0, 0.0), (0.7, 0.0), (0.7, 1e-8), (0.0, 1e-8)]
)
def test_dead_features_are_counted_and_left_out(shift: float, noise: float) -> None:
    net = half_dead(shift, noise)
    reading = probe(net)
    assert reading.parts["three, dead features"].value == pytest.approx(0.6)
    assert reading.parts["three, dead features"].n == 20
    w, b = (net.get_parameter(f"1.{name}").data for name in ("weight", "bias"))
    alive = changed(hidden(8), weight1=w[:8], bias1=b[:8])
    assert reading.value == pytest.approx(probe(alive).value, abs=1e-12)


def test_a_feature_that_wakes_up_on_test_images_does_not_blow_up() -> None:
    net, train, test = pixels_only(), images(60), images(50, seed=1)
    train.pixels[:, :, 0, 0] = 17
    reading = linear_probe(net, {"a": (train, test)})
    assert reading.parts["a, dead features"].value == pytest.approx(1 / 64)
    train.pixels[:, :, 0, 0] = test.pixels[:, :, 0, 0] = 0
    assert linear_probe(net, {"a": (train, test)}).value == reading.value


def test_of_a_dead_network_the_commonest_class_is_left() -> None:
    net = changed(hidden(), weight1=torch.zeros(20, 64))
    train, test = images(30), images(90, seed=1)
    train.labels[:5] = 2
    reading = linear_probe(net, {"a": (train, test)})
    assert reading.value == pytest.approx(1 / 3)
    assert reading.parts["a, dead features"].value == 1
    assert "a, l2" not in reading.parts


# Odd input


def test_a_class_that_training_lacks_is_never_right() -> None:
    train, test = images(100, 2), images(90, 3, seed=1)
    inner = Images(test.pixels[test.labels < 2], test.labels[test.labels < 2])
    whole = linear_probe(pixels_only(), {"a": (train, test)})
    known = linear_probe(pixels_only(), {"a": (train, inner)})
    assert whole.value == pytest.approx(known.value * 2 / 3)


def test_numbers_of_classes_may_have_gaps() -> None:
    sets = [images(60), images(31, seed=1)]
    gaps = [Images(s.pixels, s.labels * 7 + 5) for s in sets]
    first = linear_probe(pixels_only(), {"a": (sets[0], sets[1])})
    assert linear_probe(pixels_only(), {"a": (gaps[0], gaps[1])}).value == first.value


def test_an_image_is_judged_alone() -> None:
    train, test = images(60), images(20, seed=1)
    one_by_one = [(train, test.take(torch.tensor([i, i]))) for i in range(20)]
    alone = linear_probe(pixels_only(), {str(i): pair for i, pair in enumerate(one_by_one)})
    assert alone.stderr < 1e-12
    together = linear_probe(pixels_only(), {"a": (train, test)}).value
    assert together == pytest.approx(alone.value)
    assert 0.3 < together < 1


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (images(30, 1), {}, "of one class"),
        (images(8, 2), {}, "no class of five training images"),
        (images(0), {}, "lacks images"),
        (images(30), {"l2": ()}, "one or more numbers above 0"),
        (images(30), {"l2": (0.1, 0.0)}, "one or more numbers above 0"),
        (images(30), {"l2": (math.nan,)}, "one or more numbers above 0"),
        (images(30), {"batch_size": 0}, "batch_size must be"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    train: Images, options: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        linear_probe(pixels_only(), {"a": (train, images(9))}, **options)  # type: ignore[arg-type]


def test_few_images_do_with_one_penalty() -> None:
    assert linear_probe(pixels_only(), {"a": (images(8, 2), images(9))}, l2=(0.1,)).n == 9


def test_without_sets_or_features_there_is_nothing_to_say() -> None:
    with pytest.raises(NotApplicable, match="no other data set"):
        linear_probe(pixels_only(), {})

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 2)
            self.head.weight = nn.Parameter(torch.zeros(2, 0))
            self.head.in_features = 0

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(x.flatten(1)[:, :0])
            return out

    with pytest.raises(NotApplicable, match="no feature is left"):
        linear_probe(Cut(), {"a": (images(30), images(9))})
