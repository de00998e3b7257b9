"""Hessians by the weights: closed form, written out, and what must not change them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape import hessian
from scratchcard.metrics.landscape.hessian import (
    BLOCKS,
    Weights,
    blocks,
    by_blocks,
    derivatives,
)
from scratchcard.metrics.landscape.input_hessian_top import input_hessian_top
from scratchcard.metrics.landscape.input_hessian_trace import input_hessian_trace
from scratchcard.metrics.landscape.lanczos import Ritz, lanczos
from scratchcard.metrics.landscape.weight_hessian_top import weight_hessian_top
from scratchcard.metrics.landscape.weight_hessian_trace import weight_hessian_trace
from scratchcard.seeds import torch_stream
from scratchcard.verdict.paired import example_variance
from tests.metrics.efficiency.networks import small, task
from tests.metrics.landscape.curved import (
    Exact,
    convolutional,
    images,
    perceptron,
    softmax_regression,
    weight_hessian,
)

METRICS: list[Callable[..., Reading]] = [weight_hessian_trace, weight_hessian_top]


def pruned(network: Exact, share: float = 0.5) -> Exact:
    """With about so many of its matrices' weights at zero."""
    sparse, stream = copy.deepcopy(network), torch.Generator().manual_seed(3)
    for p in sparse.parameters():
        if p.ndim > 1:
            p.data *= torch.rand(p.shape, generator=stream) >= share
    return sparse


def exact_diagonal(weights: Weights, count: int) -> Callable[[int], Iterator[Sequence[Tensor]]]:
    """Unit vectors for directions: their v'Hv is the diagonal of the Hessian."""

    def directions(_: int) -> Iterator[Sequence[Tensor]]:
        yield tuple(torch.eye(count, dtype=weights.values.dtype))

    return directions


