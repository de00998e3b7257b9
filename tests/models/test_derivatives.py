"""What metrics and methods do with a network: higher derivatives, torch.func, other layouts."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vjp, vmap

from scratchcard.contracts import Task
from scratchcard.models import build
from scratchcard.probe import inference_copy

TASK = Task(3, 32, 32, 4)
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar-resnet": ("cifar-resnet", {"depth": 8, "widths": (2, 3, 5)}),
    "resnet18": ("resnet", {"widths": (4, 4, 8, 8), "stem_width": 4}),
    "resnet50": ("resnet", {"depth": 50, "widths": (2, 2, 3, 3), "stem": "imagenet"}),
    "wide-resnet": ("wide-resnet", {"depth": 10, "widen": 1}),
    "vgg": ("vgg", {"depth": 11, "width": 0.05}),
    "vgg imagenet": ("vgg", {"depth": 11, "width": 0.02, "head": "imagenet"}),
    "vit": ("vit", {"patch": 8, "dim": 18, "depth": 2}),
    "vit of two heads": ("vit", {"patch": 8, "dim": 16, "depth": 2, "heads": 2}),
}


def network(name: str) -> nn.Module:
    kind, params = SMALL[name]
    return build(kind, TASK, params, 0).eval()


def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SMALL)
def test_hessian_vector_products(name: str) -> None:
    """By double backward, torch.func, and central differences of the gradient."""
    model, x = network(name).double(), images().double()
    generator = torch.Generator().manual_seed(1)
    draw = {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
    # Biases that are not zero, lest dead pixels lie on the kink of a ReLU.
    weights = {n: p.detach() + 0.1 * draw[n] for n, p in model.named_parameters()}
    v = {n: torch.randn(w.shape, generator=generator).double() for n, w in weights.items()}

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = functional_call(model, weights, (x,))
        return logits.softmax(1).square().sum()

    (product,) = vjp(grad(loss), weights)[1](v)
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    first = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=True)
    dot = sum(((g * d).sum() for g, d in zip(first, v.values(), strict=True)), torch.zeros(()))
    backward = torch.autograd.grad(dot, list(leaves.values()), allow_unused=True)
    up, down = (
        grad(loss)({n: w + eps * v[n] for n, w in weights.items()}) for eps in (1e-8, -1e-8)
    )
    largest = max(float(h.abs().max()) for h in product.values())
    for n, other in zip(weights, backward, strict=True):
        other = torch.zeros_like(weights[n]) if other is None else other
        assert torch.allclose(product[n], other, atol=1e-9 * largest)
        differences = (up[n] - down[n]) / 2e-8
        assert torch.allclose(product[n], differences, rtol=1e-2, atol=1e-3 * largest), n
    assert largest > 0


@pytest.mark.parametrize("name", SMALL)
def test_gradients_of_single_images(name: str) -> None:
    model, x = network(name), images()
    weights = {n: p.detach() for n, p in model.named_parameters()}

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = functional_call(model, weights, (image[None],))
        return logits.square().sum()

    together = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    for index, image in enumerate(x):
        alone = grad(loss)(weights, image)
        scale = max(float(g.abs().max()) for g in alone.values())
        for n, single in alone.items():
            assert torch.allclose(together[n][index], single, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("name", SMALL)
def test_layout_and_folding_leave_the_logits(name: str) -> None:
    model, x = network(name), images()
    with torch.no_grad():
        wanted = model(x)
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert torch.allclose(last(x.to(memory_format=torch.channels_last)), wanted, atol=1e-6)
        folded = inference_copy(model, x)
        assert isinstance(folded, torch.fx.GraphModule)
        assert torch.allclose(folded(x), wanted, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_nothing_is_changed_in_place(name: str) -> None:
    model = network(name)
    seen: dict[nn.Module, torch.Tensor] = {}

    def remember(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[module] = inputs[0].clone()

    def compare(module: nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        assert torch.equal(seen[module], inputs[0]), module

    for module in model.modules():
        module.register_forward_pre_hook(remember)
        module.register_forward_hook(compare)
    with torch.no_grad():
        model(images())
    assert len(seen) > 5
