"""What is piecewise linear is told from what is not, however it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scratchcard.contracts import NotApplicable
from scratchcard.metrics.landscape.input_hessian import factors
from scratchcard.metrics.landscape.input_hessian_top import input_hessian_top
from scratchcard.metrics.landscape.input_hessian_trace import input_hessian_trace
from scratchcard.metrics.landscape.piecewise import PRODUCTS, STRAIGHT, _nodes, piecewise_linear
from scratchcard.metrics.landscape.weight_hessian_trace import weight_hessian_trace
from tests.metrics.landscape.curved import Exact, examples, images, input_hessians

Function = Callable[[Tensor], Tensor]


def scaled(x: Tensor) -> Tensor:
    return x * torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)


def matrix(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def frozen(module: nn.Module) -> nn.Module:
    return module.double().eval().requires_grad_(False)


LINEAR: dict[str, Function] = {
    **{"relu": F.relu, "relu6": F.relu6, "leaky relu": F.leaky_relu, "hard tanh": F.hardtanh},
    **{"soft shrink": F.softshrink, "hard shrink": F.hardshrink},
    "threshold": lambda x: F.threshold(x, 0.3, 0.1),
    **{"prelu": frozen(nn.PReLU()), "rrelu": frozen(nn.RReLU()), "dropout": frozen(nn.Dropout())},
    **{"abs": torch.abs, "negative": lambda x: 1 - (-x), "clamp": lambda x: x.clamp(0.2, 0.8)},
    **{"at least": lambda x: x.clamp_min(0.3), "at most": lambda x: x.clamp_max(0.6)},
    "where": lambda x: torch.where(x > 0.5, x, 3 * x),
    **{"mask": lambda x: x.masked_fill(x > 0.5, 0.2), "fraction": lambda x: x / 3},
    "larger": lambda x: torch.maximum(x, 1 - x),
    "smaller": lambda x: torch.minimum(x, x.flip(3)),
    "largest": lambda x: x.amax((2, 3)),
    "largest of rows": lambda x: x.max(dim=3).values + x.min(dim=3).values,
    "smallest": lambda x: x.amin(dim=3),
    "maximum pooling": lambda x: F.max_pool2d(x, 2, 1),
    "mean pooling": lambda x: F.avg_pool2d(x, 2),
    "adaptive pooling": lambda x: F.adaptive_avg_pool2d(x, 2) - F.adaptive_max_pool2d(x, 2),
    "means": lambda x: torch.cat([x.mean((2, 3)), x.sum(3).flatten(1)], dim=1),
    "convolution": lambda x: F.conv2d(x, matrix(2, 1, 3, 3), matrix(2)),
    "transposed convolution": lambda x: F.conv_transpose2d(x, matrix(1, 2, 2, 2)),
    "batch norm": frozen(nn.BatchNorm2d(1)),
    "matrix": lambda x: x.flatten(1) @ matrix(16, 5),
    "linear": lambda x: F.linear(x, matrix(3, 4), matrix(3)),
    "einsum": lambda x: torch.einsum("bchw,cwd->bhd", x, matrix(1, 4, 3)),
    "zoom": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "rim": lambda x: F.pad(F.pad(x, (1, 1, 1, 1), mode="reflect"), (1, 0, 0, 1)),
    "patches": lambda x: F.unfold(x, 2),
    "shuffle": lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2),
    "pieces": lambda x: torch.stack([x[..., 1:].roll(1, 3), x[:, :, :, [2, 0, 1]]], dim=1),
    "halves": lambda x: torch.cat(x.chunk(2, dim=2), dim=3).transpose(1, 2),
    "scales": scaled,
    "strides": lambda x: x.as_strided((len(x), 3, 4), (16, 5, 1)).expand(len(x), 3, 4),
    "views": lambda x: x.reshape(len(x), 1, 2, 8)[:, 0].squeeze(1).unsqueeze(2),
    "rows": lambda x: x.unbind(2)[1].repeat(1, 2, 1).cumsum(2),
    "chosen": lambda x: x.index_select(2, torch.tensor([1, 3])).gather(
        3, torch.ones(len(x), 1, 2, 2).long()
    ),
    "folds": lambda x: F.fold(F.unfold(x, 2, stride=2), 4, 2, stride=2),
    "channels": lambda x: F.channel_shuffle(x.reshape(len(x), 4, 2, 2), 2),
    "replicas": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "other precision": lambda x: x.float().double().flatten(1).t().t(),
    "a matrix of weights": lambda x: (matrix(3, 4) @ x.permute(0, 1, 3, 2)).contiguous(),
    "a vector": lambda x: (x.flatten(1) @ matrix(16))[:, None],
    "stacked": lambda x: torch.baddbmm(
        matrix(1, 4, 4), x[:, 0], matrix(1, 4, 4).expand(len(x), 4, 4)
    ),
}
CURVED: dict[str, Function] = {
    **{"gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh, "hard swish": F.hardswish},
    **{"softplus": F.softplus, "elu": F.elu, "sigmoid": torch.sigmoid, "square": lambda x: x * x},
    "a ripple": lambda x: x + 1e-3 * x.sin(),
    "a sigmoid that is flat here": lambda x: x + torch.sigmoid(x - 1e4),
    "a power": lambda x: x**1.5,
    "a quotient": lambda x: 2 / (1 + x),
    "a quotient of tensors": lambda x: torch.ones_like(x).div(1 + x),
    "unit length": lambda x: F.normalize(x.flatten(1)),
    "deviation": lambda x: (x - 0.5).flatten(1).std(dim=1)[:, None],
    "layer norm": lambda x: F.layer_norm(x, (4, 4)),
    "group norm": lambda x: F.group_norm(x, 1),
    "instance norm": lambda x: F.instance_norm(x),
    "power pooling": lambda x: F.lp_pool2d(x, 2.0, 2),
    "softmax": lambda x: x.softmax(dim=3),
    "a gate": lambda x: x * F.hardsigmoid(4 * x.mean((1, 2, 3), keepdim=True) - 2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "bilinear": lambda x: x @ x.transpose(2, 3),
    "a filter made of the image": lambda x: F.conv2d(x[:1], x[:1, :, :2, :2]).expand(
        len(x), *[-1] * 3
    ),
    "a slope made of the image": lambda x: F.prelu(x - 0.5, x[0, 0, 0, :1]),
}


class Functional(nn.Module):
    """A perceptron of one hidden layer after a function that no layer tells of."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        size = function(torch.rand(3, 1, 4, 4, dtype=torch.float64)).flatten(1).shape[1]
        self.net, self.function = Exact(nn.Linear(size, 5), nn.ReLU(), nn.Linear(5, 3)), function
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.net(self.function(x.double()).flatten(1))


