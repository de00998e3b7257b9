"""What metrics are tried on: two small networks, noisy images, and all that is made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import ErrorRates
from scratchcard.contracts.corruptions import SEVERITIES, STANDARD
from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts
from scratchcard.masks import Masks
from scratchcard.metrics.interpretability.occlusion import occlude
from scratchcard.metrics.measure import providers
from scratchcard.probe import Predictions, floats, logits
from scratchcard.seeds import torch_stream

Available = Mapping[str, Callable[..., Any]]
"""Names out of ``contracts.NEEDS`` to functions that give them, asked with the need's options."""

OCCLUDED = {"occluded_logits": "model", "dense_occluded_logits": "dense_model"}
"""Whose answers these needs hold: they are not moved but asked for again."""

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""
GREY: Shape = (1, 8, 8)
ODD_CASES: Mapping[str, Mapping[str, Any]] = {
    "two classes": {"classes": 2, "n": 20},
    "a thousand classes": {"classes": 1000, "n": 12},
    "boundless confidence": {"classes": 3, "n": 20, "scale": 1e5},
    "a constant predictor": {"classes": 3, "n": 20, "scale": 0.0},
    "a class without images": {"classes": 3, "n": 20, "labelled": 2},
    "images of one class": {"classes": 3, "n": 20, "labelled": 1},
    "no BatchNorm and no dropout": {"classes": 3, "n": 20, "plain": True},
    "colour images that are not square": {"classes": 3, "n": 20, "shape": (3, 5, 9)},
    "one seed": {"classes": 3, "n": 20, "seeds": 1},
    "seven images": {"classes": 3, "n": 7},
    "one image": {"classes": 3, "n": 1},
}
"""Arguments of ``case``."""


def case(
    *,
    classes: int,
    n: int,
    scale: float = 1.0,
    labelled: int | None = None,
    plain: bool = False,
    shape: Shape = GREY,
    seeds: int = 3,
) -> Available:
    """Everything that a metric may need, of two networks that are right more often than not.

    Args:
        classes: That they tell apart.
        n: Images of each split.
        scale: Factor of the logits' spread.
        labelled: Classes that there are images of; all if None.
        plain: Leave out BatchNorm and dropout.
        shape: Of an image.
        seeds: Networks of a group.
    """
    model, dense = (network(classes, scale, seed, plain, shape) for seed in (0, 1))
    return given(model, dense, n=n, classes=labelled or classes, shape=shape, seeds=seeds)


def network(
    classes: int, scale: float = 1.0, seed: int = 0, plain: bool = False, shape: Shape = GREY
) -> nn.Sequential:
    """Random features, compared with those of each class's pattern; in evaluation mode."""
    channels, height, width = shape
    made = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, bias=plain),
        nn.Identity() if plain else nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Identity() if plain else nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * height * width, classes),
    ).eval()
    stream, head = torch_stream(seed, "check_metric"), made.get_submodule("5")
    assert isinstance(head, nn.Linear)
    for tensor in (*made[:2].parameters(), *made[:2].buffers()):
        if tensor.ndim:  # not BatchNorm's count of batches; what it divides by is positive
            tensor.data = torch.randn(tensor.shape, generator=stream)
    if not plain:
        made.get_buffer("1.running_var").abs_().add_(0.5)
    with torch.no_grad():
        seen = made[:5](_patterns(classes, shape))
    rows = seen - seen.mean(dim=0)
    head.weight.data = rows * scale / rows.square().sum(dim=1).mean() * 6
    head.bias.data = -head.weight.data @ seen.mean(dim=0)
    return made


def _patterns(classes: int, shape: Shape) -> Tensor:
    """What the images of each class have in common, float [K, C, H, W]."""
    return torch.rand(classes, *shape, generator=torch_stream(0, "check_metric", "patterns"))


def images(n: int, labels: Tensor, shape: Shape, purpose: str) -> Images:
    """Patterns of the classes, half hidden by noise."""
    noise = torch.rand(n, *shape, generator=torch_stream(0, "check_metric", purpose))
    clean = _patterns(int(labels.max()) + 1, shape)[labels]
    return Images((127 * clean + 128 * noise).byte(), labels)


def permuted(model: nn.Sequential) -> nn.Sequential:
    """The same function with its hidden channels in another order."""
    other, order = copy.deepcopy(model), torch.tensor([2, 0, 3, 1])
    for tensor in (*other[:2].parameters(), *other[:2].buffers()):
        if tensor.ndim:
            tensor.data = tensor.data[order]
    head = other.get_parameter("5.weight")
    head.data = head.data.reshape(len(head), len(order), -1)[:, order].flatten(1)
    return other


class Answering(nn.Module):
    """A network with something done to its answer.

    Attributes:
        runs: Grows whenever the network, or a copy of it, is run on images.
    """

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.change, self.runs = net, change, _Runs()
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """Of images, whatever becomes of the logits."""
        if type(x) is Tensor:  # neither where it is traced, nor where paths are followed
            self.runs.append(None)
        return self.change(self.net(x))


class _Runs(list[None]):
    """A list that copies of its owner share."""

    def __deepcopy__(self, memo: Any) -> _Runs:
        return self


