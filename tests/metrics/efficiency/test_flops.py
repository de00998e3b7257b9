"""FLOPs: PyTorch's own count of dense networks, and hand counts of sparse ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from scratchcard.contracts import NotApplicable
from scratchcard.metrics import measure
from scratchcard.metrics.efficiency.flops import Flops, count
from scratchcard.pruning.prune import prune, shrink
from scratchcard.registry import MODELS
from tests.metrics.efficiency.networks import data, small
from tests.shrinkable import CASES, IMAGES, LABELS, network

IMAGE = torch.rand(1, 3, 8, 8)


def theirs(model: nn.Module, image: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(image)
    return int(counter.get_total_flops())


def zeroed(model: nn.Module, share: float = 0.5) -> nn.Module:
    """Each weight of two dimensions or more loses about ``share`` of its numbers."""
    stream = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            lost = torch.rand(parameter.shape, generator=stream) < share
            parameter.data.masked_fill_(lost, 0.0)
    return model


def by_hooks(model: nn.Module, image: Tensor) -> int:
    """The sparse count of Conv2d and Linear, layer by layer."""
    found = []

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        uses = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else output[..., 0].numel()
        found.append(2 * int((layer.weight != 0).sum()) * uses)

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    with torch.no_grad():
        model.eval()(image)
    for handle in handles:
        handle.remove()
    return sum(found)


@pytest.mark.parametrize("kind", MODELS.names())
def test_dense_is_what_torch_counts(kind: str) -> None:
    model, image = small(kind, channels=1), data(kind, channels=1)[0][:1]
    assert count(model, image).dense == theirs(model, image)


@pytest.mark.parametrize("case", CASES)
def test_networks_of_many_kinds(case: str) -> None:
    model = zeroed(network(case))
    found = count(model, IMAGE)
    assert found.dense == theirs(model, IMAGE)
    if case != "volumes":
        assert found.sparse == by_hooks(model, IMAGE)
    assert 0 < found.sparse < found.dense


def test_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(6 * 16, 5)
    )
    images = torch.rand(1, 4, 8, 8)
    assert count(model, images) == Flops(*[2 * (6 * 2 * 9 * 16 + 96 * 5)] * 2)
    convolution, linear = (parameter for parameter in model.parameters() if parameter.ndim > 1)
    with torch.no_grad():
        convolution.fill_(1.0)[0] = 0  # 18 weights that are used at 16 pixels
        linear.fill_(1.0)[:, 10] = 0
    reading = measure(model, "flops", (images, torch.zeros(1, dtype=torch.int64)))
    assert reading.value == 2 * ((6 * 18 - 18) * 16 + 95 * 5)
    assert reading.parts["dense"].value == 2 * (6 * 18 * 16 + 96 * 5)
    assert reading.parts["speed-up"].value == reading.parts["dense"].value / reading.value


def test_transposed_convolutions_use_a_weight_at_each_pixel_they_read() -> None:
    model = nn.ConvTranspose2d(3, 2, 2, stride=2)
    with torch.no_grad():
        model.weight[0, 0, 0] = 0  # 2 of 24 weights
    assert count(model, IMAGE) == Flops(2 * 24 * 64, 2 * 22 * 64)


def test_a_weight_counts_as_often_as_it_is_used() -> None:
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)[0] = 0
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), *[layer, nn.ReLU()] * 3)
    assert count(model, IMAGE) == Flops(2 * (768 + 3 * 16), 2 * (768 + 3 * 12))


class Attention(nn.Module):
    """Attention over 8 tokens (rows) of 24 numbers, in the way that is asked for."""

    def __init__(self, way: Callable[[Tensor, nn.Module], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.way = layer, way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x.transpose(1, 2).flatten(2), self.layer).mean(1)


ATTENTION: dict[str, tuple[Callable[[Tensor, nn.Module], Tensor], Callable[[], nn.Module]]] = {
    "fused": (lambda t, m: fused(m(t)), lambda: nn.Linear(24, 24)),
    "module": (lambda t, m: m(t, t, t, need_weights=False)[0], lambda: attention()),
    "encoder": (
        lambda t, m: m(t),
        lambda: nn.TransformerEncoderLayer(24, 2, 24, batch_first=True),
    ),
}


def fused(tokens: Tensor) -> Tensor:
    heads = tokens.reshape(*tokens.shape[:2], 2, 12).transpose(1, 2)
    return functional.scaled_dot_product_attention(heads, heads, heads).mean(1)


def attention() -> nn.Module:
    return nn.MultiheadAttention(24, 2, batch_first=True)


@pytest.mark.parametrize(("case", "square"), [("fused", 1), ("module", 4), ("encoder", 6)])
def test_attention_is_not_overlooked(case: str, square: int) -> None:
    """``square`` matrices of 24x24 meet 8 tokens; scores and their use take 8 x 8 x 24 each."""
    way, make = ATTENTION[case]
    model = Attention(way, make()).eval().requires_grad_(False)
    products = 2 * 2 * 8 * 8 * 24
    dense = 2 * square * 24 * 24 * 8 + products
    assert count(model, IMAGE).dense == dense
    assert theirs(model, IMAGE) < dense  # PyTorch's counter does not see fused kernels on a CPU
    zeroed(model, 2.0)
    assert count(model, IMAGE).sparse == products


def test_unstructured_and_structured_networks() -> None:
    model = network("resnet B")
    dense = count(model, IMAGE)
    masks = prune(model, "omp", sparsity=0.9)
    sparse = count(model, IMAGE)
    assert sparse.dense == dense.dense == dense.sparse
    assert sparse.sparse == by_hooks(model, IMAGE)
    assert not masks.collapsed
    small = network("resnet B")
    shrink(small, "channels", sparsity=0.5, data=[(IMAGES, LABELS)])
    found = count(small, IMAGE)
    assert found.sparse == found.dense == theirs(small, IMAGE) < dense.dense


def test_networks_without_products_or_without_weights_left() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.AdaptiveAvgPool1d(4))
    assert count(model, IMAGE) == Flops(0, 0)
    empty = zeroed(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), 2.0)
    reading = measure(empty, "flops", (IMAGES, LABELS))
    assert reading.value == 0
    assert list(reading.parts) == ["dense"]


class Doing(nn.Module):
    """A function of the images, which may use a layer."""

    def __init__(self, act: Callable[[Tensor, nn.Module], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.act, self.layer = act, layer

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x, self.layer)


@pytest.mark.parametrize(
    ("act", "layer", "named"),
    [
        (lambda x, m: m(x[:, 0])[0].mean(1), nn.LSTM(8, 3), "rnn"),
        (lambda x, m: m(x[:, 0], x[:, 1]), nn.Bilinear(8, 8, 3), "_trilinear"),
        (lambda x, m: torch.cdist(x.flatten(1), m.weight), nn.Linear(192, 3), "_cdist"),
        (lambda x, m: torch.fft.fft2(x).real, nn.Identity(), "_fft"),
    ],
)
def test_what_is_not_known_is_refused(
    act: Callable[[Tensor, nn.Module], Tensor], layer: nn.Module, named: str
) -> None:
    with pytest.raises(NotApplicable, match=named):
        count(Doing(act, layer), IMAGE)


@pytest.mark.parametrize(
    ("act", "layer", "flops"),
    [
        (lambda x, m: functional.interpolate(x, scale_factor=2.0, mode="bilinear"), None, 0),
        (lambda x, m: m(x.sub_(0.5).flatten(1)), nn.Linear(192, 3), 2 * 576),
        (lambda x, m: x.flatten(1) @ m.weight[0], nn.Linear(192, 3), 2 * 192),
        (lambda x, m: torch.einsum("bchw,oc->bohw", x, m.weight), nn.Linear(3, 5), 2 * 15 * 64),
    ],
)
def test_what_is_known_under_other_names(
    act: Callable[[Tensor, nn.Module], Tensor], layer: nn.Module | None, flops: int
) -> None:
    assert count(Doing(act, layer or nn.Identity()), IMAGE) == Flops(flops, flops)


def test_operations_of_others_are_refused() -> None:
    @torch.library.custom_op("scratchcard_tests::halve", mutates_args=())
    def halve(x: Tensor) -> Tensor:
        return x / 2

    with pytest.raises(NotApplicable, match=r"scratchcard_tests\.halve"):
        count(Doing(lambda x, m: halve(x), nn.Identity()), IMAGE)


def test_two_images_take_twice_as_much_and_nothing_is_changed() -> None:
    model, images = network("lenet").train(), IMAGES[:2].clone()
    one, two = count(model, IMAGE), count(model, images)
    assert (two.dense, two.sparse) == (2 * one.dense, 2 * one.sparse)
    assert model.training
    assert not images.requires_grad
    assert torch.equal(images, IMAGES[:2])
    assert all(parameter.grad is None for parameter in model.parameters())