def logits(network: nn.Module, x: Tensor) -> Tensor:
    answer: Tensor = network.requires_grad_(False)(x.clone().requires_grad_().clone())
    return answer


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_piecewise_linear_is_exact(name: str) -> None:
    network, shown = Functional(LINEAR[name]), images(6)
    assert piecewise_linear(logits(network, shown.floats()))
    whole = input_hessians(network, shown)
    found = input_hessian_trace(network, shown), input_hessian_top(network, shown)
    assert [reading.parts["exact"].value for reading in found] == [1.0, 1.0]
    wanted = whole.diagonal(dim1=1, dim2=2).sum(dim=1)
    np.testing.assert_allclose(examples(found[0]), wanted, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        examples(found[1]), torch.linalg.eigvalsh(whole)[:, -1], rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("name", CURVED)
def test_what_is_curved_never_passes(name: str) -> None:
    assert not piecewise_linear(logits(Functional(CURVED[name]), images(6).floats()))


def test_all_that_passes_was_tried() -> None:
    kinds = set()
    for function in LINEAR.values():
        network = Functional(function)
        kinds |= {n.name() for n in _nodes(logits(network, images(3).floats()).grad_fn)}
    tried = {name.partition("Backward")[0] for name in kinds}
    assert (STRAIGHT | PRODUCTS) - tried == {"Hardsigmoid"}


def test_the_exact_way_would_be_wrong_for_what_is_curved() -> None:
    network, shown = Functional(F.gelu), images(6)
    wanted = input_hessians(network, shown).diagonal(dim1=1, dim2=2).sum(dim=1)
    plain = network.requires_grad_(False)
    with pytest.raises(ValueError, match="exact_classes=0"):
        factors(plain, shown.floats())
    found = input_hessian_trace(network, shown, probes=400)
    assert found.parts["exact"].value == 0.0
    np.testing.assert_allclose(examples(found), wanted, rtol=0.3)


def test_a_hard_sigmoid_is_exact_though_torch_has_no_second_derivative_of_it() -> None:
    same = F.hardsigmoid, lambda x: F.relu6(x + 3) / 6
    one, two = (input_hessian_trace(Functional(f), images(6)) for f in same)
    assert one.parts["exact"].value == 1.0
    np.testing.assert_allclose(examples(one), examples(two), rtol=1e-6)


class SquareGate(nn.Module):
    """A feature times its hard sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(x)


def test_what_torch_cannot_differentiate_twice_is_refused() -> None:
    network = Exact(nn.Flatten(), nn.Linear(16, 5), SquareGate(), nn.Linear(5, 3))
    for metric in (input_hessian_trace, input_hessian_top, weight_hessian_trace):
        with pytest.raises(NotApplicable, match=r"differentiate it twice: .*hardsigmoid"):
            metric(network, images(6))


class Square(torch.autograd.Function):
    """A user's own operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        found: Tensor = 2 * x * slopes[0]
        return found


class Relu(Square):
    """One that is called like one of torch's."""


@pytest.mark.parametrize("own", [Square, Relu])
def test_of_what_is_not_torchs_own_nothing_is_known(own: type[Square]) -> None:
    def function(x: Tensor) -> Tensor:
        found: Tensor = own.apply(x)  # type: ignore[no-untyped-call]
        return found

    assert not piecewise_linear(logits(Functional(function), images(6).floats()))


class Moody(nn.Module):
    """Smooth for dark images alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.smooth = Functional(torch.abs), Functional(torch.tanh)

    def forward(self, x: Tensor) -> Any:
        return self.smooth(x) if x.mean() < 0.2 else self.linear(x)


def test_a_network_that_turns_curved_is_refused() -> None:
    shown = images(12)
    shown.pixels[8:] = 3
    for metric in (input_hessian_trace, input_hessian_top):
        with pytest.raises(ValueError, match="exact_classes=0"):
            metric(Moody().eval(), shown, batch_size=4, first=True)
        assert np.isfinite(metric(Moody().eval(), shown, batch_size=4, exact_classes=0).value)


def test_images_that_change_each_others_answers_are_refused() -> None:
    """BatchNorm without statistics of its own takes those of the batch, even in evaluation."""
    norm = nn.BatchNorm2d(1, affine=False, track_running_stats=False).double().eval()
    network = Functional(norm)
    assert not piecewise_linear(logits(network, images(6).floats()))
    for metric in (input_hessian_trace, input_hessian_top, weight_hessian_trace):
        with pytest.raises(ValueError, match="the others of its batch"):
            metric(network, images(6))


def test_a_constant_is_linear() -> None:
    x = torch.ones(2, 3)
    assert piecewise_linear(x)