def softmax_closed_form(network: Exact, shown: Any) -> Tensor:
    """The mean over images of (diag p - pp') kron xx'."""
    x = shown.floats().double().flatten(1)
    p = network(shown.floats()).detach().softmax(dim=1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    found: Tensor = torch.einsum("nkl,ni,nj->kilj", middle, x, x) / len(x)
    return found.reshape(3 * 16, 3 * 16)


def test_of_softmax_regression_the_diagonal_is_that_of_the_closed_form() -> None:
    network, shown = softmax_regression(), images(37)
    weights = Weights.of(network)
    found = by_blocks(weights, shown, batch_size=2, directions=exact_diagonal(weights, 48))
    wanted = softmax_closed_form(network, shown).diagonal()
    np.testing.assert_allclose(found.mean(axis=0)[0], wanted, rtol=1e-10)


def test_of_softmax_regression_the_trace_is_met_within_its_error() -> None:
    network, shown = softmax_regression(), images(90)
    wanted = float(softmax_closed_form(network, shown).trace())
    reading = weight_hessian_trace(network, shown, images=0, probes=40)
    noise = reading.parts["error of probes"].value
    assert 0 < noise < 0.05 * wanted
    assert abs(reading.value - wanted) < 3 * noise
    assert reading.stderr > noise


def test_of_softmax_regression_the_top_eigenvalue_is_that_of_the_closed_form() -> None:
    network, shown = softmax_regression(), images(37)
    reading = weight_hessian_top(network, shown, tolerance=1e-6, steps=48)
    wanted = torch.linalg.eigvalsh(softmax_closed_form(network, shown))[-1]
    assert reading.value == pytest.approx(float(wanted), rel=1e-10)
    assert reading.parts["residual"].value <= 1e-6


@pytest.mark.parametrize("make", [perceptron, lambda: pruned(perceptron())])
def test_the_trace_is_that_of_Hessians_written_out(make: Callable[[], Exact]) -> None:
    network, shown, probes = make(), images(26), 2
    weights = Weights.of(network)
    alive, values = weights.alive.double(), weights.values
    sums = np.zeros(3)
    dealt = blocks(shown.labels.numpy())
    for block, rows in enumerate(dealt):
        matrix = weight_hessian(network, shown.take(rows)) * len(rows) / len(shown)
        for number in range(probes):
            v = weights.probe("probe of weights", block, number)
            for place, d in enumerate((v * alive, v * (1 - alive), v * values)):
                sums[place] += float(d @ matrix @ d) / probes
    reading = weight_hessian_trace(network, shown, images=0, probes=probes)
    assert reading.value == pytest.approx(sums[0], rel=1e-10)
    assert reading.parts["all coordinates"].value == pytest.approx(sums[0] + sums[1], rel=1e-10)
    assert reading.parts["scale-invariant"].value == pytest.approx(sums[2], rel=1e-10)
    per = reading.parts["per parameter"].value
    assert per == pytest.approx(sums[0] / float(alive.sum()), rel=1e-10)


def test_the_parts_mean_what_they_are_called() -> None:
    network, shown = pruned(perceptron()), images(60)
    whole = weight_hessian(network, shown)
    flat = torch.cat([p.detach().ravel() for p in network.parameters()])
    matrices = torch.cat([torch.full((p.numel(),), p.ndim > 1) for p in network.parameters()])
    alive = ~(matrices & (flat == 0))
    reading = weight_hessian_trace(network, shown, images=0, probes=20)
    for value, wanted in (
        (reading.value, whole.diagonal()[alive].sum()),
        (reading.parts["all coordinates"].value, whole.trace()),
        (reading.parts["scale-invariant"].value, (whole.diagonal() * flat**2).sum()),
    ):
        assert value == pytest.approx(float(wanted), rel=0.1)
    assert whole.trace() > 1.2 * whole.diagonal()[alive].sum()


def test_the_top_eigenvalue_is_that_of_the_surviving_rows_and_columns() -> None:
    network, shown = pruned(perceptron()), images(60)
    alive = Weights.of(network).alive
    whole = weight_hessian(network, shown)
    wanted = torch.linalg.eigvalsh(whole[alive][:, alive])[-1]
    reading = weight_hessian_top(network, shown, steps=60, tolerance=1e-7)
    assert reading.value == pytest.approx(float(wanted), rel=1e-9)
    every = torch.linalg.eigvalsh(whole)[-1]
    assert every > 1.001 * wanted
    assert reading.parts["all coordinates"].value == pytest.approx(float(every), rel=1e-9)
    flat = torch.cat([p.detach().ravel() for p in network.parameters()])
    scaled = torch.linalg.eigvalsh(flat[:, None] * whole * flat)[-1]
    assert reading.parts["scale-invariant"].value == pytest.approx(float(scaled), rel=1e-9)
    assert all(part.value <= 1e-6 for label, part in reading.parts.items() if "resid" in label)


def test_the_most_negative_eigenvalue_is_not_the_largest() -> None:
    """Power iteration would find -9."""
    matrix = torch.diag(torch.tensor([5.0, 1.0, -9.0, 0.5]))
    found = hessian_top(matrix)
    assert float(found.values) == pytest.approx(5.0)


def hessian_top(matrix: Tensor) -> Ritz:
    return lanczos(lambda v: v @ matrix, torch.ones(1, len(matrix)), steps=9, tolerance=1e-5)


def test_a_negative_matrix_has_no_eigenvalue_of_zero() -> None:
    assert float(hessian_top(-torch.eye(3)).values) == pytest.approx(-1.0)
    mixed = hessian_top(torch.diag(torch.tensor([-3.0, -3.0, -2.0, -3.0])))
    assert float(mixed.values) == pytest.approx(-2.0)


def test_scaling_two_layers_changes_all_but_not_the_scale_invariant_form() -> None:
    network, shown = perceptron(), images(40)
    scaled = copy.deepcopy(network)
    for name, factor in (("net.1.weight", 4), ("net.1.bias", 4), ("net.3.weight", 0.25)):
        scaled.get_parameter(name).data *= factor
    assert torch.allclose(network(shown.floats()), scaled(shown.floats()))
    fully = partial(weight_hessian_top, steps=60, tolerance=1e-7)
    for metric in (weight_hessian_trace, fully):
        one, two = (metric(n, shown) for n in (network, scaled))
        assert two.value > 3 * one.value
        forms = [r.parts["scale-invariant"].value for r in (one, two)]
        assert forms[1] == pytest.approx(forms[0], rel=1e-10)


def test_probes_are_the_same_for_dense_and_sparse() -> None:
    dense = convolutional()
    one, two = (Weights.of(n).probe("x", 3) for n in (dense, pruned(dense)))
    assert torch.equal(one, two)
    assert not torch.equal(one, Weights.of(dense).probe("x", 4))
    assert set(one.tolist()) == {-1.0, 1.0}
    assert abs(float(one.mean())) < 4 / len(one) ** 0.5


def test_differences_are_paired() -> None:
    dense, shown = perceptron(), images(300)
    one, two = (weight_hessian_trace(n, shown, images=0) for n in (dense, pruned(dense, 0.1)))
    paired = example_variance([(one, two)], "linear")
    assert paired < 0.4 * (one.stderr**2 + two.stderr**2)


def test_the_standard_error_holds_the_errors_of_images_and_of_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of repetitions with other images and other probes; that of the images alone is too small."""
    network, many = softmax_regression(), images(30 * 50)
    readings = []
    for number in range(30):
        monkeypatch.setattr(hessian, "torch_stream", lambda _, *p, n=number: torch_stream(n, *p))
        rows = torch.arange(50) + 50 * number
        readings.append(weight_hessian_trace(network, many.take(rows), images=0, probes=2))
    spread = np.std([r.value for r in readings], ddof=1)
    claimed = np.sqrt(np.mean([r.stderr**2 for r in readings]))
    assert claimed == pytest.approx(spread, rel=0.3)
    noise = np.sqrt(np.mean([r.parts["error of probes"].value ** 2 for r in readings]))
    assert np.sqrt(claimed**2 - noise**2) < 0.7 * spread


def test_memory_does_not_grow_with_the_number_of_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def peak(probes: int) -> int:
        saved = Saved()
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, saved.unpack):
            weight_hessian_trace(convolutional(), images(30, shape=(1, 6, 6)), probes=probes)
        return saved.peak

    few = peak(2)
    assert few > 0
    assert peak(9) == few

    def leaky(*args: Any, create_graph: bool = False, **kept: Any) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = grad(*args, create_graph=True, **kept)
        leaked.append(found)
        return found if create_graph else tuple(piece.detach() for piece in found)

    leaked: list[tuple[Tensor, ...]] = []
    grad: Callable[..., Any] = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", leaky)
    assert peak(9) > 2 * few


class Saved:
    """Counts the tensors that graphs hold."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> Held:
        self.now += 1
        self.peak = max(self.peak, self.now)
        return Held(self, tensor)

    def unpack(self, held: Held) -> Tensor:
        return held.tensor


class Held:
    def __init__(self, saved: Saved, tensor: Tensor) -> None:
        self.saved, self.tensor = saved, tensor

    def __del__(self) -> None:
        self.saved.now -= 1


@pytest.mark.parametrize("metric", METRICS)
def test_batches_change_nothing(metric: Callable[..., Reading]) -> None:
    network, shown = convolutional().float(), images(60, shape=(1, 6, 6))
    network.forward = network.net.forward  # type: ignore[method-assign]
    one, two = (metric(network, shown, batch_size=size) for size in (64, 1))
    assert two.value == pytest.approx(one.value, rel=1e-5)
    assert two.stderr == pytest.approx(one.stderr, rel=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_one_image_has_no_standard_error_and_two_have(metric: Callable[..., Reading]) -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        metric(perceptron(), images(1))
    reading = metric(perceptron(), images(2))
    assert reading.n == 2
    assert reading.stderr > 0


@pytest.mark.parametrize("metric", [*METRICS, input_hessian_trace, input_hessian_top])
@pytest.mark.parametrize("smooth", [nn.ReLU, nn.GELU])
def test_the_modes_of_network_and_caller_make_no_difference(
    metric: Callable[..., Reading], smooth: type[nn.Module]
) -> None:
    network, shown = convolutional(smooth), images(10, shape=(1, 6, 6))
    wanted = metric(network, shown).value
    other = copy.deepcopy(network).train().requires_grad_(False)
    with torch.no_grad():
        assert metric(other, shown).value == wanted
    with torch.inference_mode():
        assert metric(other, shown).value == wanted
        made_here = Images(shown.pixels.clone(), shown.labels.clone())
        assert metric(copy.deepcopy(network), made_here).value == wanted
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert metric(network, shown).value == pytest.approx(wanted, rel=1e-6)
    assert all(m.training for m in other.modules())
    assert not any(p.requires_grad for p in other.parameters())


def test_images_are_drawn_class_by_class_or_are_the_first() -> None:
    shown = images(300)
    shown = shown.take(torch.argsort(shown.labels, stable=True))
    network = perceptron()
    drawn, first = (
        hessian.sample(network, shown, images=50, first=first, batch_size=64)
        for first in (False, True)
    )
    assert sorted(np.bincount(drawn.labels.numpy())) == [16, 17, 17]
    assert torch.equal(first.pixels, shown.pixels[:50])
    again = hessian.sample(pruned(network), shown, images=50, first=False, batch_size=7)
    assert torch.equal(again.pixels, drawn.pixels)


def test_blocks_hold_every_image_once_and_every_class_alike() -> None:
    labels = np.random.default_rng(0).permutation(np.arange(500) % 10)
    dealt = blocks(labels)
    assert len(dealt) == BLOCKS
    assert sorted(np.concatenate(dealt).tolist()) == list(range(500))
    assert all((np.bincount(labels[rows], minlength=10) == 2).all() for rows in dealt)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UserError, match="probes must be 2 or more"):
        weight_hessian_trace(perceptron(), images(9), probes=1)
    with pytest.raises(UserError, match="steps must be 1"):
        weight_hessian_top(perceptron(), images(9), steps=0)
    with pytest.raises(UserError, match="tolerance must be"):
        weight_hessian_top(perceptron(), images(9), tolerance=0.0)
    with pytest.raises(UserError, match="batch_size must be 1"):
        weight_hessian_top(perceptron(), images(9), batch_size=0)


def test_a_constant_network_is_flat() -> None:
    network = perceptron()
    for p in network.parameters():
        p.data.zero_()
    network.get_parameter("net.3.bias").data[0] = 1e4
    for metric in METRICS:
        assert metric(network, images(9)).value == 0.0


def test_at_a_kink_derivatives_are_those_of_one_side() -> None:
    """Images of zeros and no bias: every ReLU is at 0, where torch's second derivative is 0."""
    network, shown = Exact(nn.Flatten(), nn.Linear(16, 5, bias=False), nn.ReLU()), images(6)
    shown.pixels.zero_()
    assert weight_hessian_trace(network, shown).value == 0.0


def slope(network: nn.Module, shown: Images, values: Tensor) -> Tensor:
    """The gradient of the mean loss by all parameters, elsewhere [P]."""
    moved = copy.deepcopy(network)
    torch.nn.utils.vector_to_parameters(values, moved.parameters())
    loss = nn.functional.cross_entropy(moved(shown.floats()), shown.labels)
    found = torch.autograd.grad(loss, list(moved.parameters()))
    return torch.cat([piece.ravel() for piece in found])


def test_products_of_a_vision_transformer_are_differences_of_gradients() -> None:
    network, shown, step = Exact(small("vit", channels=1)), images(4, 4, (1, 8, 8)), 1e-6
    weights = Weights.of(network)
    v = weights.probe("x")
    with derivatives(network):
        found = weights.products(shown, len(shown))(v)
    ends = [slope(network, shown, weights.values + sign * step * v) for sign in (1, -1)]
    wanted = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", ["cifar-resnet", "lenet", "vgg", "vit"])
@pytest.mark.parametrize("metric", METRICS)
def test_networks_of_every_kind(metric: Callable[..., Reading], kind: str) -> None:
    wanted = task(kind)
    shown = images(12, classes=4, shape=(3, wanted.height, wanted.width))
    options = {"steps": 3} if metric is weight_hessian_top else {"probes": 2}
    reading = metric(small(kind), shown, **options)
    assert np.isfinite([reading.value, reading.stderr]).all()
    assert reading.value != 0
