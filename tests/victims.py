"""Networks whose robustness is known, or hidden on purpose, for the tests of attacks."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.data.base import Images
from scratchcard.data.digits import Digits


def images(n: int, classes: int = 2, low: int = 31, high: int = 225) -> Images:
    """Grey images of 4x4; pixels away from 0 and 255, so that clipping to [0, 1] never helps."""
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(low, high, (n, 1, 4, 4), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, classes, (n,), generator=stream))


def linear(classes: int = 2, scale: float = 1.0, seed: int = 1) -> nn.Sequential:
    """A linear network that is undecided about grey images."""
    stream = torch.Generator().manual_seed(seed)
    layer = nn.Linear(16, classes)
    layer.weight.data = torch.randn(classes, 16, generator=stream) * scale
    layer.bias.data = -layer.weight.data.sum(dim=1) / 2
    return nn.Sequential(nn.Flatten(), layer)


def answered(model: nn.Module, test: Images) -> Images:
    """The images with the network's own answers as labels: it is right about all of them."""
    with torch.no_grad():
        return Images(test.pixels, model(test.floats()).argmax(dim=1))


def distances(model: nn.Sequential, test: Images) -> Tensor:
    """Smallest eps that fools a linear network, for each image; below 0 if it is wrong [N]."""
    w, b = (model.get_parameter(f"1.{name}").detach().double() for name in ("weight", "bias"))
    own = test.labels
    z = test.pixels.flatten(1).double() / 255 @ w.T + b
    lead = z.gather(1, own[:, None]) - z
    reach = (w[own][:, None] - w[None]).abs().sum(dim=2)
    return (lead / reach).scatter(1, own[:, None], torch.inf).amin(dim=1)


@cache
def digits_test() -> Images:
    """300 handwritten digits."""
    return Digits().splits().test.take(torch.arange(300))


@cache
def digits_mlp() -> nn.Sequential:
    """A network of one hidden layer, trained on handwritten digits: its gradients are honest."""
    train = Digits().splits().train
    stream = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=stream) / 8
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20):
        for rows in torch.split(torch.randperm(len(train), generator=stream), 64):
            optimizer.zero_grad()
            loss = cross_entropy(model(train.floats()[rows]), train.labels[rows])
            torch.autograd.backward(loss)
            optimizer.step()
    optimizer.zero_grad()
    return model.eval()


class Staircase(nn.Module):
    """The same answers within a stair of logits, and no gradient anywhere."""

    def __init__(self, model: nn.Module, stair: float = 0.05) -> None:
        super().__init__()
        self.model, self.stair = model, stair

    def forward(self, x: Tensor) -> Tensor:
        stairs: Tensor = torch.round(self.model(x) / self.stair) * self.stair
        return stairs


class Cold(nn.Module):
    """The same answers, with logits divided by a temperature close to 0."""

    def __init__(self, model: nn.Module, temperature: float = 1e-3) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x) / self.temperature
        return logits


class Moat(nn.Module):
    """Two classes by brightness, with a dip of the margin that small steps do not leave.

    The margin is 1 at grey level 128, has its valley at 0.3 eps (0.5) and its wall at 0.6 eps (1),
    and is -1 at eps.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        t = (x.mean(dim=(1, 2, 3)) - 128 / 255) / self.eps
        lead = 1 - t * 5 / 3 + 10 / 3 * (t - 0.3).relu() - 20 / 3 * (t - 0.6).relu()
        return torch.stack([lead, torch.zeros_like(lead)], dim=1)


class Slope(nn.Module):
    """The moat without valley and wall: the margin falls from 1 to -1 at eps."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        t = (x.mean(dim=(1, 2, 3)) - 128 / 255) / self.eps
        return torch.stack([1 - 2 * t, torch.zeros_like(t)], dim=1)


class Hard(nn.Module):
    """One logit is 1 and all others 0: nothing can be differentiated at all."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        return 2.0 * nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1])


def level(n: int) -> Images:
    """Images of 8x8 in class 0 whose mean is grey level 128 exactly."""
    stream = torch.Generator().manual_seed(0)
    half = torch.randint(60, 197, (n, 1, 8, 4), generator=stream, dtype=torch.uint8)
    return Images(torch.cat([half, 256 - half.int()], dim=3).byte(), torch.zeros(n).long())
