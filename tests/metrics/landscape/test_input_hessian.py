"""Hessians by the pixels: exactly where logits are piecewise linear, by products elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.input_hessian import (
    InputHessians,
    factors,
    image_probes,
)
from scratchcard.metrics.landscape.input_hessian_top import input_hessian_top
from scratchcard.metrics.landscape.input_hessian_trace import input_hessian_trace
from tests.metrics.efficiency.networks import small, task
from tests.metrics.landscape.curved import (
    Exact,
    convolutional,
    examples,
    images,
    input_hessians,
    perceptron,
    softmax_regression,
)

METRICS: list[Callable[..., Reading]] = [input_hessian_trace, input_hessian_top]


def written_out(network: nn.Module, shown: Images) -> tuple[np.ndarray, np.ndarray]:
    """Trace and largest eigenvalue of every image."""
    whole = input_hessians(network, shown)
    traces = whole.diagonal(dim1=1, dim2=2).sum(dim=1)
    return traces.numpy(), torch.linalg.eigvalsh(whole)[:, -1].numpy()


def few() -> Images:
    return images(12, shape=(1, 6, 6))


def test_of_softmax_regression_it_is_the_closed_form() -> None:
    network, shown = softmax_regression(), images(8)
    w = network.get_parameter("net.1.weight").detach()
    p = network(shown.floats()).detach().softmax(dim=1)
    whole = torch.stack([w.T @ (q.diag() - q[:, None] * q) @ w for q in p])
    trace, top = input_hessian_trace(network, shown), input_hessian_top(network, shown)
    wanted = whole.diagonal(dim1=1, dim2=2).sum(dim=1)
    np.testing.assert_allclose(examples(trace), wanted, rtol=1e-10)
    np.testing.assert_allclose(examples(top), torch.linalg.eigvalsh(whole)[:, -1], rtol=1e-10)


def test_of_a_ReLU_network_it_is_exactly_the_Hessian_written_out() -> None:
    network, shown = convolutional(), few()
    traces, tops = written_out(network, shown)
    found = input_hessian_trace(network, shown), input_hessian_top(network, shown)
    assert [reading.parts["exact"].value for reading in found] == [1.0, 1.0]
    np.testing.assert_allclose(examples(found[0]), traces, rtol=1e-9)
    np.testing.assert_allclose(examples(found[1]), tops, rtol=1e-9)
    assert found[0].parts["per pixel"].value == pytest.approx(traces.mean() / 36, rel=1e-9)


def test_the_labels_of_a_ReLU_network_do_not_matter() -> None:
    network, shown = convolutional(), few()
    other = Images(shown.pixels, (shown.labels + 1) % 3)
    wrong = [Exact(*convolutional(nn.GELU).net), network]
    differ = [np.abs(written_out(n, shown)[0] - written_out(n, other)[0]).max() for n in wrong]
    assert differ[1] < 1e-9 < differ[0]


def test_the_general_way_takes_products_with_the_Hessian_written_out() -> None:
    network, shown, probes = convolutional(nn.GELU), few(), 4
    whole, rows = input_hessians(network, shown), torch.arange(len(shown))
    total = torch.zeros(len(shown), dtype=torch.float64)
    drawn = image_probes(rows, shown.pixels[0].shape, "probe of an input")
    for v in islice(drawn, probes):
        total += torch.einsum("ni,nij,nj->n", v.double(), whole, v.double()) / probes
    reading = input_hessian_trace(network, shown, probes=probes)
    assert reading.parts["exact"].value == 0.0
    np.testing.assert_allclose(examples(reading), total, rtol=1e-9)


def test_the_general_way_is_right_on_average_and_knows_its_error() -> None:
    network, shown = convolutional(nn.GELU), images(60, shape=(1, 6, 6))
    traces, _ = written_out(network, shown)
    reading = input_hessian_trace(network, shown, probes=30)
    assert reading.examples is not None
    off = reading.examples - traces
    assert abs(off.mean()) < 3 * off.std() / math.sqrt(60)
    assert abs(off.mean()) < 0.1 * traces.mean()


def test_Lanczos_finds_the_largest_eigenvalue_of_every_image() -> None:
    network, shown = convolutional(nn.GELU), few()
    reading = input_hessian_top(network, shown, steps=36, tolerance=1e-6)
    np.testing.assert_allclose(examples(reading), written_out(network, shown)[1], rtol=1e-8)
    assert reading.parts["unconverged"].value == 0.0
    hasty = input_hessian_top(network, shown, steps=2, tolerance=1e-6)
    assert hasty.parts["unconverged"].value > 0.5
    assert hasty.parts["residual"].value > 1e-3


@pytest.mark.parametrize("metric", METRICS)
def test_both_ways_agree_where_both_can_go(metric: Callable[..., Reading]) -> None:
    network, shown = convolutional(), images(60, shape=(1, 6, 6))
    exact, general = (metric(network, shown, exact_classes=k) for k in (3, 2))
    assert [r.parts["exact"].value for r in (exact, general)] == [1.0, 0.0]
    assert general.value == pytest.approx(exact.value, rel=0.1)


def test_a_network_that_is_almost_certain_is_not_flat() -> None:
    """In float32, 1 - p is 0 for the class it is certain of."""
    network, shown = perceptron().float(), images(6)
    network.forward = network.net.forward  # type: ignore[method-assign]
    network.get_parameter("net.3.bias").data[0] = 25.0
    with torch.no_grad():
        assert (network(shown.floats()).softmax(dim=1)[:, 0] == 1).all()
    found = examples(input_hessian_trace(network, shown))
    exact = perceptron()
    exact.get_parameter("net.3.bias").data[0] = 25.0
    np.testing.assert_allclose(found, written_out(exact, shown)[0], rtol=1e-4)
    assert (found > 0).all()


def test_the_gradient_norm_is_that_of_the_loss_of_each_image() -> None:
    network, shown = perceptron(), images(5)
    lengths = []
    for x, y in zip(shown.floats().double(), shown.labels, strict=True):
        leaf = x[None].requires_grad_()
        loss = nn.functional.cross_entropy(network(leaf), y[None])
        lengths.append(float(torch.autograd.grad(loss, leaf)[0].norm()))
    part = input_hessian_trace(network, shown).parts["gradient norm"]
    assert part.value == pytest.approx(np.mean(lengths), rel=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("smooth", [nn.ReLU, nn.GELU])
def test_batches_change_nothing(metric: Callable[..., Reading], smooth: type[nn.Module]) -> None:
    network = convolutional(smooth).float()
    network.forward = network.net.forward  # type: ignore[method-assign]
    shown = images(20, shape=(1, 6, 6))
    one, two = (metric(network, shown, batch_size=size).examples for size in (20, 3))
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert two.mean() == pytest.approx(one.mean(), rel=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_one_image_has_no_standard_error_and_two_have(metric: Callable[..., Reading]) -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        metric(perceptron(), images(1))
    assert metric(perceptron(), images(2)).n == 2


def test_jacobians_of_many_classes_are_held_for_few_images_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scratchcard.metrics.landscape.input_hessian.HELD", 5 * 3 * 16)
    found = InputHessians.of(perceptron(), images(9), batch_size=64, exact_classes=100)
    assert found.batch_size == 5
    assert [len(rows) for rows, _, _ in found.batches()] == [5, 4]
    found = InputHessians.of(perceptron(), images(9), batch_size=64, exact_classes=0, vectors=7)
    assert found.batch_size == 2


def test_at_a_kink_the_Hessian_is_that_of_one_side() -> None:
    network, shown = Exact(nn.Flatten(), nn.Linear(16, 5, bias=False), nn.ReLU()), images(6)
    shown.pixels.zero_()
    hessians = InputHessians.of(network, shown, batch_size=6, exact_classes=100)
    assert hessians.exact
    assert not factors(hessians.network, shown.floats().double()).any()
    assert not input_hessians(network, shown).any()


@pytest.mark.parametrize(
    ("kind", "exact"),
    [(k, k != "vit") for k in ("cifar-resnet", "lenet", "mlp", "resnet", "vgg", "vit")],
)
@pytest.mark.parametrize("metric", METRICS)
def test_architectures_of_the_house_go_their_ways(
    metric: Callable[..., Reading], kind: str, exact: bool
) -> None:
    wanted = task(kind)
    shown = images(4, classes=4, shape=(3, wanted.height, wanted.width))
    reading = metric(small(kind), shown)
    assert reading.parts["exact"].value == exact
    assert np.isfinite([reading.value, reading.stderr]).all()
    assert reading.value != 0


def test_a_vision_transformer_has_the_Hessian_written_out() -> None:
    """The metric computes in the network's own precision, which is float64 here."""
    network = Exact(small("vit", channels=1))
    shown = images(3, classes=4, shape=(1, 8, 8))
    top = input_hessian_top(network, shown, steps=64, tolerance=1e-6)
    assert top.parts["exact"].value == 0.0
    np.testing.assert_allclose(examples(top), written_out(network, shown)[1], rtol=1e-8)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UserError, match="probes must be 1"):
        input_hessian_trace(perceptron(), images(9), probes=0)
    with pytest.raises(UserError, match="steps must be 1"):
        input_hessian_top(perceptron(), images(9), steps=0)
    with pytest.raises(UserError, match="batch_size must be 1"):
        input_hessian_top(perceptron(), images(9), batch_size=0)