def given(
    model: nn.Sequential,
    dense: nn.Sequential,
    *,
    n: int,
    classes: int,
    shape: Shape = GREY,
    seeds: int = 3,
    others: Mapping[str, Masks] | None = None,
) -> Available:
    """Everything that a metric may need of a network and its twin; not copies of them.

    Args:
        model: The network.
        dense: Its twin.
        n: Images of each split.
        classes: That there are images of; of the first the most in the training split.
        shape: Of an image.
        seeds: Networks of a group: the network itself, and copies with noise on the weights.
        others: Masks of other methods; two of them if None.
    """
    even = torch.arange(n) % classes
    tailed = torch.minimum(even, torch.arange(n) // classes % classes)
    test, val = (images(n, even, shape, split) for split in ("test", "val"))
    found = providers(
        model,
        test,
        train=images(n, tailed, shape, "train"),
        val=val,
        ood={kind: images(n, even, shape, kind) for kind in ("noise", "other")},
        dense=dense,
        others=others or {"dense": Masks.ones(model), "shuffled": _half(model)},
    )
    return found | {
        "model": lambda: model,
        "dense_model": lambda: dense,
        "corrupted_logits": cache(lambda: _corrupted(model, test)),
        "corruption_baseline": cache(lambda: _error_rates(dense, test)),
        "ood_classes": dict,
        "transfer": lambda: {"other": (images(n, even, shape, "other"), test)},
        "concepts": cache(lambda: {"own": _concepts(test)}),
        "previous_model": lambda: dense,
        "other_models": lambda: {"dense": dense, "reinitialised": _noisy(model, 1)},
        "all_models": cache(lambda: _group(model, seeds)),
        "all_logits": cache(lambda: _predicted(_group(model, seeds), test)),
        "all_dense_logits": cache(lambda: _predicted(_group(dense, seeds), test)),
    }


def shuffled(available: Available) -> Available:
    """The same with the test images in another order."""
    test: Images = available["test"]()
    order = torch.randperm(len(test), generator=torch_stream(0, "check_metric", "order"))

    def moved(found: Any) -> Any:
        if isinstance(found, Mapping):
            return {key: moved(value) for key, value in found.items()}
        if isinstance(found, tuple):
            return tuple(map(moved, found))
        return Predictions(found.logits[order.numpy()], found.labels[order.numpy()])

    needs = ("logits", "dense_logits", "corrupted_logits", "all_logits", "all_dense_logits")
    return (
        dict(available)
        | {"test": lambda: test.take(order)}
        | {need: lambda need=need: moved(available[need]()) for need in needs}
        | {
            need: lambda network=network, **options: occlude(
                available[network](), test.take(order), **options
            )
            for need, network in OCCLUDED.items()
        }
    )


def _concepts(images: Images) -> Concepts:
    """The images, each with its darker and its lighter pixels and a random half of them."""
    bright = images.floats().mean(dim=1).numpy() > 0.5
    stream = torch_stream(0, "check_metric", "concepts")
    random = (torch.rand(bright.shape, generator=stream) < 0.5).numpy()
    masks = np.stack([~bright, bright, random])
    return Concepts.of(images, ("dark", "light", "any"), ("colour", "colour", "texture"), masks)


def _half(model: nn.Module) -> Masks:
    """Masks that keep about every other weight."""
    stream = torch_stream(0, "check_metric", "masks")
    return Masks(
        {n: torch.rand(m.shape, generator=stream) < 0.5 for n, m in Masks.ones(model).items()}
    )


def _predictions(model: nn.Module, pixels: Tensor, labels: Tensor) -> Predictions:
    return Predictions(logits(model, pixels), labels.numpy())


def _corrupted(model: nn.Module, test: Images) -> dict[str, tuple[Predictions, ...]]:
    """By kind, under more and more noise; no kind is what it is called."""

    def noisy(kind: str, severity: int) -> Tensor:
        stream = torch_stream(0, "check_metric", kind, severity)
        noise = torch.randn(test.pixels.shape, generator=stream) * severity / 5
        return (floats(test.pixels) + noise).clamp(0, 1)

    return {
        kind: tuple(_predictions(model, noisy(kind, s), test.labels) for s in SEVERITIES)
        for kind in STANDARD
    }


def _error_rates(model: nn.Module, test: Images) -> ErrorRates:
    def error(predictions: Predictions) -> float:
        return 1 - float(predictions.correct.mean())

    corrupted = _corrupted(model, test).items()
    return ErrorRates(
        error(_predictions(model, test.pixels, test.labels)),
        {kind: tuple(map(error, ladder)) for kind, ladder in corrupted},
    )


def _group(model: nn.Module, seeds: int) -> dict[int, nn.Module]:
    """By seed: the network, and copies with noise on its weights."""
    return {seed: _noisy(model, seed) if seed else model for seed in range(seeds)}


def _noisy(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose weights are a tenth off."""
    other, stream = copy.deepcopy(model), torch_stream(seed, "check_metric", "group")
    for parameter in other.parameters():
        parameter.data *= 1 + 0.1 * torch.randn(parameter.shape, generator=stream)
    return other


def _predicted(group: Mapping[int, nn.Module], test: Images) -> dict[int, Predictions]:
    return {s: _predictions(net, test.pixels, test.labels) for s, net in group.items()}


def with_one(found: Mapping[str, np.ndarray], value: float) -> dict[str, np.ndarray]:
    """Copies of logits by the name of their set, with one number replaced in each."""
    broken = {name: array.copy() for name, array in found.items()}
    for array in broken.values():
        array[0, 0] = value
    return broken
