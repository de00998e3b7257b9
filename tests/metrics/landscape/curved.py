"""Small networks in float64, and their Hessians written out by torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Reading
from scratchcard.data.base import Images


class Exact(nn.Module):
    """A network that computes in float64, whatever it is given."""

    def __init__(self, *layers: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers).double()
        stream = torch.Generator().manual_seed(seed)
        for p in self.net.parameters():
            p.data = torch.randn(p.shape, generator=stream, dtype=torch.float64) * 0.7
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                module.running_mean.add_(0.1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net(x.double())
        return answer


def images(n: int, classes: int = 3, shape: tuple[int, int, int] = (1, 4, 4)) -> Images:
    """Noise."""
    stream = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % classes)


def examples(reading: Reading) -> np.ndarray:
    """One number an image."""
    assert reading.examples is not None
    return reading.examples


def convolutional(smooth: type[nn.Module] = nn.ReLU, classes: int = 3) -> Exact:
    """For images of 6x6, with BatchNorm, pooling and dropout."""
    return Exact(
        *(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), smooth()),
        *(nn.MaxPool2d(2), nn.Dropout(0.5), nn.Conv2d(3, 4, 2), smooth()),
        *(nn.Flatten(), nn.Linear(16, classes)),
    )


def softmax_regression(classes: int = 3, pixels: int = 16) -> Exact:
    """One linear layer, without bias."""
    return Exact(nn.Flatten(), nn.Linear(pixels, classes, bias=False))


def perceptron(pixels: int = 16, classes: int = 3) -> Exact:
    """One hidden layer of ReLUs."""
    return Exact(nn.Flatten(), nn.Linear(pixels, 5), nn.ReLU(), nn.Linear(5, classes))


def input_hessians(network: nn.Module, shown: Images) -> Tensor:
    """Of every image by itself, written out [N, D, D]."""
    found = []
    for x, y in zip(shown.floats().double(), shown.labels, strict=True):

        def loss(pixels: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
            return cross_entropy(network(pixels.view(1, *x.shape)), y[None])

        found.append(torch.autograd.functional.hessian(loss, x.ravel()))  # type: ignore[no-untyped-call]
    return torch.stack(found)


def weight_hessian(network: nn.Module, shown: Images) -> Tensor:
    """Of the mean cross-entropy by all parameters in their order, written out [P, P]."""
    named = dict(network.named_parameters())
    sizes = [p.numel() for p in named.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(named.items(), torch.split(flat, sizes), strict=True)
        given = {name: part.view_as(p) for (name, p), part in parts}
        answer = torch.func.functional_call(network, given, (shown.floats().double(),))
        return cross_entropy(answer, shown.labels)

    flat = torch.cat([p.detach().ravel() for p in named.values()])
    found: Tensor = torch.autograd.functional.hessian(loss, flat)  # type: ignore[no-untyped-call]
    return found
